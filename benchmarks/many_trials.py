#!/usr/bin/env python3
"""Processor time of the front of a run of many trials and of a further trial's end, and size of the
page: no training.

    python benchmarks/many_trials.py [--trials 2000] [--draws]

The trials are synthetic: quality rises and retention falls with the learning rate, with noise. The
front is computed with its answer as the page beside a sweep does: in one thread. With `--draws`
trials have bootstrap draws on disk, as those of a real sweep have, and the front is computed twice:
the second time only files that have changed are read. At a trial's end the driver looks for weights
that are dominated now, and whether device-hours or patience are used up.
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "unit"))
LAST = 20
RESAMPLES = 1000
SPACE = {
    "parallel_size": {"type": "int", "low": 256, "high": 8192, "log": True},
    "mono_ratio": {"type": "float", "low": 0.0, "high": 4.0},
    "replay_fraction": {"type": "float", "low": 0.0, "high": 0.5},
    "frozen_layers": {"type": "int", "low": 0, "high": 6},
    "learning_rate": {"type": "float", "low": 4e-5, "high": 4e-3, "log": True},
}


def seconds_of_an_end(records: list[Any]) -> float:
    """What the searcher computes when one more trial has ended, the mean of the last few."""
    from records_factory import make_study

    from mtray.schema import Budget
    from mtray.search.ledger.kept_weights import FrontWeights
    from mtray.search.strategy.stop_criteria import enough

    study = make_study(budget=Budget(device_hours=1e9, patience=len(records)))
    with tempfile.TemporaryDirectory() as folder:
        weights = FrontWeights(Path(folder), study)
        weights.add(records[:-LAST])
        before = time.process_time()
        for count in range(len(records) - LAST, len(records)):
            weights.add([records[count]])
            enough(records[: count + 1], study)
        return (time.process_time() - before) / LAST


def write_some_draws(run_dir: Path, records: list[Any]) -> None:
    """A thousand draws of every measure, half of whose variance the trials share."""
    import numpy as np

    from mtray.analysis.uncertainty import Z95
    from mtray.report.bootstrap_draws import write_draws
    from mtray.report.groups import complete_trials, measured
    from mtray.run_files import trial_dir

    rng = np.random.default_rng(1)
    shared = rng.standard_normal((len(measured(records[0])), RESAMPLES))
    for record in complete_trials(records):
        found = {}
        for (name, score), common in zip(measured(record).items(), shared, strict=True):
            apart = (common + rng.standard_normal(RESAMPLES)) / 2**0.5
            found[name] = score.value + (score.high - score.low) / (2 * Z95) * apart
        trial_dir(run_dir, record.number).mkdir(parents=True)
        write_draws(run_dir, record.number, found)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--draws", action="store_true", help="with bootstrap draws on disk")
    parser.add_argument("--out", type=Path, help="keep the page here, to open it in a browser")
    args = parser.parse_args()

    from records_factory import make_run, make_study

    from mtray.report.bootstrap_draws import draws_of
    from mtray.report.front_builder import build_front
    from mtray.report.groups import no_draws
    from mtray.report.static_page import front_page
    from mtray.search_space.space import Space

    records, space = make_run(args.trials), Space.model_validate({"parameters": SPACE})
    with tempfile.TemporaryDirectory() as folder:
        draws: Any = no_draws
        if args.draws:
            write_some_draws(Path(folder), records)
            draws = draws_of(Path(folder))
        for again in ("", ", again")[: 1 + args.draws]:
            before, since = time.process_time(), time.monotonic()
            front = build_front(records, make_study(), Path("runs/synthetic"), draws, space=space)
            spent, waited = time.process_time() - before, time.monotonic() - since
            recipes = f"front of {len(front.points)} recipes{again}"
            print(f"{recipes}: {spent:.1f} s of processor time ({waited:.1f} s)")
    before = time.process_time()
    page = front_page(front, records)
    spent = time.process_time() - before
    print(f"page: {len(page.encode()) / 2**20:.1f} MiB, {spent:.1f} s of processor time")
    print(f"end of a further trial: {1000 * seconds_of_an_end(records):.1f} ms of processor time")
    if args.out:
        args.out.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
