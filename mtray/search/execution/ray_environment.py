"""Environment variables that Ray reads. Import and apply before Ray is imported."""

from __future__ import annotations

import os
from typing import Any

from mtray.compat.ray import job_environment, job_variables, selects_labels
from mtray.data import tokenizer_threads
from mtray.errors import ConfigError, RunError
from mtray.paths import own_code
from mtray.schema import Resources

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
}
# read by Ray and Tune in the sweep's driver
TUNE = {
    # Ray's own messages get no colours, which would be shown as escapes (`mtray.streams`)
    "RAY_COLOR_PREFIX": "0",
    "RAY_DEDUP_LOGS": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_MAX_PENDING_TRIALS_PG": "4",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
}


def apply() -> None:
    """Set them in this process, and so in those that it starts."""
    tokenizer_threads.set_default()
    os.environ.update(TUNE | of_workers())


def of_workers() -> dict[str, str]:
    """The variables of the sweep's workers, which import the code that this process does. Those
    that the runtime environment of a submitted job sets are the job's: Ray refuses to set them
    again. Raises RunError if the job chooses another version of Ray Train."""
    threads = {tokenizer_threads.VARIABLE: tokenizer_threads.of_workers()}
    job, ours = job_variables(), TRAIN | threads | own_code()
    chosen = job.get(VERSION, ours[VERSION])
    if chosen != ours[VERSION]:
        raise RunError(
            f"the job's runtime environment sets {VERSION}={chosen!r}, and a sweep needs "
            f"{ours[VERSION]!r}; take it out of `env_vars` of the job's --runtime-env-json"
        )
    return {name: value for name, value in ours.items() if name not in job}


def of_study(resources: Resources) -> dict[str, str]:
    """The variables that the study sets, with their values. Raises ConfigError, which names no
    value, for one without a value here or in the study, and for one that the job sets as well."""
    job, found = job_variables(), dict[str, str]()
    for name, value in resources.environment.items():
        if name in job:
            raise ConfigError(
                f"`resources.environment` sets {name}, and so does the job's runtime environment; "
                "take it out of one of the two"
            )
        if value is None and name not in os.environ:
            raise ConfigError(
                f"`resources.environment` has {name} without a value, and it is not set in the "
                f"environment of this command; set it here (`export {name}=...`), or give it a "
                "value in the study"
            )
        found[name] = os.environ[name] if value is None else value
    return found


def runtime_env(resources: Resources) -> dict[str, Any]:
    """The runtime environment of the sweep's processes on the cluster. Raises ConfigError where
    `resources.runtime_env` is not one, or the job that the sweep runs in sets a part of it."""
    given, job = resources.runtime_env, job_environment()
    twice = [name for name in given if job.get(name)]
    if twice:
        raise ConfigError(
            f"`resources.runtime_env` sets {twice[0]}, and so does the job's runtime environment; "
            "take it out of one of the two"
        )
    variables = of_workers() | of_study(resources)
    if resources.labels and not selects_labels():
        raise ConfigError(
            "`resources.labels` needs a version of Ray whose ray.train.ScalingConfig has "
            "`label_selector`, such as 2.60; use `custom_per_worker` with this one"
        )
    if given:
        from ray.runtime_env import RuntimeEnv

        _check_folder(given.get("working_dir"))
        try:
            RuntimeEnv(**given)
        except Exception as error:  # Ray raises several kinds
            lines = str(error).strip().splitlines() or [type(error).__name__]
            raise ConfigError(f"`resources.runtime_env`: {lines[0]}") from None
    return {**given, "env_vars": variables}


def _check_folder(named: Any) -> None:
    """Raise ConfigError for a working directory that is no folder, zip file or address."""
    if isinstance(named, str) and "://" not in named and not os.path.exists(named):
        raise ConfigError(
            f"`resources.runtime_env.working_dir` is {named!r}, which does not exist here; give a "
            "folder (./NAME is relative to the study), a zip file, or an address such as "
            "s3://BUCKET/NAME.zip"
        )
