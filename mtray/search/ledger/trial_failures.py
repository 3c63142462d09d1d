"""Why a trial ended badly, in a few classes, and what follows from it: another attempt, a record,
the end of the sweep. Imports neither Ray nor torch: their errors are known by name.

    out_of_memory     of an accelerator, the host, or killed by Ray for the host's sake
    not_finite        a loss, an answer's probability or an objective is NaN or infinite
    worker_lost       a process of the trial was killed
    node_lost         a machine of the cluster went away, and a process of the trial with it
    time_limit        longer than `budget.trial_minutes`
    data_error        the recipe cannot be drawn from the sources, or a file cannot be read
    evaluation_error  something could not be measured
    disk_full         no space left where the run is kept
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
    LossNotFinite,
    ModelError,
    NodeLost,
    TimeLimitReached,
    ValueNotFinite,
    WorkerLost,
)
from mtray.runtime import versions
from mtray.schema import ReasonClass, State, TrialRecord
from mtray.trial.job import Job

# the first that fits counts, so a narrower class stands before its base
OWN: tuple[tuple[type[Exception], ReasonClass], ...] = (
    (LossNotFinite, "not_finite"),
    (ValueNotFinite, "not_finite"),
    (TimeLimitReached, "time_limit"),
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
# of torch on the CPU, of older CUDA paths and of its libraries, which raise a plain RuntimeError
MEMORY_WORDS = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
# of gloo, in the workers that are left when another one went away
PEER_WORDS = ("Connection closed by peer", "Connection reset by peer")
FULL = (errno.ENOSPC, errno.EDQUOT)

# further attempts that a trial has; lost ones count together
AGAIN: dict[ReasonClass, int] = {"out_of_memory": 1, "worker_lost": 2, "node_lost": 2}
LOST: tuple[ReasonClass, ...] = ("worker_lost", "node_lost")

FIRST, TOO_MANY = 5, 3  # a sweep ends when so many of its first trials have failed

Attempt = dict[str, Any]


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error, then what Ray's wrappers hold and what it was raised from, depth first."""
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
    return any(isinstance(e, OSError) and e.errno in FULL for e in chain(error))


def full_disk_error() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full_disk_reason(run_dir: Path) -> str:
    return (
        f"{run_dir}: no space left there; make room and run the same command again, it goes on "
        "with what is missing"
    )


def classify(error: BaseException, scoring: bool = False) -> ReasonClass:
    """The class of an error. While `scoring`, what would be a bug is an evaluation that failed."""
    if is_disk_full(error):
        return "disk_full"
    for found in chain(error):
        for kind, reason_class in OWN:
            if isinstance(found, kind):
                return reason_class
    # the innermost first: a wrapper says less
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
    """Of what a trial's workers raised, by rank: a worker that was lost, then what has a class of
    its own, then a bug, and last a worker that only missed another; the lowest rank of those."""

    def order(rank: int) -> tuple[int, int]:
        if _lost_its_peer(errors[rank]):
            return 3, rank
        kind = classify(errors[rank])
        return (0 if kind in LOST else 2 if kind == "bug" else 1), rank

    return errors[min(errors, key=order)]


def _has_nan(error: ValidationError) -> bool:
    return any(part["type"] == "finite_number" for part in error.errors(include_url=False))


def state_of(error: BaseException, scoring: bool) -> State:
    """`infeasible` when the recipe was refused before training, `failed` otherwise."""
    refused = isinstance(error, ConfigError | DataError) and not scoring
    return "infeasible" if refused else "failed"


def may_run_again(reason_class: ReasonClass, attempts: Sequence[Attempt]) -> bool:
    """Whether a trial with these failed attempts before has another one after failing like this."""
    kind = LOST if reason_class in LOST else (reason_class,)
    before = sum(a["reason_class"] in kind for a in attempts)
    return before < AGAIN.get(reason_class, 0)


def attempt(reason_class: ReasonClass, reason: str, then: str, seconds: float) -> Attempt:
    """A failed attempt, which ran for `seconds`, as the journal and `TrialRecord.extra` keep it."""
    return {"reason_class": reason_class, "reason": reason, "then": then, "seconds": seconds}


def one_line(error: BaseException) -> str:
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}"[:500]


def failed_record(
    job: Job, error: BaseException, seconds: Mapping[str, float], scoring: bool = False
) -> TrialRecord:
    """A failure is a row: its class, its reason in one line, its traceback kept. `seconds` as in
    the record."""
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
    """The record with the attempts that failed before it, where there are any."""
    if not attempts:
        return record
    return record.model_copy(update={"extra": {**record.extra, "attempts": list(attempts)}})


def why_to_give_up(ended: Sequence[TrialRecord], had_complete: bool) -> str:
    """Why the sweep ends, from the trials that ended in this start, in order; empty when it goes
    on. An infeasible trial counts neither way: it cost nothing.

    `had_complete`: an earlier start completed trials, so a few failures are no sign that nothing
    works, only failures throughout are.
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
