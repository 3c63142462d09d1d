"""A call in a process of its own, whose memory is freed when it ends."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context, parent_process
from multiprocessing.connection import wait
from typing import Any, TypeVar

from mtray.errors import WorkerLost

Result = TypeVar("Result")


def in_separate_process(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call it in a separate process, which frees all its main and GPU memory at exit. Raises what
    it raises, and WorkerLost when the process dies. It ends when this process does."""
    context = get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=_end_with_parent) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            raise WorkerLost(
                "the process of the trial ended (killed, or out of memory?); the same command "
                "continues with it"
            ) from None


def _end_with_parent() -> None:
    """End this process when its parent does, even if that is killed: a pool's process would go on
    and then wait for the next call for ever, with its model in memory."""
    parent = parent_process()
    assert parent is not None, "called in a process of a pool"

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
