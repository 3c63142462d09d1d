"""A call that is repeated in a thread while a block runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def repeated(call: Callable[[], None], every: float, name: str) -> Iterator[None]:
    """Make the call `every` so many seconds, the first time after as many, until the block ends. A
    call that has begun then is waited for. `name`: of the thread."""
    over = threading.Event()

    def run() -> None:
        while not over.wait(every):
            call()

    thread = threading.Thread(target=run, daemon=True, name=name)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
