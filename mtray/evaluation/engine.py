"""Requests to a causal language model, answered in batches: a greedy one-line answer, or the
log-likelihood of a given one.

    run_requests(model, tokenizer, [Request("English: Hi.\\nUkrainian:", None, 64)])
    -> [Output(text="Привіт.", log_likelihood=-2.1, tokens=4, truncated=False)]

The model stays on its device and in its number format; `autocast` computes in another one. Which
other requests stand in a batch changes an answer only by rounding."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mtray.data.tokenise import Ids, encode_examples, prompt_ids_batch
from mtray.errors import EvaluationError, ModelError, TrialStopped, ValueNotFinite

# elements of the logits of one scoring batch, so that a vocabulary of 256,000 takes 1 GiB in 32
# bits
LOGITS_AT_ONCE = 2**28

Progress = Callable[[int, int], None]
Job = tuple[int, Ids, int]  # (place in the list, ids, tokens to generate or length of the prompt)


@dataclass(frozen=True)
class Request:
    """`target` None: an answer of at most `max_new_tokens`. Otherwise: how likely is `target` after
    `prompt` and a space; with an empty prompt, after nothing."""

    prompt: str
    target: str | None
    max_new_tokens: int = 64


@dataclass(frozen=True)
class Output:
    """`text` is the answer up to its line's end, stripped, or the target. `log_likelihood`, in
    nats, is of what was generated (with the token that ended it) or of the target (without an end
    token); `tokens` counts the text's own. `truncated`: the answer met `max_new_tokens` before its
    end."""

    text: str
    log_likelihood: float
    tokens: int
    truncated: bool = False


def run_requests(
    model: Any,
    tokenizer: Any,
    requests: Sequence[Request],
    *,
    max_tokens_per_batch: int = 8192,
    stop_at_newline: bool = True,
    autocast: Any = None,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> list[Output]:
    """Outputs in the order of the requests; identical requests are answered once.

    A batch holds at most `max_tokens_per_batch` tokens with padding and room for the answers.
    `autocast` is a torch dtype or None. `progress` is called with (done, all). Raises TrialStopped
    soon after `should_stop` says so, EvaluationError when a request does not fit the model or the
    model's numbers are not finite."""
    import torch

    from mtray.evaluation.generation import generate

    unique = list(dict.fromkeys(requests))
    counter = _Counter(len(unique), progress, should_stop)
    settings = _Settings(model, tokenizer, max_tokens_per_batch, stop_at_newline)
    found: dict[int, Output] = {}
    device_type = next(model.parameters()).device.type
    cast = torch.autocast(device_type, autocast) if autocast else contextlib.nullcontext()
    was_training = model.training
    # a model that is trained on may keep what it computes here (positions of a longer text), and
    # gradients do not flow through tensors of inference mode
    no_gradients = torch.no_grad() if was_training else torch.inference_mode()
    model.eval()
    try:
        with no_gradients, cast:
            for batch in _batches(_scoring_jobs(settings, unique), settings.scoring_tokens()):
                found.update(_score(settings, unique, batch))
                counter.add(len(batch))
            for batch in _batches(_generating_jobs(settings, unique), max_tokens_per_batch, True):
                found.update(
                    generate(model, tokenizer, batch, stop_at_newline, counter.stop_if_asked)
                )
                counter.add(len(batch))
    finally:
        model.train(was_training)
    for index, output in found.items():
        if not math.isfinite(output.log_likelihood):
            raise ValueNotFinite(
                f"the model's log-likelihood after {unique[index].prompt[:60]!r} is "
                f"{output.log_likelihood}"
            )
    places = {request: index for index, request in enumerate(unique)}
    return [found[places[request]] for request in requests]


@dataclass
class _Counter:
    total: int
    progress: Progress | None
    should_stop: Callable[[], bool] | None
    done: int = 0

    def stop_if_asked(self) -> None:
        if self.should_stop is not None and self.should_stop():
            raise TrialStopped(f"stopped after {self.done} of {self.total} requests")

    def add(self, count: int) -> None:
        self.done += count
        if self.progress is not None:
            self.progress(self.done, self.total)
        self.stop_if_asked()


@dataclass(frozen=True)
class _Settings:
    model: Any
    tokenizer: Any
    max_tokens: int
    stop_at_newline: bool

    def scoring_tokens(self) -> int:
        return min(self.max_tokens, LOGITS_AT_ONCE // int(self.model.config.vocab_size))

    def check_length(self, length: int, prompt: str) -> None:
        limit = getattr(self.model.config, "max_position_embeddings", None)
        if limit is not None and length > limit:
            raise EvaluationError(
                f"a request of {length} tokens (with room for the answer) is longer than the "
                f"model's {limit}: {prompt[:60]!r}; take fewer `shots`, "
                "shorter texts or a smaller `max_new_tokens`"
            )


def _scoring_jobs(settings: _Settings, requests: Sequence[Request]) -> list[Job]:
    chosen = [(i, r.prompt, r.target) for i, r in enumerate(requests) if r.target is not None]
    pairs = [(prompt, target) for _, prompt, target in chosen]
    jobs = []
    encoded = encode_examples(settings.tokenizer, pairs, with_end=False)
    for (index, prompt, target), (ids, start) in zip(chosen, encoded, strict=True):
        if start == 0:
            # without a begin token the first token has nothing before it: the end token stands for
            # a text's border
            end = settings.tokenizer.eos_token_id
            if end is None:
                raise ModelError("the tokenizer has neither a begin nor an end token")
            ids, start = [end, *ids], 1
        if len(ids) == start:
            raise EvaluationError(f"the target {target!r} after {prompt[-40:]!r} has no tokens")
        settings.check_length(len(ids), prompt or target)
        jobs.append((index, ids, start))
    return jobs


def _generating_jobs(settings: _Settings, requests: Sequence[Request]) -> list[Job]:
    chosen = [(i, r) for i, r in enumerate(requests) if r.target is None]
    jobs = []
    encoded = prompt_ids_batch(settings.tokenizer, [r.prompt for _, r in chosen])
    for (index, request), ids in zip(chosen, encoded, strict=True):
        if not ids:
            raise EvaluationError("an empty prompt gives a model without a begin token no start")
        settings.check_length(len(ids) + request.max_new_tokens, request.prompt)
        jobs.append((index, ids, request.max_new_tokens))
    return jobs


def _batches(jobs: list[Job], max_tokens: int, with_answer: bool = False) -> Iterator[list[Job]]:
    """Longest first, so that what does not fit into memory fails at once; a single job may be over
    `max_tokens`."""
    batch: list[Job] = []
    longest = 0
    # the place breaks ties: the same jobs make the same batches in whatever order they come
    for job in sorted(jobs, key=lambda j: (-len(j[1]), -j[2], j[1])):
        width = len(job[1]) + (job[2] if with_answer else 0)
        longest = max(longest, width)
        if batch and (len(batch) + 1) * longest > max_tokens:
            yield batch
            batch, longest = [], width
        batch.append(job)
    if batch:
        yield batch


def _score(
    settings: _Settings, requests: Sequence[Request], batch: Sequence[Job]
) -> dict[int, Output]:
    """Right-padded and causal: a pad is never seen by a token before it, and the mask hides it from
    models that look."""
    import torch

    width = len(batch[0][1])
    ids = torch.zeros((len(batch), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, (_, tokens, _) in enumerate(batch):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
    device = next(settings.model.parameters()).device
    ids, mask = ids.to(device), mask.to(device)
    logits = settings.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    sums = []
    for row, (_, tokens, start) in enumerate(batch):
        # one row at a time: a float copy of the whole batch would double its memory
        scores = logits[row, start - 1 : len(tokens) - 1].float()
        picked = scores.gather(1, ids[row, start : len(tokens), None])[:, 0]
        sums.append((picked - scores.logsumexp(dim=1)).double().sum())
    return {
        index: Output(str(requests[index].target), value, len(tokens) - start)
        for (index, tokens, start), value in zip(batch, torch.stack(sums).tolist(), strict=True)
    }
