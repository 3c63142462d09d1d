"""Tiny models of families whose attention differs, one row of `FAMILIES` for each."""

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
    """`left_out`: what torch's attention leaves out of it."""

    config: object
    left_out: str = ""


CAP, SINKS = "attn_logit_softcapping 1", "sinks"


def t5gemma():
    parts = {
        name: T5GemmaModuleConfig(**SIZE, head_dim=8, attn_logit_softcapping=1.0)
        for name in ("encoder", "decoder")
    }
    return T5GemmaConfig(**parts, **SIZE)


FAMILIES = {
    "llama": Family(LlamaConfig(**SIZE)),
    "mistral, window": Family(MistralConfig(**SIZE, sliding_window=WINDOW)),
    "cohere 2, window": Family(Cohere2Config(**SIZE, sliding_window=WINDOW, **MIXED)),
    "granite, scaling": Family(GraniteConfig(**SIZE, attention_multiplier=2.0)),
    "gemma 2, soft cap": Family(
        Gemma2Config(**SIZE, **MIXED, sliding_window=WINDOW, attn_logit_softcapping=1.0,
                     query_pre_attn_scalar=4), CAP),
    "gemma 2, no cap": Family(
        Gemma2Config(**SIZE, **MIXED, sliding_window=WINDOW, attn_logit_softcapping=None,
                     query_pre_attn_scalar=4)),
    "gemma 3, window": Family(Gemma3TextConfig(**SIZE, **MIXED, sliding_window=WINDOW)),
    "vaultgemma, soft cap": Family(
        VaultGemmaConfig(**SIZE, **MIXED, sliding_window=WINDOW, attn_logit_softcapping=1.0), CAP),
    "gpt-oss, sinks": Family(
        GptOssConfig(**SIZE, **MIXED, sliding_window=WINDOW, num_local_experts=4,
                     num_experts_per_tok=2), SINKS),
    "t5gemma, soft cap": Family(t5gemma(), CAP),
}  # fmt: skip


def auto_class(family: Family):
    return AutoModelForSeq2SeqLM if family.config.is_encoder_decoder else AutoModelForCausalLM


def made(family: Family, attention: str | None = None):
    """With random weights."""
    torch.manual_seed(0)
    options = {"attn_implementation": attention} if attention else {}
    return auto_class(family).from_config(deepcopy(family.config), **options).eval()


def decides(family: Family):
    """The class by whose `_supports_sdpa` transformers chooses torch's attention, or eager."""
    model = auto_class(family)._model_mapping[type(family.config)]
    return next(kind for kind in model.__mro__ if "_supports_sdpa" in vars(kind))


def attention_used(family: Family) -> str:
    """That it is to be trained and to answer with: the version's choice, unless that leaves out
    something."""
    return "sdpa" if decides(family)._supports_sdpa and not family.left_out else "eager"


def choose_sdpa(monkeypatch):
    """Let transformers choose torch's attention for every family, as 4 does for all but gpt-oss; 5
    knows of the soft cap."""
    for family in FAMILIES.values():
        monkeypatch.setattr(decides(family), "_supports_sdpa", True)
