"""What trials, executors and the queue between them send each other."""

from __future__ import annotations

import pickle
import traceback
from dataclasses import dataclass
from typing import Any, NamedTuple

from mtray.errors import TrainError
from mtray.search.ledger.trial_failures import most_telling
from mtray.trial.job import Job, Outcome


@dataclass(frozen=True)
class Work:
    """A job for an executor.

    batch_share: fraction of the usual tokens per batch.
    spent: seconds that the trial's earlier attempts ran.
    """

    job: Job
    batch_share: float = 1.0
    spent: float = 0.0


@dataclass(frozen=True)
class Assignment:
    """Work as an executor's workers take it. `work` is None if the executor is to end."""

    ticket: int
    work: Work | None


END = Assignment(-1, None)


@dataclass(frozen=True)
class Failure:
    """An error of another process, with its traceback as text."""

    error: Exception
    traceback: str = ""


@dataclass(frozen=True)
class Done:
    """How a job ended: with an outcome (None if it was asked to stop or `moved`) or a failure.

    moved: why it left its workers and goes on elsewhere."""

    outcome: Outcome | None = None
    failure: Failure | None = None
    moved: str = ""


class Ended(NamedTuple):
    """How an executor ended.

    jobs: how many it took.
    reason: its error; empty if it ended by itself.
    group: the placement group that its workers had; None if they did not begin."""

    jobs: int
    reason: str
    group: Any = None


class WorkerTraceback(Exception):
    """The traceback of an error in a worker, used as its cause in this process."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def failure_of(error: Exception) -> Failure:
    """A failure that can be pickled; an error that cannot be becomes a TrainError."""
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    try:
        # an exception with arguments of its own may fail only when it is read
        pickle.loads(pickle.dumps(error))
    except Exception:  # of whatever kind the exception's own code raises
        error = TrainError(f"{type(error).__name__}: {error}")
    return Failure(error, text)


def packed_failure(error: Exception) -> bytes:
    return pickle.dumps(failure_of(error))


def unpacked_failure(packed: bytes) -> Failure:
    try:
        found: Failure = pickle.loads(packed)
    except Exception as error:  # of a class that is not to be had in this process
        return Failure(TrainError(f"a worker's error cannot be read here: {error}"))
    return found


def most_specific(packed: dict[int, bytes]) -> Failure:
    """By rank."""
    found = {rank: unpacked_failure(failure) for rank, failure in packed.items()}
    error = most_telling({rank: failure.error for rank, failure in found.items()})
    return next(failure for failure in found.values() if failure.error is error)
