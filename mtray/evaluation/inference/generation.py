"""Generates the answers of one batch. Greedy decoding is the loop of transformers' `generate`
without its overhead per step and without finished rows.

A batch takes as long as its longest answer. Rows that have ended leave the batch and its cache, so
that the last, long answers (above all a weak model's repetitions) are computed alone. Models with
another kind of cache, and beam search, use `generate` itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from mtray.data.chat import end_of_turn_ids
from mtray.data.encoder_decoder import is_encoder_decoder, right_padded, source_ids
from mtray.data.tokenization import Ids
from mtray.evaluation.inference.batching import (
    GENERATED,
    Batch,
    EncodedRequest,
    Settings,
    by_length,
)
from mtray.evaluation.inference.requests import Output
from mtray.unwrapped_model import unwrapped

if TYPE_CHECKING:
    from mtray.evaluation.inference.transformers_generate import GenerationInput

from mtray.evaluation.inference.model_calls import (
    device_of,
    last_only,
    left_padded,
    plain_attention,
    supports_own_loop,
    with_cache,
)

# rows leave when this share of the batch has ended: leaving copies the cache, staying wastes
# compute
LEAVING_SHARE = 0.15
# steps between two checks whether to stop
STEPS_BETWEEN_CHECKS = 16


def newline_ids(tokenizer: Any) -> Ids:
    """Every token whose text contains a line feed, such as `\\n` and `.\\n`."""
    return list(_newline_ids(tokenizer))


def blank_line_ids(tokenizer: Any) -> Ids:
    """Those of them that contain nothing else: as an answer's first token they would make it
    empty."""
    return list(_blank_line_ids(tokenizer))


@lru_cache(maxsize=2)
def _blank_line_ids(tokenizer: Any) -> tuple[int, ...]:
    return tuple(i for i in _newline_ids(tokenizer) if not tokenizer.decode([i]).strip())


@lru_cache(maxsize=2)  # slow for a large vocabulary
def _newline_ids(tokenizer: Any) -> tuple[int, ...]:
    # Ċ is the byte-level form of a line feed, and a letter of Maltese elsewhere: the decoded text
    # decides
    candidates = [
        index
        for token, index in tokenizer.get_vocab().items()
        if "Ċ" in token or "\n" in token or token == "<0x0A>"
    ]
    return tuple(sorted(i for i in candidates if "\n" in tokenizer.decode([i])))


def end_ids(model: Any, tokenizer: Any) -> Ids:
    """End tokens of the tokenizer, of its chat template and of the model's generation config (chat
    models have several)."""
    configured = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    several = configured if isinstance(configured, list | tuple) else [configured]
    ends = (*several, tokenizer.eos_token_id, *end_of_turn_ids(tokenizer))
    return sorted({i for i in ends if i is not None})


def padding_id(model: Any, tokenizer: Any, stops: Ids) -> int:
    """A token before shorter prompts, which is masked but looked up: the pad token, or another
    where there is none or the model has no embedding of it."""
    pad = tokenizer.pad_token_id
    rows = unwrapped(model).config.get_text_config().vocab_size
    return pad if pad is not None and pad < rows else (stops or [0])[0]


def generating_batches(
    settings: Settings, jobs: Sequence[EncodedRequest], max_tokens: int
) -> list[Batch]:
    """Batches of (index, prompt's ids, maximum new tokens), each of at most `max_tokens` tokens
    over all beams."""
    # a row is decoded once for each beam, and a beam search ends for all rows at once
    groups = [list(jobs)]
    if settings.beams > 1:
        by_limit = sorted(jobs, key=lambda job: -job[2])
        groups = [list(same) for _, same in groupby(by_limit, key=lambda job: job[2])]
    batches = [b for g in groups for b in by_length(g, max_tokens // settings.beams, True)]
    return [
        Batch(partial(_generate, settings, batch), len(batch), _cost(settings, batch))
        for batch in batches
    ]


def _cost(settings: Settings, batch: Sequence[EncodedRequest]) -> int:
    """An answer is assumed to be as long as its prompt, within its limit."""
    width = max(len(ids) for _, ids, _ in batch)
    answers = sum(min(limit, len(ids)) for _, ids, limit in batch)
    return len(batch) * width + GENERATED * settings.beams * answers


def _generate(
    settings: Settings, batch: Sequence[EncodedRequest], stop_if_asked: Callable[[], None]
) -> dict[int, Output]:
    """Answers of one batch, by index."""
    from mtray.evaluation.inference import transformers_generate

    model, tokenizer = settings.model, settings.tokenizer
    ends = end_ids(model, tokenizer)
    stops = sorted({*ends, *(newline_ids(tokenizer) if settings.stop_at_newline else [])})
    begins = settings.stop_at_newline and settings.suppresses_empty_line
    suppressed = blank_line_ids(tokenizer) if begins else []
    if is_encoder_decoder(model):  # an encoder may count its positions from the first column
        sources = [source_ids(model.config, job[1]) for job in batch]
        ids, mask = right_padded(sources, device_of(model))
    else:
        ids, mask = left_padded(batch, padding_id(model, tokenizer, stops))
        ids, mask = ids.to(device_of(model)), mask.to(device_of(model))
    limits = [job[2] for job in batch]
    asked = transformers_generate.GenerationInput(
        ids, mask, limits, stops, stop_if_asked, suppressed
    )
    if settings.beams > 1:
        rows, sums = transformers_generate.beam_search(model, asked, settings.beams)
    elif supports_own_loop(model):
        rows, sums = _greedy(model, asked)
    else:
        rows, sums = transformers_generate.greedy(model, asked)
    texts = tokenizer.batch_decode(
        [[i for i in row if i not in ends] for row in rows],
        skip_special_tokens=True,
        clean_up_tokenization_spaces=False,
    )
    out = {}
    for (index, _, _), row, text, value in zip(batch, rows, texts, sums, strict=True):
        stopped = bool(row) and row[-1] in stops
        answer = text.split("\n", 1)[0] if settings.stop_at_newline else text
        out[index] = Output(answer.strip(), value, len(row) - stopped, truncated=not stopped)
    return out


def _greedy(model: Any, asked: GenerationInput) -> tuple[list[Ids], list[float]]:
    """New tokens of every row, including the end token, and their summed log-probabilities."""
    import torch
    from transformers import DynamicCache

    ids, mask, limits, stops, stop_if_asked, suppressed = asked
    device = ids.device
    cache = DynamicCache()
    extra = last_only(model) | with_cache(model, cache)
    rows: list[Ids] = [[] for _ in limits]
    sums = torch.zeros(len(limits), dtype=torch.float64, device=device)
    alive = torch.arange(len(limits), device=device)
    limit = torch.tensor(limits, device=device)
    stop = torch.tensor(stops, device=device, dtype=torch.long)
    ended = torch.zeros(len(limits), dtype=torch.bool, device=device)
    width = ids.shape[1]
    mask = torch.cat([mask, mask.new_ones((len(limits), max(limits)))], dim=1)
    position = (mask[:, :width].cumsum(1) - 1).clamp(min=0)
    plain = plain_attention(model)
    for step in range(max(limits)):
        if step % STEPS_BETWEEN_CHECKS == STEPS_BETWEEN_CHECKS - 1:
            stop_if_asked()
        seen = mask[:, : width + step]
        if step and plain:
            # the internal form; transformers derives the same from two dimensions, but slower
            seen = seen[:, None, None].bool()
        given = {"input_ids": ids, "attention_mask": seen, "position_ids": position}
        logits = model(**given, **extra).logits[:, -1]
        allowed = logits
        if suppressed and not step:
            allowed = logits.index_fill(1, torch.tensor(suppressed, device=device), -torch.inf)
        best, token = allowed.max(dim=1)
        gain = (best - logits.float().logsumexp(dim=1)).double()
        sums[alive] += gain.masked_fill(ended, 0.0)
        for place, value, over in zip(alive.tolist(), token.tolist(), ended.tolist(), strict=True):
            if not over:
                rows[place].append(value)
        ended = ended | torch.isin(token, stop) | (step + 1 >= limit)
        left = int((~ended).sum())
        if not left:
            break
        position, ids = position[:, -1:] + 1, token[:, None]
        if left <= (1 - LEAVING_SHARE) * len(ended):
            keep = (~ended).nonzero()[:, 0]
            cache.batch_select_indices(keep)
            alive, limit, ended = alive[keep], limit[keep], ended[keep]
            ids, mask, position = ids[keep], mask[keep], position[keep]
    return rows, sums.tolist()
