"""The web page of a running sweep, served by a separate process that only reads the run's folder.
The sweep does not wait for it and goes on if it ends."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from mtray.side_process import start_beside


@contextlib.contextmanager
def page_beside(run_dir: Path, port: int, tell: Callable[[str], None]) -> Iterator[None]:
    """Serve the run's page while the block runs. `tell` is called, from another thread, with the
    address, or with why there is none."""
    arguments = ["serve", str(run_dir.absolute()), "--port", str(port), "--beside-sweep"]
    process = start_beside("page", arguments, tell, every_line=False)
    try:
        yield
    finally:
        if process is not None:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                process.terminate()  # its input would end only with this process
                process.wait(timeout=2)
