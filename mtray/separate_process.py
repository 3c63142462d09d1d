"""A call in a process of its own, whose memory is freed when it ends."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, TypeVar

from mtray.errors import WorkerLost

Result = TypeVar("Result")


def apart(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call it in a separate process, which frees all its main and GPU memory at exit. Raises what
    it raises, and WorkerLost when the process dies."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            raise WorkerLost(
                "the process of the trial ended (killed, or out of memory?); the same command "
                "continues with it"
            ) from None
