"""Classes of trial failures and their consequences: another attempt, a record, the end of the
sweep. Imports neither Ray nor torch: their errors are recognised by name.

    out_of_memory     of an accelerator, the host, or killed by Ray or the kernel for its sake
    not_finite        a loss, an answer's probability or an objective is NaN or infinite
    worker_lost       a process of the trial was killed
    node_lost         a machine of the cluster was lost, with a process of the trial
    moved             of an attempt: the end of a machine or process was announced; never counted
    time_limit        longer than `budget.trial_minutes`
    data_error        the recipe cannot be drawn from the sources, or a file cannot be read
    evaluation_error  something could not be measured
    disk_full         no space left where the run is stored
    bug               anything else
"""

from __future__ import annotations

import errno
import os
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mtray.compat.ray import wrapped_errors
from mtray.errors import (
    ConfigError,
    DataError,
    EvaluationError,
    KilledForMemory,
    LossNotFinite,
    MetricOutOfMemory,
    ModelError,
    NodeDrained,
    NodeLost,
    TimeLimitReached,
    TrialMoved,
    ValueNotFinite,
    WorkerLost,
)
from mtray.full_disk import free_text, is_full
from mtray.runtime import versions
from mtray.schema import ReasonClass, State, TrialRecord
from mtray.trial.job import Job

# the first match counts, so a subclass comes before its base
OWN: tuple[tuple[type[Exception], ReasonClass], ...] = (
    (LossNotFinite, "not_finite"),
    (ValueNotFinite, "not_finite"),
    (TimeLimitReached, "time_limit"),
    (KilledForMemory, "out_of_memory"),
    (MetricOutOfMemory, "out_of_memory"),
    (TrialMoved, "moved"),
    (NodeDrained, "moved"),
    (NodeLost, "node_lost"),
    (WorkerLost, "worker_lost"),
    (EvaluationError, "evaluation_error"),
    (ConfigError, "data_error"),
    (DataError, "data_error"),
    (ModelError, "data_error"),
    (FileNotFoundError, "data_error"),
    (MemoryError, "out_of_memory"),
)
# classes of Ray and torch, by name
FOREIGN: dict[str, ReasonClass] = {
    "OutOfMemoryError": "out_of_memory",
    "NodeDiedError": "node_lost",
    "RayActorError": "worker_lost",
    "WorkerCrashedError": "worker_lost",
    "LocalRayletDiedError": "worker_lost",
    "ObjectLostError": "worker_lost",
    "ActorPlacementGroupRemoved": "worker_lost",
    "TaskPlacementGroupRemoved": "worker_lost",
    "WorkerHealthCheckFailedError": "worker_lost",
    "WorkerHealthCheckTimeoutError": "worker_lost",
    "WorkerGroupStartupFailedError": "worker_lost",
}
# of torch on the CPU, of older CUDA paths and CUDA libraries, which raise a plain RuntimeError
MEMORY_WORDS = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
# of gloo, in the remaining workers when another one was lost
PEER_WORDS = ("Connection closed by peer", "Connection reset by peer")

# number of further attempts; all lost attempts count together
AGAIN: dict[ReasonClass, int] = {"out_of_memory": 1, "worker_lost": 2, "node_lost": 2}
LOST: tuple[ReasonClass, ...] = ("worker_lost", "node_lost")
MOVED: ReasonClass = "moved"

FIRST, TOO_MANY = 5, 3  # a sweep ends if TOO_MANY of its FIRST trials failed

Attempt = dict[str, Any]


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error, then the errors in Ray's wrappers and its causes, depth first."""
    waiting, seen = [error], set[int]()
    while waiting:
        found = waiting.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        waiting += [found.__cause__] if found.__cause__ else []
        waiting += wrapped_errors(found)


def is_disk_full(error: BaseException) -> bool:
    return any(map(is_full, chain(error)))


def full_disk_error() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full_disk_reason(run_dir: Path) -> str:
    return (
        f"{run_dir}: no space left there ({free_text(run_dir)}); free some space and run the same "
        "command again to continue with what is missing"
    )


def classify(error: BaseException, scoring: bool = False) -> ReasonClass:
    """The class of an error. While `scoring`, a bug counts as an evaluation error."""
    if is_disk_full(error):
        return "disk_full"
    for found in chain(error):
        for kind, reason_class in OWN:
            if isinstance(found, kind):
                return reason_class
    # the innermost first: a wrapper is less specific
    for found in reversed([*chain(error)]):
        for name in (c.__name__ for c in type(found).__mro__):
            if name in FOREIGN:
                return FOREIGN[name]
        if isinstance(found, RuntimeError) and any(w in str(found) for w in MEMORY_WORDS):
            return "out_of_memory"
        if isinstance(found, ValidationError) and _has_nan(found):
            return "not_finite"
    if _lost_its_peer(error):
        return "worker_lost"
    return "evaluation_error" if scoring else "bug"


def _lost_its_peer(error: BaseException) -> bool:
    return any(
        isinstance(e, RuntimeError) and any(w in str(e) for w in PEER_WORDS) for e in chain(error)
    )


def most_telling(errors: Mapping[int, BaseException]) -> BaseException:
    """The most specific of the errors of a trial's workers, by rank: a lost worker, then an error
    with a class of its own, then a bug, and last a worker that only lost its peer. Ties go to the
    lowest rank."""

    def order(rank: int) -> tuple[int, int]:
        if _lost_its_peer(errors[rank]):
            return 3, rank
        kind = classify(errors[rank])
        return (0 if kind in LOST else 2 if kind == "bug" else 1), rank

    return errors[min(errors, key=order)]


def _has_nan(error: ValidationError) -> bool:
    return any(part["type"] == "finite_number" for part in error.errors(include_url=False))


def state_of(error: BaseException, scoring: bool) -> State:
    """`infeasible` if the recipe was refused before training, `failed` otherwise."""
    refused = isinstance(error, ConfigError | DataError) and not scoring
    return "infeasible" if refused else "failed"


def may_run_again(reason_class: ReasonClass, attempts: Sequence[Attempt], step: int = 0) -> bool:
    """Whether a trial with these failed attempts may run again after a failure of this class.
    `step`: of its checkpoint now. A loss since which it has made progress does not count: machines
    that may be taken away at any time are then slow, and no reason to give up."""
    if reason_class == MOVED:  # somebody else's decision, each time
        return True
    kind = LOST if reason_class in LOST else (reason_class,)
    before = [a for a in attempts if a["reason_class"] in kind]
    if reason_class in LOST:
        before = [a for a in before if a.get("step", 0) >= step]
    return len(before) < AGAIN.get(reason_class, 0)


def attempt(
    reason_class: ReasonClass, reason: str, then: str, seconds: float, step: int = 0
) -> Attempt:
    """A failed attempt that ran for `seconds` and left a checkpoint of `step`, as stored in the
    journal and in `TrialRecord.extra`."""
    found = {"reason_class": reason_class, "reason": reason, "then": then, "seconds": seconds}
    return {**found, "step": step}


def one_line(error: BaseException) -> str:
    """The class of an error and the first line of its text that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])
    text = f"{type(error).__name__}: {first or 'without a message'}"
    return text if len(text) <= 500 else f"{text[:497]}..."


def innermost(error: BaseException) -> BaseException:
    """The error that others only wrap: the last one in its `chain` that says something."""
    inner = [*chain(error)][1:]
    telling = [found for found in inner if str(found).strip()]
    return (telling or inner or [error])[-1]


def failed_record(
    job: Job, error: BaseException, seconds: Mapping[str, float], scoring: bool = False
) -> TrialRecord:
    """The record of a failed trial: its class, its reason in one line, and its traceback. `seconds`
    as in the record."""
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    return TrialRecord(
        number=job.number, role=job.role, state=state_of(error, scoring), recipe=job.recipe,
        seed=job.seed, replicate=job.replicate, of=job.of, trained_as=job.trained_as,
        reason=one_line(error),
        reason_class=classify(error, scoring), seconds=dict(seconds), versions=versions(),
        finished=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        extra={"traceback": "".join(lines)[-8000:]},
    )  # fmt: skip


def with_attempts(record: TrialRecord, attempts: Sequence[Attempt]) -> TrialRecord:
    """The record with the failed attempts before it, if any."""
    if not attempts:
        return record
    return record.model_copy(update={"extra": {**record.extra, "attempts": list(attempts)}})


def why_to_give_up(ended: Sequence[TrialRecord], had_complete: bool) -> str:
    """Why the sweep ends, from the trials that ended in this start, in order; empty if it
    continues. An infeasible trial is ignored: it cost nothing.

    `had_complete`: an earlier start completed trials. A few failures at the beginning are then no
    sign of a general error; only failures throughout are.
    """
    first = [r for r in ended if r.state != "infeasible"][:FIRST]
    failed = [r for r in first if r.state == "failed"]
    if len(failed) < TOO_MANY or (had_complete and len(failed) < len(first)):
        return ""
    counts = Counter(str(r.reason_class or "no reason") for r in failed)
    classes = ", ".join(f"{n} x {name}" for name, n in counts.most_common())
    return (
        f"{len(failed)} of the first {len(first)} trials failed ({classes}), "
        f"the last one with {failed[-1].reason}"
    )
