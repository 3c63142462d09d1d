"""Packing: examples concatenated in one row without padding, none of which attends to another.

Linear layers run on real tokens only. Attention, a small part of the compute at sentence lengths,
runs on rows padded within groups of similar length. So no mask over the whole row is needed, whose
memory and time would grow with the square of its length. Position ids restart at 0 with every
example.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from mtray.compat.transformers import attention_of, set_attention, takes_plain_cache
from mtray.data.encoder_decoder import IGNORED, is_encoder_decoder
from mtray.errors import ConfigError
from mtray.schema import Training
from mtray.training.attention import TORCHS, tolerance
from mtray.training.examples import Example, collate
from mtray.training.schedule import micro_batches
from mtray.unwrapped_model import accepts_argument, unwrapped

NAME = "mtray_packed"  # in transformers' registry of attention functions
WASTE = 0.25  # largest share of padding in a group's attention rows
TRIED = (3, 40)  # examples of the check, and tokens of each


@dataclass(frozen=True)
class Group:
    """Examples whose attention is computed together: the tokens from `start` to `end` of the row,
    scattered to `places` (tokens,) of `rows` * `width`."""

    start: int
    end: int
    rows: int
    width: int
    places: torch.Tensor


@dataclass(frozen=True)
class PackedRow:
    """One packed row. `targets` is padded with `IGNORED`.

    - `ids`, `positions`: token and position ids, shape (1, tokens).
    - `targets`: ids of the tokens with a loss, shape (targets,).
    - `before`: index in the row from which each target is predicted, shape (targets,).
    """

    ids: torch.Tensor
    positions: torch.Tensor
    targets: torch.Tensor
    before: torch.Tensor
    groups: tuple[Group, ...]


def pack(examples: Sequence[Example], device: Any) -> PackedRow:
    """One row of the examples, shortest first, with a few padding tokens at its end."""
    ordered = sorted(examples, key=lambda e: len(e[0]))
    lengths = np.array([len(ids) for ids, _ in ordered])
    ends = np.cumsum(lengths)
    ids = np.concatenate([ids for ids, _ in ordered]).astype(np.int64)
    rest = _round(len(ids)) - len(ids)
    positions = np.arange(len(ids)) - np.repeat(ends - lengths, lengths)
    loss_from = np.repeat([max(1, start) for _, start in ordered], lengths)
    wanted = np.flatnonzero(positions >= loss_from)
    spare = _round(len(wanted)) - len(wanted)

    def given(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values).to(device)

    groups = []
    for rows in micro_batches(np.arange(len(ordered)), lengths, 1 << 62, WASTE):
        width, start, end = int(lengths[rows[-1]]), ends[rows[0]] - lengths[rows[0]], ends[rows[-1]]
        which = np.repeat(np.arange(len(rows)), lengths[rows])
        places = which * width + positions[start:end]
        groups.append(Group(int(start), int(end), len(rows), width, given(places)))
    return PackedRow(
        given(np.pad(ids, (0, rest)))[None], given(np.pad(positions, (0, rest)))[None],
        given(np.pad(ids[wanted], (0, spare), constant_values=IGNORED)),
        given(np.pad(wanted - 1, (0, spare))), tuple(groups),
    )  # fmt: skip


class _Spread(torch.autograd.Function):
    """Scatters tokens to their places, zeros elsewhere. Every place is used once, so the backward
    pass is a gather, where torch would accumulate; `_Gather` is the inverse."""

    @staticmethod
    def forward(ctx: Any, tokens: torch.Tensor, places: torch.Tensor, size: int) -> torch.Tensor:
        ctx.save_for_backward(places)
        return tokens.new_zeros(size, *tokens.shape[1:]).index_copy_(0, places, tokens)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        return grad.index_select(0, ctx.saved_tensors[0]), None, None


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, padded: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(places)
        ctx.size = len(padded)
        return padded.index_select(0, places)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> Any:
        whole = grad.new_zeros(ctx.size, *grad.shape[1:])
        return whole.index_copy_(0, ctx.saved_tensors[0], grad), None


def _round(tokens: int) -> int:
    """Round a length up so that few distinct lengths occur: oneDNN compiles its matrix products for
    every new shape, which in bf16 takes as long as the product itself."""
    step = max(16, 1 << max(0, tokens.bit_length() - 5))
    return -(-tokens // step) * step


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    packed: PackedRow | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """With the signature of transformers' attention functions: (1, heads, tokens, width) in, (1,
    tokens, heads, width) out."""
    if packed is None or not getattr(module, "is_causal", True):
        raise TypeError(f"{type(module).__name__} cannot be packed")
    dtype, device_type = query.dtype, query.device.type
    # torch's CPU attention is several times slower in bf16 than in fp32, above all backward
    on_cpu = device_type == "cpu"
    rows = [x[0].transpose(0, 1).float() if on_cpu else x[0].transpose(0, 1)
            for x in (query, key, value)]  # fmt: skip
    parts = []
    with torch.autocast(device_type, enabled=torch.is_autocast_enabled(device_type) and not on_cpu):
        for group in packed.groups:
            spread = [_spread(x[group.start : group.end], group) for x in rows]
            found = _attend(module, spread, options)
            flat = found.reshape(group.rows * group.width, *found.shape[2:])
            parts.append(_Gather.apply(flat, group.places))
    nobody = rows[0].new_zeros(len(rows[0]) - packed.groups[-1].end, *rows[0].shape[1:])
    return torch.cat([*parts, nobody])[None].to(dtype), None


def _attend(module: Any, inputs: Sequence[torch.Tensor], options: dict[str, Any]) -> torch.Tensor:
    """Causal attention over right-padded rows, (rows, width, heads, size)."""
    width = inputs[0].shape[2]
    window, mask = options.get("sliding_window"), None
    if window and width > window:
        ones = torch.ones(width, width, dtype=torch.bool, device=inputs[0].device)
        mask = (ones.tril() & ones.triu(1 - window))[None, None]
    kept = {name: options[name] for name in ("dropout", "scaling") if name in options}
    found: torch.Tensor = sdpa_attention_forward(
        module, *inputs, attention_mask=mask, is_causal=mask is None, **kept
    )[0]
    return found


def _spread(tokens: torch.Tensor, group: Group) -> torch.Tensor:
    """(tokens, heads, size) -> (rows, heads, width, size), zero at padding."""
    flat = _Spread.apply(tokens, group.places, group.rows * group.width)
    found: torch.Tensor = flat.view(group.rows, group.width, *tokens.shape[1:]).transpose(1, 2)
    return found


@contextmanager
def packed_attention(model: Any) -> Iterator[None]:
    """The model accepts packed rows inside the context and is restored afterwards."""
    inner = unwrapped(model)
    before = attention_of(inner.config)
    AttentionInterface.register(NAME, _attention)
    set_attention(inner, NAME)
    try:
        yield
    finally:
        set_attention(inner, before)


def packed_loss(engine: Any, examples: Sequence[Example]) -> torch.Tensor:
    """Negative log-likelihood in nats, summed over the examples' target tokens. It and its backward
    pass must run inside `packed_attention`. Logits are computed only for the targets."""
    row = pack(examples, engine.device)
    logits = _forward(engine.forward, row)
    return torch.nn.functional.cross_entropy(
        logits.float(), row.targets, ignore_index=IGNORED, reduction="sum"
    )


def _forward(model: Any, row: PackedRow) -> torch.Tensor:
    """Logits of the targets, shape (targets, vocabulary)."""
    found: torch.Tensor = model(
        input_ids=row.ids, position_ids=row.positions, attention_mask=_no_mask(row.ids),
        use_cache=False, logits_to_keep=row.before, packed=row,
    ).logits[0]  # fmt: skip
    return found


def _no_mask(ids: torch.Tensor) -> torch.Tensor:
    """A four-dimensional mask is passed through unchanged; from one of fewer dimensions
    transformers would build a mask of the row's squared length."""
    return torch.ones((1, 1, 1, 1), dtype=torch.bool, device=ids.device)


def use_packing(model: Any, examples: Sequence[Example], training: Training) -> bool:
    """Whether the micro-batches of `model` are packed rows: where packing is allowed and a test
    shows that it gives the same logits as each example alone. Raises ConfigError where the study
    requires packing and the test fails."""
    if training.packing == "off":
        return False
    why = _why_never(model) or _why_not(model, examples)
    if why and training.packing == "on":
        raise _cannot(model, why)
    return not why


def packing_note(model: Any, training: Training) -> str:
    """Why the micro-batches of a model are padded rows although the study leaves it to mtray; empty
    where they may be packed, where the study decides, and for encoder-decoder models, which are
    never packed."""
    why = "" if training.packing != "auto" or is_encoder_decoder(model) else _why_never(model)
    return f"the model's micro-batches are padded, not packed: {why}" if why else ""


def check_packing(model: Any) -> None:
    """ConfigError where no model of that class and config accepts packed rows, whatever its
    weights."""
    if why := _why_never(model):
        raise _cannot(model, why)


def _cannot(model: Any, why: str) -> ConfigError:
    return ConfigError(
        f"training.packing is on, but {type(model).__name__} cannot use packed rows: {why}; "
        "allowed: auto, off"
    )


def _why_never(model: Any) -> str:
    if is_encoder_decoder(model):
        return "it has an encoder"
    if not takes_plain_cache(model):
        return "some of its layers carry a state from one token to the next, past an example's end"
    if not accepts_argument(model, "logits_to_keep", "position_ids"):
        return "it takes no `logits_to_keep` or no `position_ids`"
    if (name := attention_of(model.config.get_text_config())) != TORCHS:
        return f"its attention is {name or 'unknown'}, not torch's own ({TORCHS})"
    return ""


def _why_not(model: Any, examples: Sequence[Example]) -> str:
    """Empty where a test shows that packed rows give the logits of every example alone."""
    count, most = TRIED
    tried = [(ids[:most], min(start, most - 1)) for ids, start in examples[:count]]
    was_training, device = model.training, next(model.parameters()).device
    model.eval()
    try:
        with torch.no_grad():
            row = pack(tried, device)
            alone = [
                model(input_ids=collate([e], device)[0], use_cache=False).logits[0]
                for e in sorted(tried, key=lambda e: len(e[0]))
            ]
            with packed_attention(model):
                found = _forward(model, row)
    # a model whose code passes the row to other functions can raise any of their exceptions
    except (TypeError, ValueError, RuntimeError, KeyError, AttributeError) as error:
        return f"{type(error).__name__}: {error}"[:200]
    finally:
        model.train(was_training)
    wanted = torch.cat(alone)[row.before]
    far = float((found - wanted).abs().max() / wanted.abs().max())
    return "" if far <= tolerance(model) else f"its scores differ by {far:.2g} from those alone"
