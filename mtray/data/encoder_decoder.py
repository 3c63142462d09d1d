"""Prompt and answer for an encoder-decoder model (T5, mT5): the encoder reads the prompt and an end
token, as in pretraining, and the decoder generates the answer. For text without a prompt
(monolingual data) the encoder reads only the end token; there is no span corruption."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

IGNORED = -100


class Pairs(NamedTuple):
    """A batch of an encoder-decoder model, each tensor of shape (rows, longest), right-padded: the
    encoder's ids and mask, the decoder's ids, and its labels, `IGNORED` at padding."""

    source: Any
    mask: Any
    target: Any
    labels: Any


def is_encoder_decoder(model: Any) -> bool:
    return bool(getattr(model.config, "is_encoder_decoder", False))


def source_ids(config: Any, prompt: Sequence[int]) -> list[int]:
    """The encoder's ids for a prompt."""
    end, ids = config.eos_token_id, list(prompt)
    return ids if end is None or ids[-1:] == [end] else [*ids, end]


def start_id(config: Any) -> int:
    """The token that a decoder begins with: T5Gemma's is its begin token."""
    own = getattr(config, "decoder_start_token_id", None)
    return int(config.bos_token_id if own is None else own)


def right_padded(rows: Sequence[Sequence[int]], device: Any) -> tuple[Any, Any]:
    """Ids and mask, shape (rows, longest)."""
    import torch

    ids = torch.zeros((len(rows), max(map(len, rows))), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, tokens in enumerate(rows):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
    return ids.to(device), mask.to(device)


def pairs(config: Any, examples: Sequence[tuple[Any, int]], device: Any) -> Pairs:
    """A batch from ids and the position at which each answer begins."""
    sources = [source_ids(config, [int(i) for i in ids[:start]]) for ids, start in examples]
    answers = [[int(i) for i in ids[start:]] for ids, start in examples]
    source, mask = right_padded(sources, device)
    labels, real = right_padded(answers, device)
    target = labels.new_zeros(labels.shape)
    target[:, 0] = start_id(config)
    target[:, 1:] = labels[:, :-1]
    return Pairs(source, mask, target, labels.masked_fill(real == 0, IGNORED))


def scores(forward: Any, batch: Pairs) -> Any:
    """The decoder's logits, shape (rows, longest, vocabulary)."""
    return forward(
        input_ids=batch.source,
        attention_mask=batch.mask,
        decoder_input_ids=batch.target,
        use_cache=False,
    ).logits


def log_likelihoods(model: Any, rows: Sequence[tuple[Sequence[int], int]]) -> list[float]:
    """The log-likelihood of each row's ids from a position on, in nats, given those before it."""
    device = next(model.parameters()).device
    batch = pairs(model.config, rows, device)
    logits = scores(model, batch)
    sums = []
    for row, (ids, start) in enumerate(rows):
        count = len(ids) - start
        wanted = logits[row, :count].float()
        picked = wanted.gather(1, batch.labels[row, :count, None])[:, 0]
        sums.append(float((picked - wanted.logsumexp(dim=1)).double().sum()))
    return sums
