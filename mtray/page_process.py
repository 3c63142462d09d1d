"""The web page of a running sweep, served by a separate process that only reads the run's folder.
The sweep does not wait for it and goes on if it ends."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from mtray.paths import own_code

# a response surface is fitted now and then; it must not take the trials' cores
THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


@contextlib.contextmanager
def page_beside(run_dir: Path, port: int, tell: Callable[[str], None]) -> Iterator[None]:
    """Serve the run's page while the block runs. `tell` is called, from another thread, with the
    address, or with why there is none."""
    process = _started(run_dir, port, tell)
    try:
        yield
    finally:
        if process is not None:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                process.terminate()  # its input would end only with this process
                process.wait(timeout=2)


def _started(run_dir: Path, port: int, tell: Callable[[str], None]) -> subprocess.Popen[str] | None:
    command = [sys.executable, "-m", "mtray", "serve", str(run_dir.absolute())]
    try:
        process = subprocess.Popen(
            [*command, "--port", str(port), "--beside-sweep"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            encoding="utf-8", errors="replace", env={**os.environ, **THREADS, **own_code()},
        )  # fmt: skip
    except OSError as error:
        tell(f"page: not started: {error}")
        return None
    assert process.stdout is not None
    threading.Thread(target=_relay, args=(process.stdout, tell), daemon=True).start()
    return process


def _relay(output: IO[str], tell: Callable[[str], None]) -> None:
    """Tell its first line, the address or an error; read on, so that its pipe never fills up."""
    with contextlib.suppress(OSError, ValueError):
        for place, line in enumerate(output):
            if place == 0 and line.strip():
                tell(line.strip())
