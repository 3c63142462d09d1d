"""The job queue as a Ray actor, which lets others wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

from mtray.search.execution.job_messages import Assignment, Ended, Work
from mtray.search.execution.job_queue import JobQueue

T = TypeVar("T")

LONG_POLL = 2.0  # seconds that a call waits for its answer


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

    async def begin(self, ticket: int) -> None:
        await self._change(self._queue.begin, ticket)

    async def finish(self, ticket: int, done: bytes) -> None:
        await self._change(self._queue.finish, ticket, done)

    async def place(self, executor: str, group: Any) -> None:
        await self._change(self._queue.place, executor, group)

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
        return found


def start_queue(run: str) -> Any:
    """Start the queue of a run on the driver's machine."""
    from mtray.search.execution.nodes import start_actor_here

    return start_actor_here(QueueActor, f"mtray:{run} queue")
