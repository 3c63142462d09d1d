"""Tokenizers and models small enough to be made in a test, with the traits that differ between real
ones."""

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

TEXT = ["English: a bad cab\nSpanish: abc", "abba -> cab\nbad dad ->", "fed a bee: beef. ef"] * 3
# prompts and targets; the third has no prompt
TEXTS = [("a bad cab ->", "abba"), ("dad ->", "bee"), ("", "bad dad fed"), ("fed a bee ->", "cab")]


def byte_level(bos: bool = True, pad: bool = True) -> PreTrainedTokenizerFast:
    """Byte-level BPE as the embedded model's; adds no specials by itself."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        TEXT,
        trainers.BpeTrainer(
            vocab_size=60,
            special_tokens=["<s>", "</s>", "<pad>"],
            show_progress=False,
        ),
    )
    specials = {"eos_token": "</s>"}
    specials |= {"bos_token": "<s>"} if bos else {}
    specials |= {"pad_token": "<pad>"} if pad else {}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **specials)


def metaspace(adds_bos: bool = True) -> PreTrainedTokenizerFast:
    """As SentencePiece's: a space is put before every text, and the begin token is added by
    itself."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=60, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False
    )
    tokenizer.train_from_iterator([w for t in TEXT for w in t.split(" ")], trainer)
    if adds_bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 1)]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def llama(
    tokenizer: PreTrainedTokenizerFast, seed: int = 0, context: int = 256
) -> LlamaForCausalLM:
    """Random weights, large enough that the output depends on the prompt."""
    import torch

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        intermediate_size=64,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        initializer_range=0.4,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return LlamaForCausalLM(config).eval()


def examples_of(tokenizer: PreTrainedTokenizerFast, texts=TEXTS):
    """Ids and where the target begins, of each (prompt, target)."""
    from mtray.data.store import build_table

    table = build_table(texts, tokenizer, 64)
    return [table.example(row) for row in range(len(table))]


def t5(tokenizer: PreTrainedTokenizerFast, seed: int = 0):
    """A model of encoder and decoder, each of two blocks."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    torch.manual_seed(seed)
    config = T5Config(
        vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4,
        num_decoder_layers=2, eos_token_id=tokenizer.eos_token_id, pad_token_id=0,
        decoder_start_token_id=0, dropout_rate=0.0, initializer_factor=4.0,
        tie_word_embeddings=False,
    )  # fmt: skip
    return T5ForConditionalGeneration(config).eval()


def frozen(model, layers=1):
    """The model with its first blocks frozen."""
    from mtray.schema import Recipe
    from mtray.training.freezing import freeze

    freeze(model, Recipe(parallel_size=1, frozen_layers=layers), 1)
    return model


def other_models(tokenizer: PreTrainedTokenizerFast) -> dict:
    """Learned positions (where a wrong position id shows), a sliding window, and ALiBi."""
    import torch
    from transformers import (
        BloomConfig,
        BloomForCausalLM,
        GPT2Config,
        GPT2LMHeadModel,
        MistralConfig,
        MistralForCausalLM,
    )

    torch.manual_seed(0)
    size = {"vocab_size": len(tokenizer), "bos_token_id": 0, "eos_token_id": tokenizer.eos_token_id}
    gpt2 = GPT2Config(
        n_positions=256, n_embd=32, n_layer=2, n_head=4, initializer_range=0.4, **size
    )
    mistral = MistralConfig(
        hidden_size=32, num_hidden_layers=2, intermediate_size=64, num_attention_heads=4,
        num_key_value_heads=2, sliding_window=8, initializer_range=0.4, **size,
    )  # fmt: skip
    bloom = BloomConfig(hidden_size=32, n_layer=2, n_head=4, initializer_range=0.4, **size)
    made = {
        "learned positions": GPT2LMHeadModel(gpt2),
        "sliding window": MistralForCausalLM(mistral),
        "alibi": BloomForCausalLM(bloom),
    }
    return {name: model.eval() for name, model in made.items()}


SMALL = {
    "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2,
    "head_dim": 8, "initializer_range": 0.4,
}  # fmt: skip


def gemma4(**ids):
    """Windows in some layers, wider heads in the others, layers that use another one's keys, an
    embedding for each layer, a soft cap on the logits."""
    from transformers import Gemma4ForCausalLM, Gemma4TextConfig

    kinds = ["sliding_attention", "full_attention"]
    return Gemma4ForCausalLM(
        Gemma4TextConfig(
            **SMALL, **ids, num_hidden_layers=4, layer_types=kinds * 2, sliding_window=8,
            global_head_dim=16, num_kv_shared_layers=2, hidden_size_per_layer_input=8,
            vocab_size_per_layer_input=ids["vocab_size"], final_logit_softcapping=30.0,
        )
    )  # fmt: skip


LINEAR = {
    "num_hidden_layers": 4, "layer_types": ["linear_attention"] * 3 + ["full_attention"],
    "linear_num_key_heads": 2, "linear_num_value_heads": 4, "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}  # fmt: skip


def qwen35(**ids):
    """Linear attention in three of four layers."""
    from transformers import Qwen3_5ForCausalLM, Qwen3_5TextConfig

    return Qwen3_5ForCausalLM(Qwen3_5TextConfig(**SMALL, **LINEAR, **ids))


def qwen35_experts(**ids):
    """The same with experts, whose weights are one tensor in memory."""
    from transformers import Qwen3_5MoeForCausalLM, Qwen3_5MoeTextConfig

    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16,
               "shared_expert_intermediate_size": 16}  # fmt: skip
    return Qwen3_5MoeForCausalLM(Qwen3_5MoeTextConfig(**SMALL, **LINEAR, **experts, **ids))


def ministral3(**ids):
    """Rotary positions stretched by YaRN, queries scaled by their position."""
    from transformers import Ministral3Config, Ministral3ForCausalLM

    return Ministral3ForCausalLM(Ministral3Config(**SMALL, **ids, num_hidden_layers=2))


NEWEST = {"Gemma 4": gemma4, "Qwen 3.5": qwen35, "Qwen 3.5 MoE": qwen35_experts,
          "Ministral 3": ministral3}  # fmt: skip


def newest(name: str, tokenizer: PreTrainedTokenizerFast):
    """A model that transformers has from version 5 on, with random weights."""
    import torch

    torch.manual_seed(0)
    ids = {"vocab_size": len(tokenizer), "bos_token_id": 0, "pad_token_id": tokenizer.pad_token_id,
           "eos_token_id": tokenizer.eos_token_id}  # fmt: skip
    return NEWEST[name](**ids).eval()
