#!/usr/bin/env python3
"""Overhead of a trial beyond its training and evaluation: mtray compared with the plain nested
recipe of Ray's documentation.

    python benchmarks/overhead.py [--trials 6] [--concurrent 2] [--rounds 1]

Both sides run the same trials of the embedded study (the same worker code: load, mix, train with
DeepSpeed, generate), two at a time, each side in a fresh process with a cluster of its own, in
turn. A trial's cost is slot time: wall time of all trials, times how many run at once, divided by
their number. Overhead is that minus the seconds spent training, generating and scoring. Imports and
loading are overhead on both sides. Start-up of mtray's sweep is reported separately: the time until
the process of the first trial at each place has started, and until the executor that it waits for
has; the plain recipe starts its workers anew for every trial. The plain recipe: a Tune function
that runs `TorchTrainer.fit()` with `TuneReportCallback`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WORK = ("training", "generation", "scoring", "mix")


def small_study(trials: int, concurrent: int) -> Any:
    """The default study with short evaluation, and recipes of 256 pairs: about two seconds of work
    a trial."""
    from mtray.sweep_command import arguments, load

    study, space = load(arguments(["--trials", str(trials)]))
    evaluation = study.evaluation
    abilities = {k: v.model_copy(update={"size": 20}) for k, v in evaluation.abilities.items()}
    quality = tuple(q.model_copy(update={"size": 40}) for q in evaluation.quality)
    study = study.model_copy(
        update={
            "evaluation": evaluation.model_copy(
                update={"abilities": abilities, "quality": quality}
            ),
            "resources": study.resources.model_copy(update={"concurrent_trials": concurrent}),
        }
    )
    fixed = {
        "parallel_size": 256,
        "frozen_layers": 0,
        "learning_rate": 1e-3,
        "replay_fraction": 0.0,
    }
    parameters = {"mono_ratio": space.parameters["mono_ratio"].model_copy(update={"high": 1.0})}
    return study, space.model_copy(update={"parameters": parameters, "fixed": fixed})


def measure_mtray(trials: int, concurrent: int, folder: Path) -> dict[str, float]:
    from io import StringIO

    from rich.console import Console

    from mtray.preparation import prepare
    from mtray.report.records import read_records
    from mtray.run_files import STARTS_FILE, result_path
    from mtray.search.execution.session import run_session
    from mtray.search.ledger.run_folder import locked_run

    study, space = small_study(trials - 1, concurrent)  # the base model is a trial, too
    prepared = prepare(study, space)
    console = Console(file=StringIO())
    with locked_run(folder, "overhead") as run_dir:
        run_session(prepared, run_dir, None, console, time.monotonic())
    seconds = {r.number: r.seconds for r in read_records(folder / "overhead").sound()}
    written = {n: result_path(folder / "overhead", n).stat().st_mtime for n in seconds}
    note = folder / "overhead" / STARTS_FILE  # written when the trials have ended
    wall = json.loads(note.read_text())["seconds"]
    began = note.stat().st_mtime - wall
    starts = [written[n] - s["total"] - s.get("waiting", 0.0) - began for n, s in seconds.items()]
    waited = sum(s.get("waiting", 0.0) for s in seconds.values())
    start = sum(sorted(starts)[:concurrent]) + waited
    return summary(wall, [*seconds.values()], concurrent, start)


def plain_loop(config: dict[str, Any]) -> None:
    import ray
    import ray.train

    from mtray.trial.run import run_trial

    store, requests = ray.get(config["store"]), ray.get(config["requests"])
    outcome = run_trial(config["job"], config["study"], store, requests)
    ray.train.report({"seconds": outcome.seconds})


def plain_driver(config: dict[str, Any]) -> None:
    import ray.train
    from ray import tune
    from ray.train.torch import TorchTrainer
    from ray.tune.integration.ray_train import TuneReportCallback

    trainer = TorchTrainer(
        plain_loop,
        train_loop_config=config,
        scaling_config=ray.train.ScalingConfig(num_workers=1, resources_per_worker={"CPU": 1}),
        run_config=ray.train.RunConfig(
            name=f"train-trial_id={tune.get_context().get_trial_id()}",
            storage_path=config["folder"],
            callbacks=[TuneReportCallback()],
        ),
    )
    trainer.fit()


def measure_plain(trials: int, concurrent: int, folder: Path) -> dict[str, float]:
    import ray
    from ray import tune

    from mtray.preparation import prepare
    from mtray.trial.job import Job

    study, space = small_study(trials, concurrent)
    prepared = prepare(study, space)
    ray.init(address="local", log_to_driver=False, logging_level="ERROR")
    jobs = [
        Job(i, "search", space.recipe({"mono_ratio": i / max(1, trials - 1)}), study.seed)
        for i in range(trials)
    ]
    config = {
        "job": tune.grid_search(jobs),
        "study": study,
        "store": ray.put(prepared.store),
        "requests": ray.put(prepared.suite.requests),
        "folder": str(folder),
    }
    tuner = tune.Tuner(
        tune.with_resources(plain_driver, {"CPU": 0.01}),
        param_space=config,
        tune_config=tune.TuneConfig(max_concurrent_trials=concurrent),
        run_config=tune.RunConfig(name="plain", storage_path=str(folder), verbose=0),
    )
    start = time.perf_counter()
    results = tuner.fit()
    wall = time.perf_counter() - start
    found = [r.metrics["seconds"] for r in results if r.metrics and "seconds" in r.metrics]
    if len(found) != trials:
        raise SystemExit(f"plain recipe: {len(found)} of {trials} trials came through")
    return summary(wall, found, concurrent)


def summary(
    wall: float, seconds: list[dict[str, float]], concurrent: int, start: float = 0.0
) -> dict[str, float]:
    """Slot seconds a trial: all, and of them work, start-up, overhead. `start`: that of all
    places."""
    slot = wall * concurrent / len(seconds)
    work = sum(sum(s.get(k, 0.0) for k in WORK) for s in seconds) / len(seconds)
    start /= len(seconds)
    return {
        "trials": len(seconds), "slot": slot, "work": work, "start": start,
        "overhead": slot - work - start,
    }  # fmt: skip


def run_side(side: str, args: argparse.Namespace) -> dict[str, float]:
    """One side in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable, __file__, "--side", side, "--folder", folder,
            "--trials", str(args.trials), "--concurrent", str(args.concurrent),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True)
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if done.returncode or not lines:
            raise SystemExit(f"{side} failed:\n{done.stderr[-3000:]}")
        found: dict[str, float] = json.loads(lines[-1])
        return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--concurrent", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1, help="repeat both sides, in turn")
    parser.add_argument("--side", choices=("plain", "mtray"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        measure = {"plain": measure_plain, "mtray": measure_mtray}[args.side]
        print(json.dumps(measure(args.trials, args.concurrent, args.folder)))
        return
    print(f"{'side':8} {'trials':>6} {'slot s':>8} {'work s':>8} {'start s':>8} {'overhead s':>11}")
    found: dict[str, list[float]] = {"plain": [], "mtray": []}
    for _ in range(args.rounds):
        for side in found:
            result = run_side(side, args)
            found[side].append(result["overhead"])
            print(
                f"{side:8} {result['trials']:6.0f} {result['slot']:8.1f} "
                f"{result['work']:8.1f} {result['start']:8.1f} {result['overhead']:11.1f}",
                flush=True,
            )
    plain, ours = (sum(v) / len(v) for v in found.values())
    print(f"overhead of a trial: plain {plain:.1f} s, mtray {ours:.1f} s, ratio {ours / plain:.2f}")


if __name__ == "__main__":
    main()
