#!/usr/bin/env python3
"""Cost of the search itself per trial, with many trials: milliseconds and memory, no training.

    python benchmarks/scale.py [--trials 10000] [--concurrent 64] [--sides random nsga2 tpe ledger]

`concurrent` simulated trials are pending at a time; each step reports one result, updates the
front, and requests the next point. First `Suggester`, which is in memory, once for each sampler
(without the Gaussian process: `auto` stops using it after a hundred trials). Then the real `Ledger`
with its journal, with the sampler `random` and without replicates, so that only its own cost is
measured; writing records is left out. The side `replicates` gives the second half of the trials to
them, and runs only if requested. Milliseconds are per step, the mean of the last tenth before each
mark, in wall-clock and (more reliable on a busy machine) processor time; memory is this process's
resident set. Every side runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

LEDGER, REPLICATES = "ledger", "replicates"
SIDES = ("random", "nsga2", "tpe", LEDGER)
TARGET_MS = 20.0
MARKS = (0.1, 0.5, 1.0)  # of all trials
SPACE = {
    "parallel_size": {"type": "int", "low": 128, "high": 4096, "log": True},
    "mono_ratio": {"type": "float", "low": 0.0, "high": 1.0},
    "replay_fraction": {"type": "float", "low": 0.0, "high": 0.3},
    "frozen_layers": {"type": "int", "low": 0, "high": 5},
    "learning_rate": {"type": "float", "low": 1e-4, "high": 2e-3, "log": True},
}


def objective(params: dict[str, Any], rng: np.random.Generator) -> tuple[float, float]:
    """Quality and retention that trade against each other, with noise, so that the front is a few
    dozen points."""
    size = np.log2(params["parallel_size"] / 128) / 5
    quality = 0.6 + 0.2 * size + 0.02 * params["mono_ratio"]
    retention = 1 - 0.3 * size * (1 - params["replay_fraction"])
    return (
        float(quality + 0.007 * rng.standard_normal()),
        float(retention + 0.01 * rng.standard_normal()),
    )


class Front:
    """The front after every trial: what is dominated once stays so, and is not looked at again."""

    def __init__(self) -> None:
        self.values = np.empty((0, 2))

    def add(self, values: tuple[float, float]) -> None:
        from mtray.analysis.pareto import non_dominated

        found = np.vstack([self.values, values])
        self.values = found[non_dominated(found)]


def suggester_steps(sampler: str, concurrent: int, front: Front) -> Iterator[None]:
    """Each step tells one result and asks for one point."""
    from mtray.search.strategy.cost_aware import Observation, SearchDomain
    from mtray.search.strategy.suggester import Suggester
    from mtray.search_space.space import Space

    rng = np.random.default_rng(1)
    distributions = Space.model_validate({"parameters": SPACE}).distributions()
    suggester = Suggester(SearchDomain(distributions), ["max", "max"], sampler)
    pending: dict[int, dict[str, Any]] = {}
    number = 0
    while True:
        while len(pending) < concurrent:
            params, notes = suggester.suggest(number)
            suggester.add(number, params, attributes=notes)
            pending[number] = params
            number += 1
        ended = int(rng.choice(list(pending)))
        params = pending.pop(ended)
        values = objective(params, rng)
        suggester.add(ended, params, Observation(values))
        front.add(values)
        yield


def ledger_steps(
    folder: Path, trials: int, concurrent: int, front: Front, replicate_share: float = 0.0
) -> Iterator[None]:
    """The same with the run's journal: each step tells the ledger a record and takes the next
    job."""
    from mtray.report.records import write_record
    from mtray.schema import Score, TrialRecord
    from mtray.search.ledger.ledger import Ledger
    from mtray.sweep_command import arguments, load

    total = trials + 2 * concurrent
    study, space = load(arguments(["--trials", str(total)]))
    budget = study.budget.model_copy(update={"replicate_share": replicate_share})
    changes = {"sampler": "random", "budget": budget}
    ledger = Ledger(folder, study.model_copy(update=changes), space)
    rng, pending, yielded = np.random.default_rng(1), {}, False
    while True:
        while len(pending) < concurrent:
            job = ledger.next(total)
            assert job is not None
            pending[job.number] = job
            ledger.look_ahead(total)
        if yielded:
            yield
        yielded = True
        job = pending.pop(int(rng.choice(list(pending))))
        values = objective(job.recipe.model_dump(), rng)
        scores = {
            name: Score(value=v, low=v - 0.02, high=v + 0.02, n=500, signature="scale|1")
            for name, v in zip(("quality", "retention"), values, strict=True)
        }
        record = TrialRecord(
            number=job.number, role=job.role, state="complete", recipe=job.recipe, seed=job.seed,
            objectives=scores, replicate=job.replicate, of=job.of,
        )  # fmt: skip
        with CLOCK.paused():  # a worker's business, and the disk's
            write_record(folder, record)
        ledger.tell(job.number)
        front.add(values)


class Clock:
    """Seconds spent, without what is left out."""

    def __init__(self) -> None:
        self.left_out = np.zeros(2)

    def now(self) -> np.ndarray:
        """Of the clock on the wall, and of the processor."""
        return np.array([time.perf_counter(), time.process_time()]) - self.left_out

    @contextmanager
    def paused(self) -> Iterator[None]:
        start = self.now()
        yield
        self.left_out = self.left_out + self.now() - start


CLOCK = Clock()


def resident_mib() -> float:
    """What this process holds in memory now, in MiB."""
    import psutil

    return float(psutil.Process().memory_info().rss) / 2**20


def measure(side: str, trials: int, concurrent: int) -> dict[str, Any]:
    """One side, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        front = Front()
        if side in (LEDGER, REPLICATES):
            share = 0.5 if side == REPLICATES else 0.0
            steps = ledger_steps(Path(folder), trials, concurrent, front, share)
        else:
            steps = suggester_steps(side, concurrent, front)
        marks, window = {int(m * trials) for m in MARKS}, max(1, trials // 10)
        times, rows = [CLOCK.now()], []
        for count in range(1, trials + 1):
            next(steps)
            times.append(CLOCK.now())
            if count in marks:
                steps_back = min(window, count)
                ms, cpu_ms = 1000 * (times[-1] - times[-1 - steps_back]) / steps_back
                row = {"trials": count, "ms": float(ms), "cpu_ms": float(cpu_ms)}
                rows.append({**row, "mib": resident_mib()})
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {"side": side, "rows": rows, "peak_mib": peak, "front": len(front.values)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--concurrent", type=int, default=64)
    parser.add_argument("--sides", nargs="+", choices=(*SIDES, REPLICATES), default=SIDES)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", choices=(*SIDES, REPLICATES), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.one, args.trials, args.concurrent)))
        return
    results = []
    if not args.json:
        heads = " | ".join(f"at {int(m * args.trials):,}" for m in MARKS)
        print(
            f"| ms a trial (CPU ms, MiB) | {heads} | peak MiB | front | at most {TARGET_MS:g} ms |"
        )
        print("|" + "---|" * (len(MARKS) + 4))
    for side in args.sides:
        command = [sys.executable, __file__, "--one", side, "--trials", str(args.trials),
                   "--concurrent", str(args.concurrent)]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{side} failed:\n{done.stderr[-3000:]}")
        results.append(json.loads(done.stdout.splitlines()[-1]))
        if not args.json:
            print(line(results[-1]), flush=True)
    if args.json:
        print(json.dumps(results, indent=1))


def line(found: dict[str, Any]) -> str:
    cells = [f"{row['ms']:.1f} ({row['cpu_ms']:.1f}, {row['mib']:.0f})" for row in found["rows"]]
    held = "yes" if max(row["ms"] for row in found["rows"]) <= TARGET_MS else "no"
    return (
        f"| {found['side']} | {' | '.join(cells)} | {found['peak_mib']:.0f} | {found['front']} "
        f"| {held} |"
    )


if __name__ == "__main__":
    main()
