"""Requests to a causal language model, answered in batches: an answer of one line or of several,
greedy or by beam search, or the log-likelihood of a given one.

    run_requests(model, tokenizer, [Request("English: Hi.\\nUkrainian:", None, 64)])
    -> [Output(text="Привіт.", log_likelihood=-2.1, tokens=4, truncated=False)]

The model stays on its device and in its dtype; `autocast` computes in another one. The other
requests in a batch change an answer only by rounding. Several workers that hold the same model each
compute their part (`answer_part`), and `joined` combines the parts.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mtray.compat.deepspeed import is_sharded
from mtray.data.tokenization import prompt_ids_batch
from mtray.errors import EvaluationError, TrialStopped, ValueNotFinite
from mtray.evaluation.inference.batching import Batch, EncodedRequest, Settings, share_of
from mtray.evaluation.inference.requests import (
    Output,
    Progress,
    Request,
    check_length,
    new_tokens,
)


def run_requests(
    model: Any,
    tokenizer: Any,
    requests: Sequence[Request],
    *,
    max_tokens_per_batch: int = 8192,
    stop_at_newline: bool = True,
    beams: int = 1,
    autocast: Any = None,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> list[Output]:
    """Outputs in the order of the requests; identical requests are answered once.

    A batch holds at most `max_tokens_per_batch` tokens with padding and room for the answers.
    `beams` above 1: transformers' beam search with its own length penalty, until that many answers
    are finished. `autocast` is a torch dtype or None. `progress` is called with (done, all). Raises
    TrialStopped soon after `should_stop` returns true, EvaluationError if a request does not fit
    the model or its outputs are not finite.
    """
    settings = Settings(model, tokenizer, max_tokens_per_batch, stop_at_newline, beams, autocast)
    part = answer_part(settings, requests, progress=progress, should_stop=should_stop)
    return joined(requests, [part])


def answer_part(
    settings: Settings,
    requests: Sequence[Request],
    worker: tuple[int, int] = (0, 1),
    progress: Progress | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> dict[Request, Output]:
    """The outputs of the requests assigned to `worker` (rank, number of workers); all workers'
    parts together answer all requests. `progress` counts this worker's requests, of all. Raises as
    `run_requests`."""
    unique = list(dict.fromkeys(requests))
    counter = _Counter(len(unique), progress, should_stop)
    found: dict[Request, Output] = {}
    with answering(settings):
        for batch in _batches(settings, unique, worker):
            outputs = batch.compute(counter.stop_if_asked)
            found.update((unique[index], output) for index, output in outputs.items())
            counter.add(batch.requests)
    for request, output in found.items():
        if not math.isfinite(output.log_likelihood):
            raise ValueNotFinite(
                f"the model's log-likelihood after {request.prompt[:60]!r} is "
                f"{output.log_likelihood}"
            )
    return found


@contextlib.contextmanager
def answering(settings: Settings) -> Iterator[None]:
    """Put the model into inference mode: without dropout and gradients, in the dtype of `settings`.
    Restores the previous mode afterwards."""
    import torch

    model = settings.model
    was_training = model.training
    # a model in training may cache tensors computed here (positions of a longer text), and
    # gradients do not flow through tensors of inference mode; nor does autocast cache weights in it
    plain = not was_training and settings.autocast is None
    no_gradients = torch.inference_mode() if plain else torch.no_grad()
    model.eval()
    try:
        with no_gradients, _weights_cast_once(model, settings.autocast):
            yield
    finally:
        model.train(was_training)


@contextlib.contextmanager
def _weights_cast_once(model: Any, dtype: Any) -> Iterator[None]:
    """Autocast to `dtype`, or nothing if that is None.

    Each weight is cast once and cached, and not at every generated token, which would take most of
    the time. Autocast caches weights that require gradients, so all do in this context. Sharded
    weights (ZeRO 3) are cast whenever they are gathered: cached, they would be whole on every
    worker.
    """
    import torch

    if dtype is None:
        yield
        return
    weights = list(model.parameters())
    partitioned = any(is_sharded(w) for w in weights)
    frozen = [w for w in weights if w.is_floating_point() and not w.requires_grad]
    for weight in frozen:
        weight.requires_grad_(True)
    try:
        with torch.autocast(weights[0].device.type, dtype, cache_enabled=not partitioned):
            yield
    finally:
        for weight in frozen:
            weight.requires_grad_(False)


def joined(requests: Sequence[Request], parts: Sequence[Mapping[Request, Output]]) -> list[Output]:
    """Outputs in the order of the requests, from all workers' parts."""
    found = {request: output for part in parts for request, output in part.items()}
    if missing := sum(request not in found for request in requests):
        raise EvaluationError(f"{missing} of {len(requests)} requests were answered by no worker")
    return [found[request] for request in requests]


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


def _batches(
    settings: Settings, requests: Sequence[Request], worker: tuple[int, int]
) -> list[Batch]:
    """This worker's batches: first those that score targets, then those that generate."""
    from mtray.evaluation.inference.generation import generating_batches
    from mtray.evaluation.inference.likelihood import scoring_batches, scoring_jobs

    scored = scoring_jobs(settings, requests)
    generated = _generating_jobs(settings, requests)
    lines = [job for job in generated if requests[job[0]].one_line]
    texts = [job for job in generated if not requests[job[0]].one_line]
    literal = [job for job in lines if requests[job[0]].may_begin_empty]
    kinds = [
        (settings, [job for job in lines if not requests[job[0]].may_begin_empty]),
        (replace(settings, suppresses_empty_line=False), literal),
        (replace(settings, stop_at_newline=False), texts),
    ]

    def cut(max_tokens: int) -> list[Batch]:
        return [
            *scoring_batches(settings, requests, scored, max_tokens),
            *(b for kind, jobs in kinds for b in generating_batches(kind, jobs, max_tokens)),
        ]

    return share_of(cut, settings.max_tokens, *worker)


def _generating_jobs(settings: Settings, requests: Sequence[Request]) -> list[EncodedRequest]:
    chosen = [(i, r) for i, r in enumerate(requests) if r.target is None]
    jobs = []
    encoded = prompt_ids_batch(settings.tokenizer, [r.prompt for _, r in chosen])
    for (index, request), ids in zip(chosen, encoded, strict=True):
        if not ids:
            raise EvaluationError(
                "the prompt is empty and the model has no begin token, so nothing can be generated"
            )
        limit = new_tokens(settings.model, request, len(ids))
        check_length(settings.model, len(ids) + limit, request.prompt)
        jobs.append((index, ids, limit))
    return jobs
