"""One sweep of a small study for `benchmarks/chaos.py` to inject failures into: started through the
main entry point and observed from outside."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from small_study import SPACE, small_study

ROOT = Path(__file__).resolve().parents[1]
ENDED = re.compile(
    r"trial (base|\d+)(?: \(\w+\))?  ?(?:quality|FAILED|INFEASIBLE|PRUNED)", re.MULTILINE
)
PATIENCE = 300.0  # seconds for anything awaited


class Failed(Exception):
    """What was awaited did not happen."""


@dataclass
class Chaos:
    """A small study in a folder, and the starts of its one sweep.

    prefix: a command that runs the sweep's, as on another host.
    variables: environment variables of the sweep."""

    folder: Path
    trials: int = 4
    options: tuple[str, ...] = ()
    injected: dict[str, Any] = field(default_factory=dict)
    prefix: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)
    output: list[str] = field(default_factory=list)
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.study = small_study(self.folder)
        self.study["name"] = "chaos"
        self.space: dict[str, Any] = dict(SPACE)

    @property
    def run_dir(self) -> Path:
        return self.folder / "runs" / "chaos"

    def what(self) -> list[str]:
        """The options that say what is searched; writes the files that they name."""
        options = ["--trials", str(self.trials)]
        for name, content in (("study", self.study), ("space", self.space)):
            file = self.folder / f"{name}.yaml"
            file.write_text(yaml.safe_dump(content))
            options += [f"--{name}", str(file)]
        return options

    def start(self) -> subprocess.Popen[str]:
        command = [
            *self.prefix, sys.executable, str(ROOT / "sweeps" / "ratio_search.py"),
            *self.what(), "--runs-dir", str(self.folder / "runs"), "--page", "off", *self.options,
        ]  # fmt: skip
        environment = {
            **os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "200", **self.variables
        }  # fmt: skip
        if self.injected:
            environment["CHAOS"] = json.dumps(self.injected)
            paths = [str(ROOT / "benchmarks" / "injected"), environment.get("PYTHONPATH", "")]
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        process = subprocess.Popen(
            command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
        )
        self.started.append(process)
        threading.Thread(target=self._read, args=(process,), daemon=True).start()
        return process

    def _read(self, process: subprocess.Popen[str]) -> None:
        for line in process.stdout or ():
            self.output.append(line)

    @property
    def text(self) -> str:
        return "".join(self.output)

    def wait_for(self, happened: Callable[[], Any], what: str, seconds: float | None = None) -> Any:
        """What `happened` returns once it is true, within PATIENCE where no seconds are given."""
        seconds = PATIENCE if seconds is None else seconds
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found = happened()
            if found:
                return found
            ended = self.started and self.started[-1].poll() is not None
            if ended and not happened():
                raise Failed(f"the sweep ended before {what}:\n{self.text}")
            time.sleep(0.05)
        raise Failed(f"{what}: not within {seconds:.0f} s:\n{self.text}")

    def wait_for_text(self, text: str) -> None:
        self.wait_for(lambda: text in self.text, f"{text!r} was printed")

    def end(self, process: subprocess.Popen[str], code: int | None = None) -> int:
        """Wait for the end; Failed when it takes too long or has another exit code."""
        try:
            found = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise Failed(f"the sweep hangs:\n{self.text}") from None
        if code is not None and found != code:
            raise Failed(f"exit code {found} instead of {code}:\n{self.text}")
        return found

    def finish(self, code: int = 0) -> None:
        self.end(self.start(), code)

    def ray_process(self, name: str, driver: subprocess.Popen[str]) -> int | None:
        """The process id of the Ray worker of this sweep whose title holds `name`; of several, the
        one that has computed most."""
        named = [pid for pid in descendants(driver.pid) if f"ray::{name}" in title_of(pid)]
        return max(named, key=cpu_ticks, default=None)

    def kill_all(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()


def title_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def cpu_ticks(pid: int) -> int:
    """Processor time that a process has used, in clock ticks; 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])  # utime and stime


def descendants(pid: int) -> set[int]:
    """Ids of the processes below one."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found: set[int] = set()
    more = {pid}
    while more:
        more = {child for child, parent in parents.items() if parent in more} - found
        found |= more
    return found


def journal_states(run_dir: Path) -> Counter[str]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    backend = optuna.storages.journal.JournalFileBackend(str(run_dir / "study.journal"))
    study = optuna.load_study(study_name="chaos", storage=optuna.storages.JournalStorage(backend))
    return Counter(t.state.name for t in study.get_trials(deepcopy=False))


def records_of(run_dir: Path) -> dict[int, Any]:
    from mtray.report.records import read_records

    return {r.number: r for r in read_records(run_dir).records} if run_dir.is_dir() else {}


def states_text(chaos: Chaos) -> str:
    counts = Counter(r.state for n, r in records_of(chaos.run_dir).items() if n >= 0)
    return ", ".join(f"{n} {state}" for state, n in sorted(counts.items()))


@contextlib.contextmanager
def mounted(folder: Path, megabytes: int) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode:
        raise PermissionError("a tmpfs cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
