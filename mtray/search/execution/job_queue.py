"""Queue of jobs between trials and executors.

A trial submits its job and waits. The workers of an executor all take the same jobs in the same
order. `JobQueue` is the bookkeeping; `QueueActor` makes it awaitable in a cluster.
"""

from __future__ import annotations

import asyncio
import pickle
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from mtray.errors import TrainError
from mtray.search.ledger.trial_failures import most_telling
from mtray.trial.job import Job, Outcome

T = TypeVar("T")

LONG_POLL = 2.0  # seconds that a question waits for its answer
_AFTER_ALL_RANKS = 1 << 30  # of two errors that say as much, a worker's own comes first


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
    """How a job ended: with an outcome (None if it was asked to stop) or a failure."""

    outcome: Outcome | None = None
    failure: Failure | None = None


class Ended(NamedTuple):
    """How an executor ended.

    jobs: how many it took.
    reason: its error; empty if it ended by itself."""

    jobs: int
    reason: str


class WorkerTraceback(Exception):
    """The traceback of an error in a worker, used as its cause in this process."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def packed_failure(error: Exception) -> bytes:
    """A pickled failure; an error that cannot be pickled becomes a TrainError."""
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    try:
        packed = pickle.dumps(Failure(error, text))
        pickle.loads(packed)  # an exception with arguments of its own may fail only here
    except Exception:
        packed = pickle.dumps(Failure(TrainError(f"{type(error).__name__}: {error}"), text))
    return packed


def _loaded(packed: bytes) -> Failure:
    try:
        found: Failure = pickle.loads(packed)
    except Exception as error:  # of a class that is not to be had in this process
        return Failure(TrainError(f"a worker's error cannot be read here: {error}"))
    return found


def _most_telling(packed: dict[int, bytes]) -> Failure:
    """By rank."""
    found = {rank: _loaded(failure) for rank, failure in packed.items()}
    error = most_telling({rank: failure.error for rank, failure in found.items()})
    return next(failure for failure in found.values() if failure.error is error)


@dataclass
class _Entry:
    """A submitted job: which executor runs it, and how it ended (a pickled `Done`). No trial waits
    for an `abandoned` job any more."""

    work: Work
    executor: str | None = None
    done: bytes | None = None
    abandoned: bool = False


@dataclass
class _Executor:
    """A group of workers.

    jobs: what it was given, in order.
    places: by rank, the place of the job that the worker asks for or works on.
    failures: by rank, what the worker raised.
    retire: it takes no further job."""

    jobs: list[Assignment] = field(default_factory=list)
    places: dict[int, int] = field(default_factory=dict)
    failures: dict[int, bytes] = field(default_factory=dict)
    retire: bool = False


class JobQueue:
    """First in, first out; jobs of one trial never run at the same time. Uses no Ray and no
    clock."""

    def __init__(self) -> None:
        self._entries: dict[int, _Entry] = {}
        self._waiting: deque[int] = deque()
        self._executors: dict[str, _Executor] = {}
        self._ended: set[str] = set()
        self._tickets, self._closed = 0, False

    # called by trials

    def submit(self, work: Work) -> int:
        """Enqueue a job; returns the ticket that identifies it."""
        self._tickets += 1
        self._entries[self._tickets] = _Entry(work)
        self._waiting.append(self._tickets)
        return self._tickets

    def begun(self, ticket: int) -> bool:
        entry = self._entries[ticket]
        return entry.executor is not None or entry.done is not None

    def withdraw(self, ticket: int) -> bool:
        """Remove a job that no executor has taken; False if one has."""
        if ticket not in self._waiting:
            return False
        self._waiting.remove(ticket)
        del self._entries[ticket]
        return True

    def done(self, ticket: int) -> bytes | None:
        """The job's pickled `Done`, returned once; None if the job has not ended."""
        found = self._entries[ticket].done
        if found is not None:
            del self._entries[ticket]
        return found

    def abandon(self, number: int) -> list[int]:
        """Drop the jobs of a trial whose own process was lost; returns the tickets of the running
        ones."""
        mine = [t for t, entry in self._entries.items() if entry.work.job.number == number]
        running = [ticket for ticket in mine if not self.withdraw(ticket)]
        for ticket in running:
            self._entries[ticket].abandoned = True
            if self._entries[ticket].done is not None:
                del self._entries[ticket]
        return [ticket for ticket in running if ticket in self._entries]

    # called by executors

    def take(self, executor: str, place: int, rank: int = 0, world: int = 1) -> Assignment | None:
        """The executor's job at this place, counted from 0 and the same for all its workers; None
        if there is none yet. A new one is taken only when all its workers ask: a worker that has
        done its part does not go on before the others, which may still fail."""
        if executor in self._ended:
            return END  # asked by a process that is gone
        own = self._executors.setdefault(executor, _Executor())
        own.places[rank] = place
        if place < len(own.jobs):
            return own.jobs[place]
        if sum(at >= place for at in own.places.values()) < world:
            return None
        found = END if self._closed or own.retire else self._next(executor)
        if found is not None:
            own.jobs.append(found)
        return found

    def _next(self, executor: str) -> Assignment | None:
        running = {e.work.job.number for e in self._entries.values() if e.executor and not e.done}
        for ticket in self._waiting:
            entry = self._entries[ticket]
            if entry.work.job.number not in running:
                self._waiting.remove(ticket)
                entry.executor = executor
                return Assignment(ticket, entry.work)
        return None

    def finish(self, ticket: int, done: bytes) -> None:
        """Store how a job ended, from its rank-0 worker."""
        entry = self._entries.get(ticket)
        if entry is None:
            return
        entry.done = done
        if entry.abandoned:
            del self._entries[ticket]

    def retire(self, executor: str) -> None:
        """The executor gets no further job."""
        if executor not in self._ended:
            self._executors.setdefault(executor, _Executor()).retire = True

    def fail(self, executor: str, rank: int, failure: bytes) -> None:
        """What a worker raised; its job has failed once `end` says that the executor is gone."""
        if executor not in self._ended:
            self._executors.setdefault(executor, _Executor()).failures[rank] = failure

    # called by the sweep's driver

    def end(self, executor: str, failure: bytes | None, passes_on: bool = True) -> Ended:
        """Record that an executor has ended, with `failure` unless by itself. Its last job fails
        with the most specific of this failure and its workers' errors. If it took no job, the first
        waiting job fails where `passes_on` is set."""
        own = self._executors.pop(executor, _Executor())
        self._ended.add(executor)
        jobs, reason = sum(job.work is not None for job in own.jobs), ""
        if failure is not None:
            found = _most_telling({**own.failures, _AFTER_ALL_RANKS: failure})
            reason = f"{type(found.error).__name__}: {found.error}"
            ticket = own.jobs[-1].ticket if own.jobs else None
            if not own.jobs and passes_on:
                ticket = next(iter(self._waiting), None)
            if ticket in self._entries:
                self._fail_job(ticket, found)
        return Ended(jobs, reason)

    def _fail_job(self, ticket: int, failure: Failure) -> None:
        if self._entries[ticket].done is None:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
            self.finish(ticket, pickle.dumps(Done(failure=failure)))

    def started(self) -> int:
        """How many executors run, that is, whose workers have asked for a job."""
        return len(self._executors)

    def close(self) -> None:
        """End every executor as soon as it asks for a job."""
        self._closed = True


class QueueActor:
    """A `JobQueue` as an asynchronous Ray actor that uses no CPU. A call for something not
    available yet returns None after `LONG_POLL` seconds; the caller asks again."""

    def __init__(self) -> None:
        self._queue = JobQueue()
        self._changed = asyncio.Condition()

    async def submit(self, work: Work) -> int:
        return await self._change(self._queue.submit, work)

    async def withdraw(self, ticket: int) -> bool:
        return await self._change(self._queue.withdraw, ticket)

    async def abandon(self, number: int) -> list[int]:
        return await self._change(self._queue.abandon, number)

    async def finish(self, ticket: int, done: bytes) -> None:
        await self._change(self._queue.finish, ticket, done)

    async def retire(self, executor: str) -> None:
        await self._change(self._queue.retire, executor)

    async def fail(self, executor: str, rank: int, failure: bytes) -> None:
        await self._change(self._queue.fail, executor, rank, failure)

    async def end(self, executor: str, failure: bytes | None, passes_on: bool = True) -> Ended:
        return await self._change(self._queue.end, executor, failure, passes_on)

    async def started(self) -> int:
        return self._queue.started()

    async def close(self) -> None:
        await self._change(self._queue.close)

    async def begun(self, ticket: int) -> bool:
        return await self._answer(lambda: self._queue.begun(ticket))

    async def done(self, ticket: int) -> bytes | None:
        return await self._answer(lambda: self._queue.done(ticket))

    async def take(
        self, executor: str, place: int, rank: int = 0, world: int = 1
    ) -> Assignment | None:
        return await self._answer(lambda: self._queue.take(executor, place, rank, world))

    async def _change(self, change: Callable[..., T], *arguments: Any) -> T:
        async with self._changed:
            found = change(*arguments)
            self._changed.notify_all()
        return found

    async def _answer(self, ask: Callable[[], T]) -> T:
        """The first answer that is not empty, or the last one after the timeout."""
        until = asyncio.get_running_loop().time() + LONG_POLL
        async with self._changed:
            while not (found := ask()):
                left = until - asyncio.get_running_loop().time()
                try:
                    await asyncio.wait_for(self._changed.wait(), left)
                except asyncio.TimeoutError:
                    return found
                if left <= 0:
                    return found
            self._changed.notify_all()  # a job that was taken has begun
        return found


def start_queue() -> Any:
    """Start the queue on the driver's machine: the sweep does not survive its loss anyway."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=here)(QueueActor).remote()
