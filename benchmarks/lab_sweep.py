"""What the cases of `benchmarks/cluster_lab.py` do with a sweep, and what they look at."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from chaos_kills import checkpoint_of, many_steps, resumed_of, wait_for_training
from chaos_sweep import Chaos, Failed, journal_states, records_of, states_text
from lab_hosts import ENVIRONMENT, PORT, UMASKS, Host

from mtray.paths import cache_dir
from mtray.repeated_calls import repeated
from mtray.run_files import trial_dir
from mtray.search.execution.worker_logs import worker_places

PATIENCE = 600.0  # seconds: three hosts share the cores of one
WORKER = "ray::RayTrainWorker"
SEGMENTS = 12  # of an evaluation set
OWNER = ".owner-workers"


def new_sweep(folder: Path, hosts: list[Host], name: str = "") -> Chaos:
    """Started on the first host, which is the head, in `folder` or its subfolder of this name."""
    folder = folder / name
    (folder / "runs").mkdir(parents=True, exist_ok=True)
    chaos = Chaos(folder)
    chaos.prefix = hosts[0].prefix
    chaos.options = ("--address", f"{hosts[0].address}:{PORT}")
    chaos.variables = {
        **ENVIRONMENT, "MTRAY_CACHE": str(cache_dir()), "MTRAY_STORE": str(folder / "store"),
    }  # fmt: skip
    # as little as shows it
    study, evaluation = chaos.study, chaos.study["evaluation"]
    study["budget"]["baselines"], chaos.trials = "none", 2
    evaluation["comet"], study["objectives"] = "none", {"chrf.en-uk": "max", "retention": "max"}
    for part in (*evaluation["quality"], *evaluation["abilities"].values()):
        part["size"] = SEGMENTS
    return chaos


def long_trial(chaos: Chaos, epochs: int) -> None:
    """One trial of 16 steps for each epoch, with a checkpoint every two seconds."""
    chaos.trials = chaos.study["resources"]["concurrent_trials"] = 1
    many_steps(chaos, epochs)
    rate = {"type": "float", "low": 4e-4, "high": 5e-4}
    chaos.space = {"parallel_size": 128, "learning_rate": rate}


def busy(hosts: list[Host]) -> list[Host]:
    """The hosts that have a trial's worker."""
    return [host for host in hosts if any(WORKER in title for title in host.titles())]


def trains_on(chaos: Chaos, number: int) -> list[str]:
    """The letters of the hosts on which the workers of a trial run or ran last."""
    return [place.host.split()[0] for place in worker_places(trial_dir(chaos.run_dir, number))]


def host_in_training(chaos: Chaos, hosts: list[Host]) -> Host:
    """The host, other than the first one, on which the only trial trains, once it has a
    checkpoint."""
    wait_for_training(chaos)
    letters = trains_on(chaos, 0)
    step = checkpoint_of(chaos)
    print(f"  {letters} has a checkpoint of step {step}", file=sys.stderr, flush=True)
    found = [host for host in hosts[1:] if host.letter in letters]
    if not found:
        raise Failed(f"the trial trains on {letters}\n{chaos.text}")
    return found[0]


@dataclass(frozen=True)
class Losses:
    """What a sweep has lost: attempts by class, the steps after which training went on from a
    checkpoint, and the trials that began again at their first step."""

    classes: dict[str, int]
    resumed: list[int]
    repeated: list[int]

    @property
    def text(self) -> str:
        said = [f"{n} x {name}" for name, n in self.classes.items()] or ["no attempt lost"]
        if self.resumed:
            said.append(f"resumed after step {' and '.join(map(str, self.resumed))}")
        again = ", ".join(map(str, self.repeated))
        return ", ".join([*said, *([f"trained twice: {again}"] if again else [])])


def losses(chaos: Chaos) -> Losses:
    records, resumed = records_of(chaos.run_dir), resumed_of(chaos)
    attempts = {n: r.extra["attempts"] for n, r in records.items() if r.extra.get("attempts")}
    classes = Counter(a["reason_class"] for found in attempts.values() for a in found)
    steps = sorted(step for found in resumed.values() for step in found)
    # an attempt that was lost before its first checkpoint has nothing to repeat
    again = [n for n, found in attempts.items() if n not in resumed and found[-1].get("step")]
    return Losses(dict(classes), steps, again)


def ended(chaos: Chaos, process: subprocess.Popen[str], code: int = 0) -> str:
    """How the sweep ended. Failed if it has another exit code, or a planned trial is not complete
    or still RUNNING in the journal."""
    chaos.end(process, code)
    states = [r.state for n, r in records_of(chaos.run_dir).items() if n >= 0]
    running = journal_states(chaos.run_dir)["RUNNING"]
    if states != ["complete"] * chaos.trials or running:
        raise Failed(f"states {states}, {running} RUNNING in the journal\n{chaos.text}")
    return f"exit code {code}, {states_text(chaos)}"


@dataclass
class Writers:
    """Which host wrote what in a trial's folder, and when (`lab_hosts.UMASKS`).

    files: (seconds of the clock, letter, name), in the order in which they were seen."""

    folder: Path
    files: list[tuple[float, str, str]] = field(default_factory=list)

    def look(self) -> None:
        seen = {(when, name) for when, _, name in self.files}
        for path in self.folder.rglob("*"):
            with contextlib.suppress(OSError):  # it may be gone again
                found, name = path.stat(), str(path.relative_to(self.folder))
                if not path.is_file() or name.endswith(".log"):  # all hosts append to that
                    continue
                if (found.st_mtime, name) not in seen:
                    self.files.append((found.st_mtime, writer_of(found.st_mode), name))

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        with repeated(self.look, 0.1, "writers"):
            yield

    def taken_over(self, letter: str) -> float | None:
        """When another host than this one became the owner after it; None if none did."""
        owners = [(when, who) for when, who, name in sorted(self.files) if name == OWNER]
        had = [when for when, who in owners if who == letter]
        return next((when for when, who in owners if had and when > had[0] and who != letter), None)

    def by(self, letter: str, since: float, until: float = float("inf")) -> list[str]:
        return [name for when, who, name in self.files if who == letter and since < when < until]


def writer_of(mode: int) -> str:
    found = [letter for letter, mask in UMASKS.items() if mode & 0o777 == 0o666 & ~mask]
    return found[0] if found else f"{mode & 0o777:o}"
