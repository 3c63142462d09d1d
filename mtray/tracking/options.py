"""The options that name trackers. Imports no third-party package."""

from __future__ import annotations

import argparse

from mtray.tracking.trackers import MLFLOW_URI, PACKAGES, tracker_names

SEVERAL = "several: separate by commas or repeat the option"


def add_trackers(parser: argparse.ArgumentParser, option: str, text: str, required: bool) -> None:
    """The option that names trackers, and that of MLflow's address."""
    parser.add_argument(
        option,
        metavar="TRACKER",
        type=tracker_names,
        action="append",
        required=required,
        help=f"{text}{', '.join(PACKAGES)} ({SEVERAL})",
    )
    parser.add_argument(
        "--mlflow-uri",
        metavar="URI",
        help=f"server, database or folder of MLflow (default: MLflow's own, such as {MLFLOW_URI})",
    )
