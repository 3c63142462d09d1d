#!/usr/bin/env python3
"""Fault tolerance of a sweep: every kind of failure, through the main entry point.

    python benchmarks/chaos.py [--only NAME ...] [--list] [--seed 1]

Prints a Markdown table: the failure injected into a small sweep of the embedded study, how the
sweep ended, trials still RUNNING in the journal afterwards, trials lost (no readable record, or
another recipe under the number), trials run twice (a number that finished more than once), seconds.
"Afterwards" means after the same command was repeated if the sweep was interrupted. Failures that
cannot be caused from outside are injected by `benchmarks/injected`. A full disk requires the right
to mount a tmpfs.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import chaos_faults as faults
import chaos_kills as kills
from chaos_sweep import (
    ENDED,
    Chaos,
    Failed,
    journal_states,
    mounted,
    records_of,
)

SCENARIOS: dict[str, tuple[str, Callable[[Chaos, random.Random], str]]] = {
    "kill_driver": ("kill -9 of the driver, 10 times at random moments", kills.kill_driver),
    "sigterm": ("SIGTERM", kills.stop_once),
    "interrupt_twice": ("Ctrl-C twice", kills.interrupt_twice),
    "kill_worker": ("kill -9 of a Train worker", kills.kill_worker),
    "kill_trial_actor": (
        "kill -9 of a trial's own process",
        kills.kill_trial_actor,
    ),
    "kill_controller": (
        "kill -9 of the Train controller of an executor",
        kills.kill_controller,
    ),
    "kill_queue": ("kill -9 of the job queue", kills.kill_queue),
    "kill_progress": ("kill -9 of the process that tracks progress", kills.kill_progress),
    "resumes": ("kill -9 of a long trial's worker, actor, driver; SIGTERM", kills.resumes),
    "kill_trial_actor_always": (
        "the same, every attempt of one trial",
        kills.kill_trial_actor_always,
    ),
    "lose_node": ("a node of two taken away while a trial runs on it", kills.lose_node),
    "nodes_join": ("no room for a trial at first, then machines join", kills.nodes_join),
    "nan_loss": ("learning rate 1e30: NaN loss in every trial", faults.nan_loss),
    "failing_trials": (
        "exception in evaluation, missing metric, out of memory once",
        faults.failing_trials,
    ),
    "failing_memory": ("NaN objective, out of memory twice", faults.failing_memory),
    "time_limit": ("trials longer than budget.trial_minutes", faults.time_limit),
    "slow_driver": ("driver slow for 8 s after every result", faults.slow_driver),
    "full_disk": ("full disk (a tmpfs of 8 MB) while trials run", faults.full_disk),
    "full_disk_checkpoint": (
        "full disk (a tmpfs of 200 MB) while a trial writes a checkpoint",
        faults.full_disk_checkpoint,
    ),
    "damaged_files": ("half a journal line, half of two result files", faults.damaged_files),
}
DISKS = {"full_disk": 8, "full_disk_checkpoint": 200}  # MB
# trials whose record is damaged on purpose
MAY_BE_LOST = {"damaged_files": {0}}


@dataclass(frozen=True)
class Row:
    """One line of the table. `error`: what was not as it should be; empty when all was."""

    done: str
    ended: str
    running: int
    lost: int
    twice: int
    seconds: float
    error: str = ""

    @property
    def sound(self) -> bool:
        return not (self.error or self.running or self.lost or self.twice)


def _counts(chaos: Chaos, name: str) -> tuple[int, int, int]:
    """Trials RUNNING, lost, run twice."""
    there = set(records_of(chaos.run_dir)) | MAY_BE_LOST.get(name, set())
    lost = {-1, *range(chaos.trials)} - there
    ended = Counter(ENDED.findall(chaos.text))
    return (
        journal_states(chaos.run_dir)["RUNNING"],
        len(lost),
        sum(n > 1 for n in ended.values()),
    )


def run_scenario(name: str, folder: Path, seed: int = 1) -> Row:
    """Do one thing to a sweep of its own in an empty folder. Raises PermissionError where it cannot
    be done."""
    done, act = SCENARIOS[name]
    chaos, start = Chaos(folder), time.monotonic()
    disk = mounted(folder / "runs", DISKS[name]) if name in DISKS else contextlib.nullcontext()
    try:
        with disk:
            ended = act(chaos, random.Random(seed))
            running, lost, twice = _counts(chaos, name)
        return Row(done, ended, running, lost, twice, time.monotonic() - start)
    except Failed as error:
        spent = time.monotonic() - start
        return Row(done, "not as it should", 0, 0, 0, spent, error=str(error))
    finally:
        chaos.kill_all()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(SCENARIOS), help="some of them")
    parser.add_argument("--list", action="store_true", help="name them and do nothing")
    parser.add_argument("--seed", type=int, default=1, help="of the random moments")
    args = parser.parse_args()
    if args.list:
        print("\n".join(f"{name}: {done}" for name, (done, _) in SCENARIOS.items()))
        return 0
    print("| done to the sweep | how it ended | RUNNING | lost | run twice | seconds |")
    print("|---|---|---|---|---|---|", flush=True)
    failed = []
    for name in args.only or SCENARIOS:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            try:
                row = run_scenario(name, Path(folder), args.seed)
            except PermissionError as error:
                print(f"| {SCENARIOS[name][0]} | not run: {error} | | | | |", flush=True)
                continue
        print(
            f"| {row.done} | {row.ended} | {row.running} | {row.lost} | {row.twice} | "
            f"{row.seconds:.0f} |",
            flush=True,
        )
        if not row.sound:
            failed.append(name)
            print(f"{name}: {row.error}", file=sys.stderr, flush=True)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
