"""A process beside a sweep that only reads the run's folder: `python -m mtray ...`. The sweep does
not wait for it and goes on if it ends; it ends when its standard input does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO

from mtray.paths import own_code

NICENESS = 19  # the trials come first, and Ray gives its workers 15
# what it computes must not take the trials' cores
THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def start_beside(
    name: str, arguments: Sequence[str], tell: Callable[[str], None], every_line: bool = True
) -> subprocess.Popen[str] | None:
    """Start it. `tell` is called, from another thread, with the lines that it prints, or only with
    the first one; or at once, with why there is no process, which is None then."""
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "mtray", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            encoding="utf-8", errors="replace", env={**os.environ, **THREADS, **own_code()},
        )  # fmt: skip
    except OSError as error:
        tell(f"{name}: not started: {error}")
        return None
    assert process.stdout is not None
    threading.Thread(target=_relay, args=(process.stdout, tell, every_line), daemon=True).start()
    return process


def _relay(output: IO[str], tell: Callable[[str], None], every_line: bool) -> None:
    """Read on after the lines that are told, so that its pipe never fills up."""
    with suppress(OSError, ValueError):
        for place, line in enumerate(output):
            if (every_line or place == 0) and line.strip():
                tell(line.strip())


def lines_of(name: str, tell: Callable[[str], None]) -> Callable[[str], None]:
    """A `tell` for the process of this name that passes on what it says itself, and not what other
    packages print there."""
    ours = (f"{name}: ", "error: ")
    return lambda line: tell(line) if line.startswith(ours) else None


def finished_within(process: subprocess.Popen[str], seconds: float) -> bool:
    """End the process's standard input, so that it does the rest; False if it is not done yet."""
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=seconds)
    return process.poll() is not None


def begin_beside() -> threading.Event:
    """Of the process itself: let the sweep's trials come first, and leave Ctrl-C to the sweep. The
    event is set when standard input ends, as it does with the sweep."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):
        os.nice(NICENESS)
    over = threading.Event()
    threading.Thread(target=_until_input_ends, args=(over,), daemon=True).start()
    return over


def _until_input_ends(over: threading.Event) -> None:
    with suppress(OSError, ValueError):
        while sys.stdin.buffer.read(4096):
            pass
    over.set()
