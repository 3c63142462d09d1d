#!/usr/bin/env python3
"""What a sweep of hundreds of concurrent trials costs its driver, by simulation.

    python benchmarks/scale_cluster.py [--trials 2000] [--concurrent 512] [--hosts 64]

The driver is the real one (`run_watched`: Tune's loop, searcher, suggester, ledger with its
journal, table, gauges, watchdog, controls). Only what runs on the cluster is replaced
(`simulated_actors.py`): a trial takes some time on a simulated clock and leaves a made-up record,
and the actors for progress and jobs are objects of this process. There is no Ray cluster.
`keep_weights: front`, `device_hours` and `patience` are set, since they look at all trials whenever
one ends. What the trials' own processes would do (records, progress) is left out of the times. The
page is served by a process of its own, as in a sweep. Points come from Sobol's sequence; what
a suggestion of the default sampler takes is measured at the marks, with all results so far and all
running trials. Seconds are of the processor, which those of a busy machine resemble more than the
clock's.

A row for each mark (trials ended), then how each cost grows: the exponent b of n^b over the last
marks. A total may grow like the number of trials (b = 1), with 0.15 for noise and a front that
grows.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

import numpy as np  # noqa: E402
from scale import SPACE, resident_mib  # noqa: E402
from simulated_actors import Gauge, InProcess, SimulatedActors, without_ray  # noqa: E402
from simulated_records import HOUR, STEPS, record_of  # noqa: E402

SAMPLER = "sobol"  # of the points that are tried
MARKS = (64, 256, 512, 2000)
RESAMPLES = 1000
# column: unit, whether it is a total that may grow like the number of trials
COLUMNS = {
    "driver": "CPU s, total",
    "rss": "driver, MiB",
    "next": "end of a trial to start of the next, ms",
    "next_95": "of 95 %",
    "suggestion": "a suggestion, s",
    "tick": "table and gauges, ms each second",
    "journal": "journal, MB",
    "folder": "folder, MB",
    "files": "files",
    "page_first": "page, first, s",
    "page": "page, then, s",
    "page_table": "its table, MB",
    "front": "front, CPU s",
}


class Sweep:
    """The trials that are simulated, and what their driver is measured to need."""

    def __init__(self, run_dir: Path, trials: int, concurrent: int) -> None:
        self.run_dir, self.trials, self.concurrent = run_dir, trials, concurrent
        self.rng = np.random.default_rng(1)
        self.ended, self.rows = 0, list[dict[str, float]]()
        # CPU seconds of this thread that are not the driver's
        self.apart = time.thread_time()
        self.gaps, self.since = list[float](), None
        self.ledger: Any = None
        self.watch: Any = None
        self.progress: Any = None

    def seconds(self, job: Any) -> float:
        curve = [(step, round(3 / (1 + step / 50), 4)) for step in range(STEPS)]
        self.progress.update.remote(job.number, {"state": "training", "steps": STEPS})
        self.progress.update.remote(job.number, {"step": STEPS - 1, "curve": curve})
        return float(HOUR * np.exp(0.5 * self.rng.standard_normal())) if job.number >= 0 else 0.0

    def end(self, job: Any) -> dict[str, Any]:
        from mtray.report.bootstrap_draws import write_draws
        from mtray.report.records import write_record

        before = time.thread_time()
        record = record_of(job, self.rng)
        draws = {n: s.value + 0.005 * self.rng.standard_normal(RESAMPLES)
                 for n, s in record.objectives.items()}  # fmt: skip
        write_draws(self.run_dir, job.number, draws)
        write_record(self.run_dir, record)
        self.progress.remove.remote(job.number)
        self.apart += time.thread_time() - before
        self.since = time.thread_time()
        return {"number": job.number, "state": "complete"}

    def busy(self) -> bool:
        running = self.ledger._ahead._running
        return running is not None and not running.done()

    def started(self) -> None:
        if self.since is not None:
            self.gaps.append(1000 * (time.thread_time() - self.since))
        self.since = None

    def after_end(self, number: int) -> None:
        self.ended += number >= 0
        if number >= 0 and self.ended in (*MARKS, self.trials) and self.ended <= self.trials:
            before = time.thread_time()
            self.rows.append(self.mark())
            print(f"{self.ended} trials ended: {json.dumps(self.rows[-1])}", flush=True)
            self.apart += time.thread_time() - before
            self.since = None

    def mark(self) -> dict[str, float]:
        driver = time.thread_time() - self.apart
        before = time.thread_time()
        for _ in range(3):
            self.watch._look()
            self.watch._publish(self.watch.progress())
        tick = (time.thread_time() - before) / 3
        files = [f for f in self.run_dir.rglob("*") if f.is_file()]
        row = {
            "trials": self.ended, "driver": driver, "rss": resident_mib(), "tick": 1000 * tick,
            "journal": (self.run_dir / "study.journal").stat().st_size / 1e6,
            "folder": sum(f.stat().st_size for f in files) / 1e6, "files": len(files),
            "next": float(np.median(self.gaps or [0])),
            "next_95": float(np.percentile(self.gaps or [0], 95)),
            "suggestion": self.suggestion(),
        }  # fmt: skip
        self.gaps.clear()
        command = [sys.executable, __file__, "--page", str(self.run_dir)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"the page failed:\n{done.stderr[-3000:]}")
        return row | json.loads(done.stdout.splitlines()[-1])

    def suggestion(self) -> float:
        """CPU seconds of a suggestion by the default sampler, the median of three."""
        plain = self.ledger._suggester
        plain._sampler = "auto"
        spent = []
        try:
            for number in range(3):
                before = time.thread_time()
                plain.suggest(10**6 + number)
                spent.append(time.thread_time() - before)
        finally:
            plain._sampler = SAMPLER
        return float(np.median(spent))


def page_costs(run_dir: Path) -> dict[str, float]:
    """Of the page's process: state and table for the first time, and after a trial has ended."""
    from mtray.report.bootstrap_draws import draws_of
    from mtray.serving.run_data import front_data
    from mtray.serving.run_view import RunView

    view = RunView(run_dir)
    view._front.want = lambda version: None  # type: ignore[method-assign]

    def ask() -> tuple[float, int]:
        began = time.process_time()
        view.part("state", {})
        table = view.part("table", {})
        return time.process_time() - began, len(table.body) if table else 0

    first, size = ask()
    again = []
    for _ in range(3):
        time.sleep(0.6)
        for file in (run_dir / "study.journal", *sorted(run_dir.glob("trials/*/result.json"))[:1]):
            os.utime(file)
        again.append(ask()[0])
    before = time.process_time()
    front_data(run_dir, *view._study(), view._records, draws_of(run_dir))
    cpu = time.process_time() - before
    return {"page_first": first, "page": float(np.median(again)), "page_table": size / 1e6,
            "front": cpu}  # fmt: skip


def simulate(run_dir: Path, trials: int, concurrent: int, hosts: int) -> list[dict[str, float]]:
    """Run the sweep in this process, which must be the main thread of a new one."""
    from rich.console import Console

    from mtray.search.execution import ray_environment
    from mtray.search.ledger.ledger import Ledger
    from mtray.search.ledger.live_progress import write_progress
    from mtray.search.ledger.run_folder import bind
    from mtray.search_space.space import Space
    from mtray.sweep_command import arguments, load

    study, _ = load(arguments(["--trials", str(trials)]))
    more = {"device_hours": 1e9, "patience": trials, "settle": None}
    study = study.model_copy(
        update={
            "budget": study.budget.model_copy(update=more),
            "sampler": SAMPLER,
            "training": study.training.model_copy(update={"keep_weights": "front"}),
        }
    )
    space = Space.model_validate({"parameters": SPACE})
    bind(run_dir, study, space)
    ray_environment.apply()
    from ray.tune.execution import tune_controller

    from mtray.search.execution import executors, nodes, watched_run
    from mtray.search.execution.console import LiveTable
    from mtray.search.execution.gauges import SweepGauges
    from mtray.search.execution.job_queue import JobQueue
    from mtray.search.execution.progress import ProgressActor
    from mtray.search.execution.searcher import Limits
    from mtray.search.execution.shared import Shared
    from mtray.search.execution.watchdog import Cluster

    without_ray(str(run_dir.parent / f"{run_dir.name}-session"))
    sweep = Sweep(run_dir, trials, concurrent)
    sweep.ledger = ledger = Ledger(run_dir, study, space)
    gauges, limits = SweepGauges(run_dir.name, study, make=Gauge), Limits(ledger.total)
    sweep.progress = InProcess(ProgressActor())
    shared = Shared(study, str(run_dir), {}, None, None, sweep.progress, InProcess(JobQueue()))

    def publish(found: Any) -> None:
        write_progress(run_dir, watched_run.with_limits(found, limits))
        gauges.progress(found)

    console = Console(file=io.StringIO())
    sweep.watch = watch = LiveTable(console, limits.trials, 0, concurrent, publish,
                                    count=gauges.ended)  # fmt: skip
    started, ended = watch.started, watch.ended
    watch.started = lambda job: (started(job), sweep.started())  # type: ignore
    watch.ended = lambda record: (ended(record), sweep.after_end(record.number))  # type: ignore

    class Places:
        """The executors of a cluster with this many places."""

        places = concurrent

        def __init__(self, *_: Any) -> None: ...

        def check(self) -> None: ...

        def close(self) -> None: ...

    executors.Executors = Places  # type: ignore
    nodes.alive_nodes = lambda: {f"host-{i}" for i in range(hosts)}
    snapshot = sweep.progress.snapshot.remote
    watched_run.look_at = lambda *_: (snapshot(), Cluster({}, {}))  # type: ignore
    tune_controller.RayActorManager = lambda resource_manager: SimulatedActors(sweep)
    tune_controller.PlacementGroupResourceManager = lambda: None
    watched_run.run_watched(ledger, shared, limits, watch, grows=False)
    if limits.fatal:
        raise SystemExit(limits.reason)
    return sweep.rows


def exponent(rows: list[dict[str, float]], column: str) -> float | None:
    """b of n^b between the last two marks that are far apart; None for what does not grow."""
    known = [(r["trials"], r[column]) for r in rows if r[column] > 0]
    if len(known) < 2:
        return None
    (n0, y0), (n1, y1) = known[0 if len(known) < 3 else -2], known[-1]
    return float(np.log(y1 / y0) / np.log(n1 / n0))


def table(rows: list[dict[str, float]]) -> str:
    heads = " | ".join(f"{r['trials']:,.0f}" for r in rows)
    lines = [f"| trials ended | {heads} | grows like n to the |", "|" + "---|" * (len(rows) + 2)]
    for column, label in COLUMNS.items():
        b = exponent(rows, column)
        cells = " | ".join(f"{r[column]:,.3g}" for r in rows)
        lines.append(f"| {label} | {cells} | {'' if b is None else f'{b:.2f}'} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--concurrent", type=int, default=512)
    parser.add_argument("--hosts", type=int, default=64)
    parser.add_argument("--out", type=Path, help="keep the run folder here (must not exist)")
    parser.add_argument("--page", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.page:
        print(json.dumps(page_costs(args.page)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        run_dir = args.out or Path(folder) / "scale"
        run_dir.mkdir(parents=True)
        rows = simulate(run_dir, args.trials, args.concurrent, args.hosts)
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
