"""Samples texts from a model after a given beginning: nucleus sampling (Holtzman et al. 2020) with
one random number for each token. A text depends on its seed and its number and not on the hardware
or batch, except for rounding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mtray.data.tokenization import Ids
from mtray.evaluation.inference import transformers_generate
from mtray.evaluation.inference.batching import Settings
from mtray.evaluation.inference.generation import end_ids
from mtray.evaluation.inference.model_calls import device_of
from mtray.evaluation.inference.requests import Progress

LIKELY = 1024  # tokens that are sorted at first


class SampledText(NamedTuple):
    """`ended`: by an end token, within `max_new_tokens`."""

    text: str
    ended: bool


@dataclass(frozen=True)
class Sampling:
    """`top_p`: sample from the most likely tokens with this total probability."""

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0

    def draws(self, number: int) -> Any:
        """The random numbers of one text, in [0, 1), shape (max_new_tokens,)."""
        return np.random.default_rng([self.seed, number]).random(self.max_new_tokens)


def sampled_tokens(logits: Any, draws: Any, temperature: float, top_p: float) -> Any:
    """A token for every row. `logits` (rows, vocabulary), `draws` (rows,) in [0, 1). Tokens are
    ordered by probability; the whole vocabulary is sorted only for a draw beyond the most likely
    tokens."""
    import torch

    chances = (logits.double() / temperature).softmax(dim=1)
    likely, tokens = chances.topk(min(LIKELY, chances.shape[1]))
    known = likely.sum(dim=1)
    chosen = _chosen(likely, tokens, draws, top_p)
    for row in torch.nonzero((known < top_p) & ((top_p < 1) | (draws >= known)))[:, 0]:
        here = slice(row, row + 1)
        ordered, tokens = chances[here].sort(dim=1, descending=True, stable=True)
        chosen[here] = _chosen(ordered, tokens, draws[here], top_p)
    return chosen


def _chosen(chances: Any, tokens: Any, draws: Any, top_p: float) -> Any:
    before = chances.cumsum(dim=1) - chances
    chances = chances.masked_fill(before >= top_p, 0.0)  # the most likely token always stays
    reached = chances.cumsum(dim=1)
    of = reached[:, -1:] if top_p < 1 else 1.0
    place = (reached <= draws[:, None] * of).sum(dim=1, keepdim=True)
    last = (chances > 0).sum(dim=1, keepdim=True) - 1
    return tokens.gather(1, place.minimum(last))[:, 0]


def sample(
    settings: Settings,
    start: Ids,
    count: int,
    sampling: Sampling,
    progress: Progress | None = None,
) -> list[SampledText]:
    """`count` texts that continue `start`, without `start` itself. With a larger `count` the first
    ones stay the same."""
    import torch

    model, tokenizer = settings.model, settings.tokenizer
    stops = end_ids(model, tokenizer)
    device = device_of(model)
    at_once = max(1, settings.max_tokens // (len(start) + sampling.max_new_tokens))
    found: list[SampledText] = []
    was_training = model.training
    model.eval()
    try:
        for first in range(0, count, at_once):
            numbers = range(first, min(count, first + at_once))
            draws = torch.tensor(np.stack([sampling.draws(n) for n in numbers]), device=device)
            ids = torch.tensor([start] * len(numbers), device=device)
            limits = [sampling.max_new_tokens] * len(numbers)
            asked = transformers_generate.GenerationInput(
                ids, torch.ones_like(ids), limits, stops, lambda: None
            )

            def choose(step: int, logits: Any, draws: Any = draws) -> Any:
                return sampled_tokens(logits, draws[:, step], sampling.temperature, sampling.top_p)

            with torch.inference_mode():
                rows = transformers_generate.chosen(model, asked, choose)
            found += _texts(tokenizer, rows, stops)
            if progress is not None:
                progress(len(found), count)
    finally:
        model.train(was_training)
    return found


def _texts(tokenizer: Any, rows: Sequence[Ids], stops: Ids) -> list[SampledText]:
    texts = tokenizer.batch_decode(
        [[i for i in row if i not in stops] for row in rows],
        skip_special_tokens=True, clean_up_tokenization_spaces=False,
    )  # fmt: skip
    return [
        SampledText(text.strip(), bool(row) and row[-1] in stops)
        for text, row in zip(texts, rows, strict=True)
    ]
