"""The sending of a running sweep to trackers, by a separate process that reads the run's folder.
The sweep does not wait for it until its end, and goes on if it ends."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mtray.side_process import finished_within, lines_of, start_beside

AT_ONCE = 3.0  # seconds for the rest of which nothing is said
FINISH = 60.0  # seconds that the sweep's end waits for the rest to be sent


@contextlib.contextmanager
def tracked_beside(
    run_dir: Path, trackers: Sequence[str], tell: Callable[[str], None]
) -> Iterator[None]:
    """Send the run to these trackers while the block runs, and the rest at its end. `tell` is
    called, from another thread, with what there is to say."""
    if not trackers:
        yield
        return
    names = ",".join(trackers)
    arguments = ["track", str(run_dir.absolute()), "--to", names, "--beside-sweep"]
    process = start_beside("tracking", arguments, lines_of("tracking", tell))
    try:
        yield
    finally:
        if process is not None and (why := _fault(process, tell)):
            command = f"python -m mtray track {shlex.quote(str(run_dir))} --to {names}"
            tell(f"tracking: {why}; to send what is missing: {command}")


def _fault(process: subprocess.Popen[str], tell: Callable[[str], None]) -> str:
    """Let it send the rest; why it has not, or empty."""
    if not finished_within(process, AT_ONCE):
        tell(f"tracking: the rest is being sent (at most {FINISH:.0f} s)")
        try:
            process.wait(timeout=FINISH)
        except subprocess.TimeoutExpired:
            process.kill()
            return f"not done after {FINISH:.0f} s"
    return "its process ended early" if process.returncode else ""
