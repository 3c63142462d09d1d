"""Which attention a model computes with: the one that transformers chose, mostly torch's own
(`sdpa`), or transformers' plain one (`eager`) where the chosen one leaves out a setting that
changes the scores. torch's has no soft cap, for example, and Gemma 2 is not Gemma 2 without it:
transformers 5 chooses `eager` for it, transformers 4 does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from mtray.compat.transformers import attention_of, set_attention
from mtray.data.encoder_decoder import is_encoder_decoder
from mtray.model_paths import on_one_line
from mtray.unwrapped_model import accepts_argument

EAGER, TORCHS = "eager", "sdpa"
# settings of a config that are known to be left out by torch's attention
LEFT_OUT = ("attn_logit_softcapping",)
# settings that limit how far back a token attends
WINDOWS = ("sliding_window", "attention_chunk_size")
LENGTHS = (40, 25)  # tokens of the rows that are tried, the shorter one padded on the left
BEYOND = 16  # tokens by which one more row is longer than the window
# longest window that is tried; a longer one would take seconds, and both attentions get their masks
# from the same function
LONGEST_WINDOW = 512
# largest difference between logits, relative to the largest one; rounding is 1e-6 in fp32 and 1e-2
# in 16 bits, which quantized weights compute in as well
TOLERANCE, TOLERANCE_16_BITS = 1e-3, 5e-2
# raised where there is no other attention, and by code that comes with a model
ERRORS = (TypeError, ValueError, RuntimeError, LookupError, AttributeError, ImportError)
REASON = "_mtray_attention"  # attribute of a model, which its copies have as well


def setting_left_out(config: Any) -> str:
    """The setting of a model's config that torch's attention is known to leave out, with its
    value; empty without one."""
    text = config.get_text_config()
    found = [f"{name} {getattr(text, name):g}" for name in LEFT_OUT if getattr(text, name, None)]
    return ", ".join(found)


def honour_settings(model: Any) -> None:
    """Let a model compute with `eager` where its attention is known to leave out a setting, and
    note why, also where transformers chose it. Needs no weights."""
    chosen, left_out = attention_of(model.config), setting_left_out(model.config)
    if chosen and left_out:
        _set_eager(model, TORCHS if chosen == EAGER else chosen, f"leaves out {left_out}")


def compare_with_eager(model: Any) -> None:
    """The same where a few rows fail with its attention, as the soft cap does with torch's in
    transformers 5, or their logits differ from those of `eager` by more than rounding. Models
    without another attention, or whose code does not accept the rows, are left as they are."""
    chosen = attention_of(model.config)
    if chosen in ("", EAGER):
        return
    try:
        why = _why_eager(model)
    except ERRORS:
        return
    finally:
        set_attention(model, chosen)
    if why:
        _set_eager(model, chosen, why)


def attention_note(model: Any) -> str:
    """Why the model computes with `eager`; empty where it does not, or where its class has nothing
    else and no setting is known to need it."""
    return str(getattr(model, REASON, ""))


def tolerance(model: Any) -> float:
    """The larger one for a model that computes in 16 bits without autocast."""
    few = getattr(model, "is_quantized", False) or any(
        p.is_floating_point() and p.itemsize == 2 for p in model.parameters()
    )
    return TOLERANCE_16_BITS if few else TOLERANCE


def _set_eager(model: Any, other: str, why: str) -> None:
    if set_attention(model, EAGER):
        setattr(model, REASON, f"{EAGER}, since {other} {why}")


def _why_eager(model: Any) -> str:
    """Empty where the model's attention gives the logits of `eager`. Raises one of `ERRORS` where
    `eager` fails too. Leaves the model with `eager`."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            inputs = list(_inputs(model))
            try:
                chosen = [_logits(model, given) for given in inputs]
            except ERRORS as error:
                chosen, failed = [], on_one_line(error)
            if not set_attention(model, EAGER):
                raise NotImplementedError("there is nothing to compare with")
            eager = [_logits(model, given) for given in inputs]
    finally:
        model.train(was_training)
    if not chosen:
        return f"fails: {failed}"
    far = _difference(chosen, eager)
    same = far <= tolerance(model)
    return "" if same else f"gives other scores (by {far:.2g} of the largest)"


def _difference(chosen: Sequence[torch.Tensor], eager: Sequence[torch.Tensor]) -> float:
    """Largest difference of logits, relative to the largest of `eager`. NaN where one of the two
    is not finite."""
    pairs = zip(chosen, eager, strict=True)
    # not `max` of Python, which drops NaN
    differences = torch.stack([(a - b).abs().max() / b.abs().max() for a, b in pairs])
    return float(differences.max())


def _inputs(model: Any) -> Iterator[dict[str, torch.Tensor]]:
    """As in training, a row without a mask, which is longer than the window; and as in generation,
    rows padded on the left."""
    text = model.config.get_text_config()
    device = next(model.parameters()).device
    tokens = int(model.get_input_embeddings().num_embeddings)
    longest = int(getattr(text, "max_position_embeddings", None) or 1 << 30)

    def ids(rows: int, width: int) -> torch.Tensor:
        # a fixed sequence without short repetitions
        steps = torch.arange(rows * min(width, longest), device=device)
        return ((steps * 7919 + 3) % tokens).view(rows, -1)

    windows = [w for name in WINDOWS if (w := getattr(text, name, None))]
    over = [w + BEYOND for w in windows if w <= LONGEST_WINDOW]
    yield _given(model, ids(1, max(over, default=LENGTHS[0])))
    if not is_encoder_decoder(model):  # whose encoder's rows are padded on the right
        padded = ids(2, LENGTHS[0])
        mask = torch.ones_like(padded)
        mask[1, : max(0, padded.shape[1] - LENGTHS[1])] = 0
        yield _given(model, padded, mask)


def _given(model: Any, ids: torch.Tensor, mask: Any = None) -> dict[str, torch.Tensor]:
    given = {"input_ids": ids}
    if is_encoder_decoder(model):
        given["decoder_input_ids"] = ids
    if mask is not None:
        given["attention_mask"] = mask
        if accepts_argument(model, "position_ids"):
            given["position_ids"] = (mask.cumsum(1) - 1).clamp(min=0)
    return given


def _logits(model: Any, given: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Of all tokens but padding, shape (tokens, vocabulary)."""
    found: torch.Tensor = model(**given, use_cache=False).logits.float()
    return found[given["attention_mask"] > 0] if "attention_mask" in given else found[0]
