"""How a trial trains, the same in all of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mtray.schema.base import Frozen

# keys of `Training` that say what is kept and recorded, and not what is trained
KEPT_BESIDE = frozenset({"checkpoints", "checkpoint_minutes", "keep_weights", "movement"})
OFFLOAD = {"none": 0, "optimizer": 1, "parameters": 3}  # -> ZeRO stages from which it works


class Training(Frozen):
    """`batch_examples` is the global batch, shared out over the workers, or `batch_tokens` is, at
    most. Each takes its part in micro-batches of at most `micro_batch_tokens` (null: 4096, or
    fewer for a large vocabulary): packed rows, or rows of similar length (`packing` auto: packed
    where the model's attention can). `warmup` is a share of all steps. `precision` auto: bf16 where
    the machine computes in it. `offload`: what ZeRO keeps in the CPU's memory. `freeze_from`: the
    folder of an earlier model, for `freeze_policy: most_changed`. `movement`: whether how far the
    weights went is recorded. `keep_weights`: whether the trials of the front keep what was trained.
    `checkpoints`: whether a running trial keeps one, after every rung and `checkpoint_minutes`
    (null: no cadence)."""

    epochs: Annotated[int, Field(ge=1)] = 1
    batch_examples: Annotated[int, Field(ge=1)] = 64
    batch_tokens: Annotated[int, Field(ge=1)] | None = None
    micro_batch_tokens: Annotated[int, Field(ge=1)] | None = None
    max_length: Annotated[int, Field(ge=8)] = 256
    max_steps: Annotated[int, Field(ge=1)] | None = None
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.05
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    gradient_clipping: Annotated[float, Field(gt=0)] = 1.0
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    packing: Literal["auto", "on", "off"] = "auto"
    gradient_checkpointing: bool = False
    zero_stage: Annotated[int, Field(ge=0, le=3)] = 0
    offload: Literal["none", "optimizer", "parameters"] = "none"
    freeze_from: str | None = None
    allow_repeats: bool = False
    movement: bool = True
    keep_weights: Literal["none", "front"] = "none"
    checkpoints: bool = True
    checkpoint_minutes: Annotated[float, Field(gt=0)] | None = 10.0


class Resources(Frozen):
    """Per trial; `concurrent_trials` 0 lets the cluster's size decide. `checkpoint_gb`: what the
    checkpoints of all running trials may take of the run's disk (null: what is free)."""

    workers: Annotated[int, Field(ge=1)] = 1
    cpus_per_worker: Annotated[float, Field(gt=0)] = 1
    gpus_per_worker: Annotated[float, Field(ge=0)] = 0
    concurrent_trials: Annotated[int, Field(ge=0)] = 0
    checkpoint_gb: Annotated[float, Field(gt=0)] | None = None

    @property
    def devices(self) -> float:
        """What a trial holds: its GPUs where it has some, else its CPUs."""
        return self.workers * (self.gpus_per_worker or self.cpus_per_worker)


def check_stop(share: float, name: str, training: Training) -> None:
    """ValueError where the weights after this share of the steps (below 1) are not those of a
    training that was meant to end there. `name`: of the key or parameter that holds the share.

    With a constant rate they are: steps are drawn from the whole mix in random order, so the first
    of them are a smaller draw of the same mix, and nothing of the plan shows in them but the length
    of the warm-up. A rate that falls to zero over all steps has not fallen yet, and such weights
    are worse than those of a training of that size (2405.18392)."""
    if training.schedule != "constant":
        raise ValueError(
            f"`{name}` holds {share:g}, which needs `training.schedule: constant`, found "
            f"{training.schedule!r}: after a part of the steps its learning rate is still high, so "
            "the weights there are not those of a smaller training; set the schedule to constant, "
            "or leave this out and search a smaller `parallel_size`"
        )
    if share <= training.warmup:
        raise ValueError(
            f"`{name}` holds {share:g}, which lies within the warm-up (`training.warmup` "
            f"{training.warmup:g}); allowed: above {training.warmup:g}, and below 1"
        )


def check_training(training: Training, resources: Resources) -> None:
    """ValueError where what a study asks for does not fit together, before anything starts."""
    for name in ("batch_tokens", "micro_batch_tokens"):
        most = getattr(training, name)
        if most is not None and most < training.max_length:
            raise ValueError(
                f"`training.{name}` is {most}, and one example may have {training.max_length} "
                "tokens (`max_length`): raise the first or lower the second"
            )
    if training.batch_tokens is None and training.batch_examples < resources.workers:
        raise ValueError(
            f"`training.batch_examples` is {training.batch_examples}, fewer than the "
            f"{resources.workers} `resources.workers` that share it out"
        )
    if training.zero_stage < OFFLOAD[training.offload]:
        raise ValueError(
            f"`training.offload: {training.offload}` needs a `zero_stage` of "
            f"{OFFLOAD[training.offload]} or more, found {training.zero_stage}"
        )
    for name, value in (("offload", training.offload), ("precision", training.precision)):
        if value in ("optimizer", "parameters", "fp16") and not resources.gpus_per_worker:
            raise ValueError(
                f"`training.{name}: {value}` needs a GPU, and `resources.gpus_per_worker` is 0"
            )
