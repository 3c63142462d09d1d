"""Environment variables that Ray reads. Import and apply before Ray is imported."""

from __future__ import annotations

import os

from mtray.compat.ray import job_variables
from mtray.errors import RunError
from mtray.paths import own_code

# read by Ray Train in the processes of the sweep; set for the whole job so that the workers of all
# executors are alike
VERSION = "RAY_TRAIN_V2_ENABLED"
TRAIN = {
    VERSION: "1",  # the default from 2.51 on
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


def apply() -> None:
    """Set them in this process, and so in those that it starts."""
    os.environ.update(TUNE | of_workers())


def of_workers() -> dict[str, str]:
    """The variables of the sweep's workers, which import the code that this process does. Those
    that the runtime environment of a submitted job sets are the job's: Ray refuses to set them
    again. Raises RunError if the job chooses another version of Ray Train."""
    job, ours = job_variables(), TRAIN | own_code()
    chosen = job.get(VERSION, ours[VERSION])
    if chosen != ours[VERSION]:
        raise RunError(
            f"the job's runtime environment sets {VERSION}={chosen!r}, and a sweep needs "
            f"{ours[VERSION]!r}; take it out of `env_vars` of the job's --runtime-env-json"
        )
    return {name: value for name, value in ours.items() if name not in job}
