"""What people bring as a model's folder, one row of `FOLDERS` for each kind; each is made from a
whole folder in place."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from safetensors.torch import load_file, save_file
from tiny_models import byte_level, llama, metaspace, other_models

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
ADAPTER = {"base_model_name_or_path": "owner/base", "peft_type": "LORA"}
QWEN = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
    "{% endif %}"
)
R1 = (
    "{% for m in messages %}{% if m['role'] == 'user' %}[U]{{ m['content'] }}{% else %}[A]"
    "{{ m['content'].split('</think>')[-1] }}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}[A]<think>\n{% endif %}"
)
SILENT = (
    "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}[end]{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def saved(folder, model=None, tokenizer=None):
    tokenizer = tokenizer or byte_level()
    (model or llama(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def pointer(name):
    return lambda folder: (folder / name).write_text(POINTER)


def cut(folder):
    file = folder / WEIGHTS
    file.write_bytes(file.read_bytes()[:-1])


def in_shards(folder):
    """Two files with their index."""
    weights = load_file(folder / WEIGHTS)
    names = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    where = {key: names[i % 2] for i, key in enumerate(sorted(weights))}
    for name in names:
        held = {key: weights[key] for key in weights if where[key] == name}
        save_file(held, folder / name, {"format": "pt"})
    (folder / WEIGHTS).unlink()
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": where}))


def shards_without(*names):
    def damage(folder):
        in_shards(folder)
        for name in names:
            (folder / name).unlink()

    return damage


def index_without_map(folder):
    in_shards(folder)
    (folder / INDEX).write_text("{}")


def pickled(folder):
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")


def adapter_alone(folder):
    (folder / "adapter_config.json").write_text(json.dumps(ADAPTER))
    (folder / WEIGHTS).rename(folder / "adapter_model.safetensors")


def adapter_without_config(folder):
    adapter_alone(folder)
    (folder / "config.json").unlink()


def adapter_config_left_over(folder):
    (folder / "adapter_config.json").write_text(json.dumps(ADAPTER))


def adapter_beside_weights(folder):
    adapter_config_left_over(folder)
    shutil.copy(folder / WEIGHTS, folder / "adapter_model.safetensors")


def without_last_embeddings(tokens):
    """A model that was trained before so many of the tokenizer's tokens were added."""

    def damage(folder):
        tokenizer = byte_level(pad=False)
        model = llama(tokenizer)
        tokenizer.add_special_tokens({"pad_token": "[PAD]"} if tokens == "pad" else {})
        tokenizer.add_tokens(["cabbage"] if tokens == "word" else [])
        tokenizer.add_special_tokens({"eos_token": "[EOS]"} if tokens == "eos" else {})
        saved(folder, model, tokenizer)

    return damage


def of_kind(kind):
    return lambda folder: saved(folder, other_models(byte_level())[kind])


def short_llama(folder):
    saved(folder, llama(byte_level(), context=64))


def multimodal(folder):
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    text = {
        "vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
    }  # fmt: skip
    seen = {
        "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 3,
        "num_attention_heads": 2, "image_size": 28, "patch_size": 14,
    }  # fmt: skip
    config = Gemma3Config(text_config=text, vision_config=seen)
    saved(folder, Gemma3ForConditionalGeneration(config))


def text_part(folder):
    """As docs/howto/own-data.md says."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    multimodal(folder)
    whole = AutoModelForImageTextToText.from_pretrained(folder)
    text = AutoModelForCausalLM.from_config(whole.config.text_config)
    text.model.load_state_dict(whole.model.language_model.state_dict())
    text.lm_head.load_state_dict(whole.lm_head.state_dict())
    shutil.rmtree(folder)
    saved(folder, text)


def settings(**keys):
    def change(folder):
        file = folder / "generation_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | keys))

    return change


def chatting(template, make=byte_level):
    def change(folder):
        tokenizer = make()
        tokenizer.chat_template = template
        saved(folder, llama(tokenizer), tokenizer)

    return change


def sentencepiece(name, tokenizer_class, **keys):
    """A folder with nothing but a SentencePiece model as its tokenizer."""

    def change(folder):
        import sentencepiece

        corpus = folder / "corpus.txt"
        corpus.write_text("a bad cab\nabba dad\nfed a bee beef\n" * 9)
        sentencepiece.SentencePieceTrainer.train(
            input=str(corpus), model_prefix=str(folder / "sp"), vocab_size=16,
            pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2,
        )  # fmt: skip
        (folder / "sp.model").rename(folder / name)
        only_tokenizer(folder, name, tokenizer_class, **keys)

    return change


def word_pieces(folder):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "bad", "cab", "ab", "##ba"]
    (folder / "vocab.txt").write_text("\n".join(words))
    only_tokenizer(folder, "vocab.txt", "BertTokenizer", eos_token="[SEP]")


def only_tokenizer(folder, name, tokenizer_class, **keys):
    for file in ("tokenizer.json", "special_tokens_map.json", "sp.vocab", "corpus.txt"):
        (folder / file).unlink(missing_ok=True)
    config = {"tokenizer_class": tokenizer_class, **keys}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    assert (folder / name).is_file()


def text_in(name, text):
    return lambda folder: (folder / name).write_text(text)


@dataclass(frozen=True)
class Brought:
    """A kind of folder, made from a whole one, and what `check` does with it: the error, or the
    note, or nothing."""

    change: Callable[[Path], object]
    error: str = ""
    note: str = ""
    study: dict = field(default_factory=dict)


CUT = f"{WEIGHTS} is cut off"
CHAT = {"template": "chat"}
FOLDERS = {
    "whole": Brought(lambda folder: None),
    "weights are a pointer": Brought(pointer(WEIGHTS), f"{WEIGHTS} is a Git LFS pointer.*lfs pull"),
    "tokenizer is a pointer": Brought(
        pointer("tokenizer.json"), "tokenizer.json is a Git LFS pointer"
    ),
    "config is a pointer": Brought(pointer("config.json"), "config.json is a Git LFS pointer"),
    "config cut off": Brought(text_in("config.json", '{"a": 1,'), "config.json is no JSON"),
    "config of another kind": Brought(text_in("config.json", "[]"), "holds a list, not an object"),
    "weights cut off": Brought(cut, f"{CUT}: [0-9,]+ of [0-9,]+ bytes are there; copy or download"),
    "weights empty": Brought(text_in(WEIGHTS, ""), f"{CUT}: 0 bytes"),
    "weights of another kind": Brought(text_in(WEIGHTS, "<html>" * 9), f"{CUT}"),
    "header of another kind": Brought(
        text_in(WEIGHTS, "\2\0\0\0\0\0\0\0[]"), "is no safetensors file"
    ),
    "shards": Brought(in_shards),
    "shard missing": Brought(
        shards_without("model-00002-of-00002.safetensors"),
        r"1 of 2 files that .* lists are missing: model-00002-of-00002\.safetensors; copy or",
    ),
    "index missing": Brought(shards_without(INDEX), "is a shard, and .*index.json.* is missing"),
    "index empty": Brought(index_without_map, "has no `weight_map`"),
    "pickle": Brought(pickled, r"\(pytorch_model\.bin is a pickle and is not loaded; convert it"),
    "adapter": Brought(adapter_alone, "is an adapter of 'owner/base' .*merge_and_unload"),
    "adapter without config": Brought(adapter_without_config, "is an adapter of 'owner/base'"),
    "adapter beside weights": Brought(adapter_beside_weights, "whole weights and an adapter of"),
    "adapter config left over": Brought(
        adapter_config_left_over, note="adapter_config.json without an adapter, which is ignored"
    ),
    "pad token outside": Brought(
        without_last_embeddings("pad"), note=r"1 special tokens .* no embedding.*: \[PAD\] \(id"
    ),
    "word outside": Brought(
        without_last_embeddings("word"), "1 tokens .* no embedding, such as 'cabbage' .*resize"
    ),
    "end token outside": Brought(without_last_embeddings("eos"), r"such as '\[EOS\]'"),
    "learned positions": Brought(
        of_kind("learned positions"),
        "training.max_length is 300, and .* has positions for 256 tokens only; set .*256",
        study={"training": {"max_length": 300}},
    ),
    "learned positions, enough": Brought(
        of_kind("learned positions"), study={"training": {"max_length": 256}}
    ),
    "rotary positions": Brought(short_llama, study={"training": {"max_length": 300}}),
    "multimodal": Brought(multimodal, r"more than a text model .*text_config, vision_config"),
    "text part of a multimodal model": Brought(text_part),
    "settings that sample": Brought(
        settings(temperature=0.6, do_sample=True),
        note=r"generation_config.json \(do_sample, temperature\) does not affect evaluation",
    ),
    "switch for thoughts": Brought(
        chatting(QWEN), note=r"thoughts: they are off \(enable_thinking: false\)", study=CHAT
    ),
    "open thought": Brought(
        chatting(R1), note="opens one, which is closed at once, empty", study=CHAT
    ),
    "thoughts without chat": Brought(chatting(QWEN)),
    "template without begin token": Brought(
        chatting(SILENT, metaspace), note="puts <s> before texts and its chat template does not",
        study=CHAT,
    ),
    "spiece.model": Brought(sentencepiece("spiece.model", "T5Tokenizer", extra_ids=0)),
    "sentencepiece.bpe.model": Brought(sentencepiece("sentencepiece.bpe.model", "XGLMTokenizer")),
    "vocab.txt": Brought(word_pieces),
    "no tokenizer": Brought(
        lambda folder: (folder / "tokenizer.json").unlink(), "no tokenizer .*spiece.model"
    ),
}  # fmt: skip
