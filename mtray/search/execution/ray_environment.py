"""Environment variables that Ray reads. Import and apply before Ray is imported."""

from __future__ import annotations

import os
from pathlib import Path

# read by Ray Train in the processes of the sweep; set for the whole job so that the workers of all
# executors are alike
TRAIN = {
    "RAY_TRAIN_V2_ENABLED": "1",  # the default from 2.51 on
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_WARN_BLOCKING_GET_INSIDE_ASYNC": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "TOKENIZERS_PARALLELISM": "false",
}
# read by Tune in the sweep's driver
TUNE = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_MAX_PENDING_TRIALS_PG": "4",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
}


ROOT = Path(__file__).resolve().parents[3]


def apply() -> None:
    """Set them in this process, and so in those that it starts."""
    os.environ.update(TUNE | of_workers())


def of_workers() -> dict[str, str]:
    """The variables of the sweep's workers. Those of a checkout import its own code, not that of
    another one which is installed (a copied or moved checkout), as this process does."""
    if not (ROOT / "pyproject.toml").is_file():
        return TRAIN
    before = [part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    others = [part for part in before if part != str(ROOT)]
    return TRAIN | {"PYTHONPATH": os.pathsep.join([str(ROOT), *others])}
