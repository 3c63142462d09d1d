"""The trackers that a run can be sent to, by name. Imports none of their packages."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mtray.errors import ConfigError
from mtray.tracking.tracker import Tracker


@dataclass(frozen=True)
class Package:
    """What a tracker needs: the module that is imported, and what pip installs (also an extra of
    this name in pyproject.toml)."""

    module: str
    requirement: str


PACKAGES = {
    "tensorboard": Package("tensorboardX", "tensorboardX>=2.6"),
    "mlflow": Package("mlflow", "mlflow>=3,<4"),
    "wandb": Package("wandb", "wandb>=0.31,<1"),
}
MLFLOW_URI = "MLFLOW_TRACKING_URI"


def tracker_names(text: str) -> list[str]:
    """The type of an option with trackers' names, separated by commas."""
    names = [part.strip() for part in text.split(",") if part.strip()]
    for name in names:
        if name not in PACKAGES:
            raise argparse.ArgumentTypeError(
                f"expected {', '.join(PACKAGES)}, or several separated by commas, found {name!r}"
            )
    if not names:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(PACKAGES)}")
    return names


def chosen(given: Sequence[Sequence[str]] | None) -> tuple[str, ...]:
    """The names of a repeatable option, each once."""
    return tuple(dict.fromkeys(name for names in given or () for name in names))


def check_trackers(names: Iterable[str], option: str, mlflow_uri: str | None = None) -> None:
    """ConfigError, with the command that installs it, if a tracker's package is missing; also for
    an address of a tracker that is not used."""
    names = list(names)
    if mlflow_uri is not None and "mlflow" not in names:
        raise ConfigError(f"--mlflow-uri: needs {option} mlflow")
    for name in names:
        package = PACKAGES[name]
        if find_spec(package.module) is None:
            python = shlex.quote(sys.executable)
            raise ConfigError(
                f"{option} {name}: the package {package.module} is not installed; install it: "
                f"{python} -m pip install {shlex.quote(package.requirement)}"
            )


def use_mlflow_uri(uri: str | None) -> None:
    """Set it for this process and those that it starts, so that it is on no command line."""
    if uri is not None:
        os.environ[MLFLOW_URI] = uri


def open_tracker(name: str, run_dir: Path) -> Tracker:
    """A tracker for the runs of this folder. Imports its package; may raise what that raises."""
    if name == "mlflow":
        from mtray.tracking.mlflow_runs import MlflowRuns

        return MlflowRuns()
    if name == "wandb":
        from mtray.tracking.wandb_runs import WandbRuns

        return WandbRuns(run_dir)
    from mtray.tracking.tensorboard_files import TensorBoardFiles

    return TensorBoardFiles(run_dir)
