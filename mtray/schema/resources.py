"""What the processes of a trial hold, where they run, and the environment that they run in."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_serializer, field_validator, model_validator

from mtray.schema.base import Frozen

WorkerPlacement = Literal["pack", "spread", "strict_pack", "strict_spread"]
TrialPlacement = Literal["any", "pack", "spread"]
SMALLEST = 1e-4  # Ray counts resources in ten-thousandths
Amount = Annotated[float, Field(ge=SMALLEST)]
VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
RESOURCE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]*")
LABEL_NAME = re.compile(r"[\w./-]+")
# a value, one of several, or neither (Ray's label selectors)
SELECTOR = re.compile(r"!?[\w./-]+|!?in\(\s*[\w./-]+(\s*,\s*[\w./-]+)*\s*\)")
# Ray's own names, and the keys that set them
BUILT_IN = {
    "CPU": "cpus_per_worker",
    "GPU": "gpus_per_worker",
    "memory": "nothing (Ray reserves memory without limiting it)",
    "object_store_memory": "nothing (the object store is sized by `ray start`)",
}
_SWEEP = "a sweep sets it for Ray Train and Tune, and works with this value only"
_CONSOLE = "it concerns only the console of the sweep, which shows Ray's messages uncoloured"
_TORCH = "Ray Train sets it for each worker's place in the process group"
_GPUS = "Ray sets it to the GPUs that a process holds; request them by `gpus_per_worker`"
# variables that the sweep or Ray sets in its processes, and why a study cannot
RESERVED_VARIABLES: dict[str, str] = {
    "RAY_TRAIN_V2_ENABLED": _SWEEP,
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "the sweep itself watches for machines that are drained",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": _SWEEP,
    "RAY_TRAIN_ENABLE_PRINT_PATCH": _SWEEP,
    "RAY_WARN_BLOCKING_GET_INSIDE_ASYNC": _SWEEP,
    "RAY_TRAIN_METRICS_ENABLED": _SWEEP,
    "RAY_COLOR_PREFIX": _CONSOLE,
    "RAY_DEDUP_LOGS": _CONSOLE,
    "RAY_AIR_NEW_OUTPUT": _SWEEP,
    "TUNE_DISABLE_SIGINT_HANDLER": _SWEEP,
    "TUNE_MAX_PENDING_TRIALS_PG": _SWEEP,
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": _SWEEP,
    "PYTHONPATH": "workers import the code of the sweep itself; use `runtime_env.py_modules`",
    "CUDA_VISIBLE_DEVICES": _GPUS,
    "MASTER_ADDR": _TORCH,
    "MASTER_PORT": _TORCH,
    "RANK": _TORCH,
    "WORLD_SIZE": _TORCH,
    "LOCAL_RANK": _TORCH,
    "LOCAL_WORLD_SIZE": _TORCH,
    "NODE_RANK": _TORCH,
}  # fmt: skip
# of Ray's runtime environments; `env_vars` is `environment`
RUNTIME_ENV = (
    "working_dir", "py_modules", "excludes", "pip", "uv", "conda", "py_executable", "image_uri",
    "nsight", "config",
)  # fmt: skip


class Resources(Frozen):
    """Resources of one trial.

    - `gpus_per_worker`: whole GPUs, or a part of one. Workers of one trial cannot share a GPU, so
      several workers with a part each need `worker_placement: strict_spread`.
    - `custom_per_worker`: what a worker holds of resources that the cluster's administrator has
      named (`ray start --resources`).
    - `accelerator_type`: the type of accelerator that a worker's machine must have, by Ray's name,
      such as `A100` (`accelerator_type:A100` among the resources that `ray status` shows).
    - `labels`: labels that a worker's machine must have (`ray start --labels`), by name: a value,
      `"!value"`, `in(a, b)` or `"!in(a, b)"`.
    - `worker_placement`: how the workers of a trial are placed: on as few machines as possible, on
      as many as possible, or strictly (all on one; each on a different one).
    - `trial_placement`: how trials that fit on one machine are placed: as Ray does, on as few
      machines as possible, or on as many as possible.
    - `metric_gpus`: the GPUs, or the part of one, that the learned metrics of all trials share: one
      process of the sweep scores for all of them (0: each trial's own process scores, and holds
      no GPU).
    - `environment`: environment variables of the sweep's processes on the cluster. Without a value
      it is that of the sweep's own environment. Values are never written to the run folder.
    - `runtime_env`: Ray's runtime environment of these processes, such as `pip` or `working_dir`.
    - `concurrent_trials`: 0 lets the cluster's size decide.
    - `checkpoint_gb`: the most disk space that the checkpoints of all running trials may take
      (None: what is free).
    """

    workers: Annotated[int, Field(ge=1)] = 1
    cpus_per_worker: Amount = 1
    gpus_per_worker: Annotated[float, Field(ge=0)] = 0
    custom_per_worker: dict[str, Amount] = {}
    accelerator_type: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")] | None = None
    labels: dict[str, str] = {}
    worker_placement: WorkerPlacement = "pack"
    trial_placement: TrialPlacement = "any"
    metric_gpus: Annotated[float, Field(ge=0)] = 0
    environment: dict[str, str | None] = {}
    runtime_env: dict[str, Any] = {}
    concurrent_trials: Annotated[int, Field(ge=0)] = 0
    checkpoint_gb: Annotated[float, Field(gt=0)] | None = None

    @property
    def devices(self) -> float:
        """How many devices a trial holds: its GPUs where it has some, else its CPUs."""
        return self.workers * (self.gpus_per_worker or self.cpus_per_worker)

    @field_serializer("environment")
    def _names_only(self, found: dict[str, str | None]) -> dict[str, None]:
        """Values may be secrets. They are in no file of a run, and no message."""
        return dict.fromkeys(found)

    @field_validator("gpus_per_worker", "metric_gpus")
    @classmethod
    def _whole_or_a_part(cls, gpus: float) -> float:
        if gpus > 1 and gpus != int(gpus):
            raise ValueError(
                "Ray gives a process whole GPUs or a part of one: use a whole number, or less "
                "than 1"
            )
        if 0 < gpus < SMALLEST:
            raise ValueError(f"the smallest part of a GPU is {SMALLEST:g}")
        return gpus

    @field_validator("custom_per_worker")
    @classmethod
    def _named_by_the_cluster(cls, found: dict[str, float]) -> dict[str, float]:
        for name in found:
            if name in BUILT_IN:
                raise ValueError(f"{name!r} is Ray's own; it is set by {BUILT_IN[name]}")
            if name.startswith("accelerator_type:"):
                raise ValueError(f"{name!r}: use `accelerator_type: {name.partition(':')[2]}`")
            if not RESOURCE_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a resource")
        return found

    @field_validator("labels")
    @classmethod
    def _selectors(cls, found: dict[str, str]) -> dict[str, str]:
        for name, wanted in found.items():
            if not LABEL_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a label")
            if not SELECTOR.fullmatch(wanted):
                raise ValueError(
                    f"{name} has {wanted!r}; allowed: a value, !value, in(a, b) or !in(a, b)"
                )
        return found

    @field_validator("environment", mode="before")
    @classmethod
    def _variables(cls, found: Any) -> Any:
        if not isinstance(found, dict):
            raise ValueError("a mapping of names to values is needed")
        for name, value in found.items():
            if not isinstance(name, str) or not VARIABLE_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name of an environment variable")
            if name in RESERVED_VARIABLES:
                raise ValueError(f"{name} cannot be set: {RESERVED_VARIABLES[name]}")
            if value is not None and not isinstance(value, str):
                raise ValueError(f"the value of {name} is not text; quote it")
            if "\0" in (value or ""):
                raise ValueError(f"the value of {name} has a NUL byte, which no variable can have")
        return found

    @field_validator("runtime_env")
    @classmethod
    def _known_to_ray(cls, found: dict[str, Any]) -> dict[str, Any]:
        if "env_vars" in found:
            raise ValueError("set `env_vars` by `resources.environment`, which keeps the values")
        for name in found:
            if name not in RUNTIME_ENV:
                raise ValueError(f"unknown key {name!r}; allowed: {', '.join(RUNTIME_ENV)}")
        return found

    @model_validator(mode="after")
    def _a_gpu_for_each_worker(self) -> Resources:
        shared = 0 < self.gpus_per_worker < 1 and self.workers > 1
        if shared and self.worker_placement != "strict_spread":
            raise ValueError(
                f"`gpus_per_worker: {self.gpus_per_worker:g}` with {self.workers} `workers`: two "
                "workers of a trial could share a GPU, which NCCL refuses; use `workers: 1`, whole "
                "GPUs, or `worker_placement: strict_spread`"
            )
        return self
