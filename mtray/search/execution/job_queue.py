"""Jobs on their way from trials to executors and back.

A trial submits its work and waits; the workers of an executor take jobs one after another, all of
them the same ones in the same order.
"""

from __future__ import annotations

import pickle
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from mtray.search.execution.job_messages import (
    END,
    Assignment,
    Done,
    Ended,
    Failure,
    Work,
    most_specific,
)

_AFTER_ALL_RANKS = 1 << 30  # of two errors of the same class, a worker's own comes first


@dataclass
class _Entry:
    """A submitted job: which executor was given it, whether its workers have `begun` it, and how it
    ended (a pickled `Done`). No trial waits for an `abandoned` job any more."""

    work: Work
    executor: str | None = None
    begun: bool = False
    done: bytes | None = None
    abandoned: bool = False


@dataclass
class _Executor:
    """A group of workers.

    jobs: what it was given, in order.
    places: by rank, the place of the job that the worker asks for or works on.
    failures: by rank, what the worker raised.
    retire: it takes no further job.
    group: its placement group."""

    jobs: list[Assignment] = field(default_factory=list)
    places: dict[int, int] = field(default_factory=dict)
    failures: dict[int, bytes] = field(default_factory=dict)
    retire: bool = False
    group: Any = None


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
        return entry.begun or entry.done is not None

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
        own = self._known(executor)
        if own is None:
            return END
        own.places[rank] = place
        if place < len(own.jobs):
            return own.jobs[place]
        if sum(at >= place for at in own.places.values()) < world:
            return None
        found = END if self._closed or own.retire else self._next(executor)
        if found is not None:
            own.jobs.append(found)
        return found

    def place(self, executor: str, group: Any) -> None:
        """The executor's workers have begun, in this placement group."""
        if own := self._known(executor):
            own.group = group

    def _known(self, executor: str) -> _Executor | None:
        """None once it has ended: a call may come from a process that is gone."""
        if executor in self._ended:
            return None
        return self._executors.setdefault(executor, _Executor())

    def _next(self, executor: str) -> Assignment | None:
        running = {e.work.job.number for e in self._entries.values() if e.executor and not e.done}
        for ticket in self._waiting:
            entry = self._entries[ticket]
            if entry.work.job.number not in running:
                self._waiting.remove(ticket)
                entry.executor = executor
                return Assignment(ticket, entry.work)
        return None

    def begin(self, ticket: int) -> None:
        """The rank-0 worker has its job."""
        if entry := self._entries.get(ticket):
            entry.begun = True

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
        if own := self._known(executor):
            own.retire = True

    def fail(self, executor: str, rank: int, failure: bytes) -> None:
        """What a worker raised; its job has failed once `end` says that the executor is gone."""
        if own := self._known(executor):
            own.failures[rank] = failure

    # called by the sweep's driver

    def end(self, executor: str, failure: bytes | None, passes_on: bool = True) -> Ended:
        """Record that an executor has ended, with `failure` unless by itself. Its last job fails
        with the most specific of this failure and its workers' errors; one that had not begun goes
        back to the head of the queue. If it began no job, the first waiting job fails where
        `passes_on` is set."""
        own = self._executors.pop(executor, _Executor())
        self._ended.add(executor)
        tickets = [job.ticket for job in own.jobs if job.work is not None]
        if tickets and self._give_back(tickets[-1]):
            tickets.pop()
        reason = ""
        if failure is not None:
            found = most_specific({**own.failures, _AFTER_ALL_RANKS: failure})
            reason = f"{type(found.error).__name__}: {found.error}"
            ticket = tickets[-1] if tickets else None
            if not tickets and passes_on:
                ticket = next(iter(self._waiting), None)
            if ticket in self._entries:
                self._fail_job(ticket, found)
        return Ended(len(tickets), reason, own.group)

    def _give_back(self, ticket: int) -> bool:
        """Whether the job had not begun; it then waits again, unless it is abandoned."""
        entry = self._entries.get(ticket)
        if entry is None or entry.begun or entry.done is not None:
            return False
        if entry.abandoned:
            del self._entries[ticket]
        else:
            entry.executor = None
            self._waiting.appendleft(ticket)
        return True

    def _fail_job(self, ticket: int, failure: Failure) -> None:
        if self._entries[ticket].done is None:
            if ticket in self._waiting:
                self._waiting.remove(ticket)
            self.finish(ticket, pickle.dumps(Done(failure=failure)))

    def started(self) -> int:
        """How many executors run, that is, whose workers have asked for a job."""
        return sum(bool(own.places) for own in self._executors.values())

    def close(self) -> None:
        """End every executor as soon as it asks for a job."""
        self._closed = True
