"""Generates the answers of one batch by transformers' own `generate`: beam search, greedy decoding
of models without the plain cache, and tokens chosen by the caller."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from mtray.data.encoder_decoder import is_encoder_decoder
from mtray.data.tokenization import Ids

# every model is decoded alike, whatever its generation config says
PLAIN: dict[str, Any] = {
    "do_sample": False, "repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "length_penalty": 1.0,
    "use_cache": True, "return_dict_in_generate": True,
}  # fmt: skip


class GenerationInput(NamedTuple):
    """The prompts of a batch and their limits.

    ids, mask: prompts, shape (rows, width), padded as the model requires.
    limits: maximum new tokens of each.
    stops: tokens that end an answer.
    stop_if_asked: raises TrialStopped when asked to stop.
    suppressed: tokens that no answer begins with.
    """

    ids: Any
    mask: Any
    limits: Sequence[int]
    stops: Ids
    stop_if_asked: Callable[[], None]
    suppressed: Sequence[int] = ()


def _generate(model: Any, asked: GenerationInput, **options: Any) -> Any:
    import torch

    def never(ids: Any, scores: Any, **_: Any) -> Any:
        asked.stop_if_asked()
        return torch.zeros(len(ids), dtype=torch.bool, device=ids.device)

    return model.generate(
        input_ids=asked.ids, attention_mask=asked.mask, max_new_tokens=max(asked.limits),
        eos_token_id=asked.stops or None, pad_token_id=(asked.stops or [0])[0],
        begin_suppress_tokens=list(asked.suppressed) or None, stopping_criteria=[never],
        **PLAIN, **options,
    )  # fmt: skip


def _begun(model: Any, asked: GenerationInput) -> int:
    """Number of tokens before the new ones in the output of `generate`: the prompt, or the
    decoder's start token."""
    return 1 if is_encoder_decoder(model) else int(asked.ids.shape[1])


def _cut(row: Ids, limit: int, stops: Ids) -> Ids:
    """New tokens up to and including the first that ends the answer."""
    end = next((i + 1 for i, t in enumerate(row[:limit]) if t in stops), min(limit, len(row)))
    return row[:end]


def greedy(model: Any, asked: GenerationInput) -> tuple[list[Ids], list[float]]:
    """New tokens of every row, including the end token, and their summed log-probabilities."""
    import torch

    found = _generate(model, asked, num_beams=1, output_logits=True)
    tokens = found.sequences[:, _begun(model, asked) :]
    gains = torch.stack(
        [
            logits.float().log_softmax(dim=1).gather(1, tokens[:, step, None])[:, 0]
            for step, logits in enumerate(found.logits)
        ],
        dim=1,
    ).double()
    rows, sums = [], []
    for row, gain, limit in zip(tokens.tolist(), gains.tolist(), asked.limits, strict=True):
        rows.append(_cut(row, limit, asked.stops))
        sums.append(sum(gain[: len(rows[-1])]))
    return rows, sums


def chosen(model: Any, asked: GenerationInput, choose: Callable[[int, Any], Any]) -> list[Ids]:
    """New tokens of every row, including the end token. `choose` takes the step, from 0, and the
    logits (rows, vocabulary), and returns a token for each row."""
    import torch

    width = _begun(model, asked)

    def only(ids: Any, scores: Any) -> Any:
        tokens = choose(ids.shape[1] - width, scores)
        return torch.full_like(scores, -torch.inf).scatter(1, tokens[:, None], 0.0)

    found = _generate(model, asked, num_beams=1, logits_processor=[only])
    rows = found.sequences[:, width:].tolist()
    return [_cut(row, limit, asked.stops) for row, limit in zip(rows, asked.limits, strict=True)]


def beam_search(model: Any, asked: GenerationInput, beams: int) -> tuple[list[Ids], list[float]]:
    """The same for each row's best beam; all rows have one limit.

    The log-probabilities are recomputed: the scores of `generate` are divided by lengths that its
    versions count differently.
    """
    from mtray.evaluation.inference.likelihood import log_likelihoods
    from mtray.runtime import LOGITS_AT_ONCE

    found = _generate(model, asked, num_beams=beams, early_stopping=True)
    width = _begun(model, asked)
    prompts = [ids[used > 0].tolist() for ids, used in zip(asked.ids, asked.mask, strict=True)]
    rows = [
        _cut(row, limit, asked.stops)
        for row, limit in zip(found.sequences[:, width:].tolist(), asked.limits, strict=True)
    ]
    whole = [(p + row, len(p)) for p, row in zip(prompts, rows, strict=True)]
    tokens = max(len(ids) for ids, _ in whole)
    step = max(1, LOGITS_AT_ONCE // (tokens * int(model.config.vocab_size)))
    pieces = [whole[i : i + step] for i in range(0, len(whole), step)]
    return rows, [value for piece in pieces for value in log_likelihoods(model, piece)]
