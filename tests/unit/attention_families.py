"""Tiny models of families whose attention differs, one row of `FAMILIES` for each. `left_out`: that
torch's attention leaves out a setting of it."""

from copy import deepcopy
from typing import NamedTuple

import torch
from tiny_models import byte_level
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    Cohere2Config,
    Gemma2Config,
    Gemma3TextConfig,
    GptOssConfig,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    T5GemmaConfig,
    T5GemmaModuleConfig,
    VaultGemmaConfig,
)

TOKENIZER = byte_level()
SIZE = {
    "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64, "num_attention_heads": 4,
    "num_key_value_heads": 2, "initializer_range": 0.4, "vocab_size": len(TOKENIZER),
    "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2,
}  # fmt: skip
MIXED = {"head_dim": 8, "layer_types": ["sliding_attention", "full_attention"]}
WINDOW = 8  # shorter than most rows of the tests


class Family(NamedTuple):
    """`attention`: that it is trained and answers with."""

    config: object
    attention: str = "sdpa"
    left_out: bool = False


def t5gemma():
    part = T5GemmaModuleConfig(**SIZE, head_dim=8, attn_logit_softcapping=1.0)
    return T5GemmaConfig(encoder=part, decoder=part, **SIZE)


FAMILIES = {
    "llama": Family(LlamaConfig(**SIZE)),
    "mistral, window": Family(MistralConfig(**SIZE, sliding_window=WINDOW)),
    "cohere 2, window": Family(Cohere2Config(**SIZE, sliding_window=WINDOW, **MIXED)),
    "granite, scaling": Family(GraniteConfig(**SIZE, attention_multiplier=2.0)),
    "gemma 2, soft cap": Family(
        Gemma2Config(**SIZE, **MIXED, sliding_window=WINDOW, attn_logit_softcapping=1.0,
                     query_pre_attn_scalar=4), "eager", True),
    "gemma 2, no cap": Family(
        Gemma2Config(**SIZE, **MIXED, sliding_window=WINDOW, attn_logit_softcapping=None,
                     query_pre_attn_scalar=4)),
    "gemma 3, window": Family(Gemma3TextConfig(**SIZE, **MIXED, sliding_window=WINDOW)),
    "vaultgemma, soft cap": Family(
        VaultGemmaConfig(**SIZE, **MIXED, sliding_window=WINDOW, attn_logit_softcapping=1.0),
        "eager", True),
    "gpt-oss, sinks": Family(
        GptOssConfig(**SIZE, **MIXED, sliding_window=WINDOW, num_local_experts=4,
                     num_experts_per_tok=2), "eager"),
    "t5gemma, soft cap": Family(t5gemma(), "eager", True),
}  # fmt: skip


def made(family: Family, attention: str | None = None):
    """With random weights."""
    torch.manual_seed(0)
    both = family.config.is_encoder_decoder
    kind = AutoModelForSeq2SeqLM if both else AutoModelForCausalLM
    options = {"attn_implementation": attention} if attention else {}
    return kind.from_config(deepcopy(family.config), **options).eval()
