"""The copying of a running sweep to its mirror, by a separate process that reads the run's folder.
The sweep does not wait for it until its end, and goes on if it ends."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mtray.errors import RunError
from mtray.mirror.comparison import is_empty
from mtray.mirror.session import claimed
from mtray.mirror.state import copying_alone
from mtray.run_files import MIRROR_FILE, MIRROR_LOCK
from mtray.side_process import finished_within, lines_of, start_beside

AT_ONCE = 3.0  # seconds that copying the rest may take before a line says so
AGAIN = 10.0  # seconds after which a copying process that was killed is started again
STARTS = 5
PATIENCE = 150.0  # seconds
INCOMPLETE = 2  # the process's exit code: it has said why

Tell = Callable[[str], None]


@dataclass
class Copying:
    """A sweep's copying process.

    - `incomplete`: whether the copy lacks something; known at the end.
    - `over`: set once the sweep has ended, after which the process is not started again.
    - `process`: the process that runs now.
    """

    run_dir: Path
    address: str
    tell: Tell
    incomplete: bool = False
    over: threading.Event = field(default_factory=threading.Event)
    process: subprocess.Popen[str] | None = None

    def code(self, code: int) -> int:
        """The sweep's exit code: 2 instead of 0 if the copy is not complete."""
        return INCOMPLETE if self.incomplete and not code else code

    def start(self) -> None:
        self._begin()
        self._thread = threading.Thread(target=self._keep_alive, daemon=True, name="mirror")
        self._thread.start()

    def _begin(self) -> None:
        folder = str(self.run_dir.absolute())
        arguments = ["mirror", folder, "--to", self.address, "--beside-sweep"]
        self.process = start_beside("mirror", arguments, lines_of("mirror", self.tell))

    def _keep_alive(self) -> None:
        """Start the process again if it was killed."""
        for _ in range(STARTS):
            if self.process is None or self.process.wait() == INCOMPLETE or self.over.is_set():
                return
            self.tell(f"mirror: its process ended (code {self.process.returncode}); starts again")
            if self.over.wait(AGAIN):
                return
            self._begin()

    def finish(self) -> None:
        """Let it copy the rest."""
        self.over.set()
        process = self.process
        if process is None:
            self.incomplete = True
            return
        if not finished_within(process, AT_ONCE):
            self.tell("mirror: the rest is being copied; Ctrl-C does not wait for it")
            process.wait()
        self.incomplete = process.returncode != 0
        if self.incomplete:
            command = f"python -m mtray mirror {shlex.quote(str(self.run_dir))} --to "
            self.tell(
                f"mirror: not all is copied; to copy it: {command}{shlex.quote(self.address)}"
            )


@contextlib.contextmanager
def mirrored_beside(address: str | None, run_dir: Path, tell: Tell) -> Iterator[Copying | None]:
    """Copy the run while the block runs, and the rest at its end. `tell` is called, from other
    threads, with what there is to say. Raises RunError before the block if the mirror cannot be
    reached, another sweep writes there, or it is newer or of another run."""
    if address is None:
        yield None
        return
    _wait_for_earlier(run_dir, tell)
    claimed(address, run_dir, tell)
    copying = Copying(run_dir, address, tell)
    copying.start()
    try:
        yield copying
    finally:
        copying.finish()
        if is_empty(run_dir):  # an error in the study leaves no trace
            for name in (MIRROR_FILE, MIRROR_LOCK):
                (run_dir / name).unlink(missing_ok=True)


def _wait_for_earlier(run_dir: Path, tell: Tell) -> None:
    """Wait for the copying process of an earlier sweep that was killed. Raises RunError if it does
    not end."""
    until = time.monotonic() + PATIENCE
    told = False
    while True:
        try:
            with copying_alone(run_dir):
                return
        except RunError:
            if time.monotonic() > until:
                raise
            if not told:
                tell("mirror: waiting for the end of an earlier sweep's copying")
            told = True
            time.sleep(1)
