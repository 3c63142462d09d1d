"""Properties of a model and its input that generation and likelihood need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtray.compat.transformers import attention_of, cache_argument, takes_plain_cache
from mtray.data.encoder_decoder import is_encoder_decoder
from mtray.evaluation.inference.batching import EncodedRequest
from mtray.unwrapped_model import accepts_argument, unwrapped


def device_of(model: Any) -> Any:
    return next(model.parameters()).device


def supports_own_loop(model: Any) -> bool:
    """Whether the model accepts the plain cache and positions; state-space and ALiBi models, for
    example, do not."""
    inner = unwrapped(model)
    return (
        bool(cache_argument(inner))
        and accepts_argument(model, "position_ids")
        and not is_encoder_decoder(inner)
        and takes_plain_cache(inner)
    )


def with_cache(model: Any, cache: Any) -> dict[str, Any]:
    """The arguments with which the model reads and extends the cache."""
    return {cache_argument(unwrapped(model)): cache, "use_cache": True}


def plain_attention(model: Any) -> bool:
    """Whether every layer attends to all preceding tokens, by torch's own attention, and the code
    is transformers' own, which accepts a four-dimensional mask unchanged."""
    inner = unwrapped(model)
    config = inner.config.get_text_config()
    windows = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size")]
    return (
        type(inner).__module__.startswith("transformers.models.llama")
        and attention_of(config) == "sdpa"
        and not any(windows)
    )


def last_only(model: Any) -> dict[str, int]:
    """The argument that keeps only the last position's logits, which is enough for a prompt; empty
    if the model has none."""
    return {"logits_to_keep": 1} if accepts_argument(model, "logits_to_keep") else {}


def left_padded(batch: Sequence[EncodedRequest], pad: int) -> tuple[Any, Any]:
    """Ids and mask, each of shape (rows, longest prompt): prompts end in the same column."""
    import torch

    width = max(len(job[1]) for job in batch)
    ids = torch.full((len(batch), width), pad)
    mask = torch.zeros_like(ids)
    for row, (_, tokens, _) in enumerate(batch):
        ids[row, width - len(tokens) :] = torch.tensor(tokens)
        mask[row, width - len(tokens) :] = 1
    return ids, mask
