"""A sweep from Python: what `sweeps/ratio_search.py` does, in this process."""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Literal, NoReturn

from mtray.api.opened_run import Run, open_run
from mtray.errors import ConfigError, RunError
from mtray.mirror_process import INCOMPLETE
from mtray.run_files import RUNS
from mtray.study import load_study
from mtray.sweep_command import parser, run_sweep

PathText = str | PathLike[str]


def sweep(
    study: PathText | None = None,
    space: PathText | None = None,
    *,
    name: str | None = None,
    model: str | None = None,
    trials: int | None = None,
    settle: float | None = None,
    seed: int | None = None,
    from_runs: PathText | Sequence[PathText] = (),
    train_again: Literal["front", "all"] | None = None,
    address: str | None = None,
    max_minutes: float | None = None,
    runs_dir: PathText = RUNS,
    page: bool = True,
    page_port: int | None = None,
    mirror: str | None = None,
    track: str | Sequence[str] = (),
    mlflow_uri: str | None = None,
) -> Run:
    """Run a sweep, or continue it if it was run before, and return its run.

    `study`, `space`: YAML files (default: the embedded study and its space); a path is a text or a
    `pathlib.Path`. The other arguments are the options of `python sweeps/ratio_search.py`;
    `from_runs` is its `--from`, one run or several, as `track` is one tracker or several. It prints
    what the script prints, and Ray runs below this process until the sweep has ended.

    Raises ConfigError, DataError, ModelError or RunError where the script ends with exit code 2,
    RunError if no trial is complete (its exit code 1), and KeyboardInterrupt after Ctrl-C: running
    trials are kept, and the same call continues. Only the main thread may call it, since signals
    reach no other.
    """
    if threading.current_thread() is not threading.main_thread():
        raise RunError("mtray.sweep: call it in the main thread; only that one receives Ctrl-C")
    given = {
        "study": study, "space": space, "name": name, "model": model, "trials": trials,
        "settle": settle, "seed": seed, "train-again": train_again, "address": address,
        "max-minutes": max_minutes, "runs-dir": runs_dir, "page": "on" if page else "off",
        "page-port": page_port, "mlflow-uri": mlflow_uri, "mirror": mirror,
        "track": (track if isinstance(track, str) else ",".join(track)) or None,
    }  # fmt: skip
    args = parsed(given, from_runs)
    code = run_sweep(args)
    folder = Path(args.runs_dir) / (args.name or load_study(args.study).name)
    if code == 128 + signal.SIGINT:
        raise KeyboardInterrupt
    if code > 128:
        raise SystemExit(code)
    if code == INCOMPLETE:
        raise RunError(f"{folder}: not all of it is copied to {mirror}; the lines above say why")
    if code:
        raise RunError(f"{folder}: no trial is complete; the lines above say why")
    return open_run(folder)


def parsed(given: dict[str, Any], from_runs: PathText | Sequence[PathText]) -> Any:
    """The arguments of the sweep's command line. Raises ConfigError for a value that the command
    line refuses."""

    def refuse(message: str) -> NoReturn:
        raise ConfigError(f"mtray.sweep: {message}")

    options = [f"--{key}={value}" for key, value in given.items() if value is not None]
    runs = [from_runs] if isinstance(from_runs, str | PathLike) else from_runs
    options += [f"--from={run}" for run in runs]
    command_line = parser()
    setattr(command_line, "error", refuse)  # noqa: B010  (mypy: a method cannot be assigned)
    return command_line.parse_args(options)
