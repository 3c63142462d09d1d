"""Log-likelihoods of given targets. Targets of one prompt (multiple choice, minimal pairs) share
the prompt's computation if that saves enough."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from mtray.data import encoder_decoder
from mtray.data.tokenization import Ids, encode_examples
from mtray.errors import EvaluationError, ModelError
from mtray.evaluation.inference.batching import Batch, EncodedRequest, Settings, by_length
from mtray.evaluation.inference.model_calls import (
    device_of,
    last_only,
    left_padded,
    supports_own_loop,
    with_cache,
)
from mtray.evaluation.inference.requests import Output, Request, check_length
from mtray.runtime import LOGITS_AT_ONCE

# least share of a prompt's and its targets' tokens that sharing must save, since its cache costs
# time
LEAST_SAVED = 0.25


class Choices(NamedTuple):
    """Targets of one prompt: (index in the list, ids) of each."""

    prompt: Ids
    targets: list[tuple[int, Ids]]

    @property
    def longest(self) -> int:
        return max(len(ids) for _, ids in self.targets)


def scoring_batches(
    settings: Settings, requests: Sequence[Request], jobs: Sequence[EncodedRequest], max_tokens: int
) -> list[Batch]:
    """Batches of at most `max_tokens` tokens for the jobs of `scoring_jobs`."""
    vocabulary = int(settings.model.config.vocab_size)
    shared: list[Choices] = []
    alone = list(jobs)
    if supports_own_loop(settings.model):
        shared, alone = grouped(jobs)
    # a target alone keeps the logits of every token, targets that share a prompt only their own
    at_once = min(max_tokens, max(1, LOGITS_AT_ONCE // vocabulary))
    batches = [
        Batch(
            partial(_score_shared, settings, requests, batch),
            sum(len(c.targets) for c in batch),
            sum(_tokens(c) for c in batch),
        )
        for batch in _choices_batches(shared, max_tokens, at_once)
    ]
    batches += [
        Batch(partial(_score, settings, requests, batch), len(batch), len(batch) * len(batch[0][1]))
        for batch in by_length(alone, at_once)
    ]
    return batches


def scoring_jobs(settings: Settings, requests: Sequence[Request]) -> list[EncodedRequest]:
    """Every request that has a target, with its prompt's and target's ids."""
    chosen = [(i, r.prompt, r.target) for i, r in enumerate(requests) if r.target is not None]
    pairs = [(prompt, target) for _, prompt, target in chosen]
    jobs = []
    encoded = encode_examples(settings.tokenizer, pairs, with_end=False)
    for (index, prompt, target), (ids, start) in zip(chosen, encoded, strict=True):
        if start == 0:
            # without a begin token the first token has no context: the end token marks the text's
            # border instead
            end = settings.tokenizer.eos_token_id
            if end is None:
                raise ModelError("the tokenizer has neither a begin nor an end token")
            ids, start = [end, *ids], 1
        if len(ids) == start:
            raise EvaluationError(f"the target {target!r} after {prompt[-40:]!r} has no tokens")
        check_length(settings.model, len(ids), prompt or target)
        jobs.append((index, ids, start))
    return jobs


def grouped(jobs: Sequence[EncodedRequest]) -> tuple[list[Choices], list[EncodedRequest]]:
    """Targets that share a prompt with enough savings, and the other jobs."""
    by_prompt: dict[tuple[int, ...], list[EncodedRequest]] = {}
    for job in jobs:
        by_prompt.setdefault(tuple(job[1][: job[2]]), []).append(job)
    shared: list[Choices] = []
    alone: list[EncodedRequest] = []
    for prompt, same in by_prompt.items():
        saved = (len(same) - 1) * len(prompt)
        if saved and saved >= LEAST_SAVED * sum(len(ids) for _, ids, _ in same):
            targets = [(index, ids[start:]) for index, ids, start in same]
            shared.append(Choices(list(prompt), targets))
        else:
            alone += same
    return shared, alone


def _tokens(choices: Choices) -> int:
    return len(choices.prompt) + len(choices.targets) * choices.longest


def _choices_batches(
    shared: Sequence[Choices], max_tokens: int, logits: int
) -> list[list[Choices]]:
    """Batches of at most `max_tokens` tokens in the cache, where every target has a copy of its
    prompt, and `logits` positions whose logits are kept. A single target may exceed both."""
    pieces = []
    for choices in shared:
        most = min(max_tokens // (len(choices.prompt) + choices.longest), logits // choices.longest)
        # longest first, so that the parts of many targets have similar lengths
        targets = sorted(choices.targets, key=lambda t: (-len(t[1]), t[1]))
        step = max(1, most)
        pieces += [
            Choices(choices.prompt, targets[i : i + step]) for i in range(0, len(targets), step)
        ]
    batches: list[list[Choices]] = []
    rows = width = longest = 0
    for piece in sorted(pieces, key=lambda c: (-len(c.prompt), -c.longest, c.prompt, c.targets)):
        rows += len(piece.targets)
        longest = max(longest, piece.longest)
        width = max(width, len(piece.prompt))
        if not batches or rows * (width + longest) > max_tokens or rows * longest > logits:
            batches.append([])
            rows, longest, width = len(piece.targets), piece.longest, len(piece.prompt)
        batches[-1].append(piece)
    return batches


def log_likelihoods(model: Any, rows: Sequence[tuple[Ids, int]]) -> list[float]:
    """Log-likelihood, in nats, of the ids of each row from an index on.

    Right-padded and causal: no token attends to the padding after it, and the mask hides it from
    models that would.
    """
    import torch

    if encoder_decoder.is_encoder_decoder(model):
        return encoder_decoder.log_likelihoods(model, rows)
    ids, mask = encoder_decoder.right_padded([tokens for tokens, _ in rows], device_of(model))
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    sums = []
    for row, (tokens, start) in enumerate(rows):
        # one row at a time: a float copy of the whole batch would double its memory
        scores = logits[row, start - 1 : len(tokens) - 1].float()
        picked = scores.gather(1, ids[row, start : len(tokens), None])[:, 0]
        sums.append((picked - scores.logsumexp(dim=1)).double().sum())
    found: list[float] = torch.stack(sums).tolist()
    return found


def _score(
    settings: Settings,
    requests: Sequence[Request],
    batch: Sequence[EncodedRequest],
    _: Callable[[], None],
) -> dict[int, Output]:
    values = log_likelihoods(settings.model, [(ids, start) for _, ids, start in batch])
    return {
        index: Output(str(requests[index].target), value, len(ids) - start)
        for (index, ids, start), value in zip(batch, values, strict=True)
    }


def _score_shared(
    settings: Settings, requests: Sequence[Request], batch: Sequence[Choices], _: Callable[[], None]
) -> dict[int, Output]:
    """Compute the prompts once; then copy their cache for each target and process the targets."""
    import torch
    from transformers import DynamicCache

    model = settings.model
    device = device_of(model)
    ids, mask = left_padded([(0, c.prompt, 0) for c in batch], 0)
    ids, mask = ids.to(device), mask.to(device)
    position = (mask.cumsum(1) - 1).clamp(min=0)
    cache = DynamicCache()
    cached = with_cache(model, cache)
    logits = model(
        input_ids=ids, attention_mask=mask, position_ids=position, **cached, **last_only(model)
    ).logits[:, -1]
    targets = [(owner, *target) for owner, c in enumerate(batch) for target in c.targets]
    owners = torch.tensor([owner for owner, _, _ in targets], device=device)
    first = torch.tensor([tokens[0] for _, _, tokens in targets], device=device)
    sums = logits.float().log_softmax(dim=1)[owners, first].double()
    rows = [row for row, (_, _, tokens) in enumerate(targets) if len(tokens) > 1]
    if rows:
        owners = owners[rows]
        cache.batch_select_indices(owners)
        unread = [targets[row][2][:-1] for row in rows]
        read, seen = encoder_decoder.right_padded(unread, device)
        ahead = torch.arange(1, read.shape[1] + 1, device=device)
        logits = model(
            input_ids=read,
            attention_mask=torch.cat([mask[owners], seen], dim=1),
            position_ids=position[owners, -1:] + ahead,
            **cached,
        ).logits
        for place, row in enumerate(rows):
            rest = torch.tensor(targets[row][2][1:], device=device)
            scores = logits[place, : len(rest)].float()
            gain = scores.gather(1, rest[:, None])[:, 0] - scores.logsumexp(dim=1)
            sums[row] += gain.double().sum()
    return {
        index: Output(str(requests[index].target), value, len(tokens))
        for (_, index, tokens), value in zip(targets, sums.tolist(), strict=True)
    }
