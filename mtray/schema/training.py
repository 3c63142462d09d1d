"""How trials train: settings shared by all of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PlainSerializer

from mtray.schema.base import Frozen
from mtray.schema.resources import Resources

# keys of `Training` that affect what is kept and recorded, not what is trained
KEPT_BESIDE = frozenset({"checkpoints", "checkpoint_minutes", "keep_weights", "movement"})
Schedule = Literal["cosine", "linear", "constant"]
OFFLOAD = {"none": 0, "optimizer": 1, "parameters": 3}  # -> lowest ZeRO stage that supports it


def _as_written(number: float) -> int | float:
    """Whole numbers without a fraction, as in studies of earlier versions."""
    return int(number) if number == int(number) else number


class Training(Frozen):
    """Settings of every training. A recipe may have its own `epochs`, `batch_examples`, `warmup`,
    `schedule`, `weight_decay` and `max_length`.

    - `epochs`: how often every example of the mix is trained on; a part of an epoch is the first
      part of its random order, such as a quarter of all examples after two epochs with 2.25.
    - `batch_examples`: examples in the global batch, which is split over the workers.
    - `batch_tokens`: the most tokens in the global batch, instead of `batch_examples`.
    - `micro_batch_tokens`: the most tokens in a worker's micro-batch (None: 4096, or fewer for a
      large vocabulary: on a CPU its logits are at most 2^28, on a GPU they take about a quarter of
      the free memory at 16 bytes each).
    - `warmup`: a share of all steps.
    - `precision`: `auto` is bf16 where the device computes in it natively.
    - `packing`: packed rows, or padded rows of similar length; `auto` packs where the model's
      attention supports it.
    - `offload`: what ZeRO keeps in CPU memory.
    - `freeze_from`: the folder of an earlier model, for `freeze_policy: most_changed`, or
      `run:NAME/7` as in `model`; without it, the model that the base model was trained from
      (`model: run:NAME/7`).
    - `movement`: whether the distance of the trained weights from the base model is recorded.
    - `keep_weights`: which trials' trained weights are kept: none, those of the front, or all.
    - `checkpoints`: whether a running trial keeps a checkpoint to resume from, written after every
      rung and every `checkpoint_minutes`.
    - `checkpoint_minutes`: minutes between checkpoints (None: only after rungs).
    """

    epochs: Annotated[
        float, Field(gt=0), AfterValidator(_as_written), PlainSerializer(_as_written)
    ] = 1
    batch_examples: Annotated[int, Field(ge=1)] = 64
    batch_tokens: Annotated[int, Field(ge=1)] | None = None
    micro_batch_tokens: Annotated[int, Field(ge=1)] | None = None
    max_length: Annotated[int, Field(ge=8)] = 256
    max_steps: Annotated[int, Field(ge=1)] | None = None
    warmup: Annotated[float, Field(ge=0, le=1)] = 0.05
    schedule: Schedule = "cosine"
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
    keep_weights: Literal["none", "front", "all"] = "none"
    checkpoints: bool = True
    checkpoint_minutes: Annotated[float, Field(gt=0)] | None = 10.0


def check_stop(share: float, name: str, training: Training) -> None:
    """ValueError where stopping after this share of the steps (below 1) does not give the weights
    of a training planned to end there. `name`: the key or parameter that holds the share.

    With a constant learning rate it does: steps are drawn from the whole mix in random order, so
    the first ones are a smaller draw of the same mix, and only the length of the warm-up depends on
    the plan. A rate that decays to zero over all steps is still high there, and such weights are
    worse than those of a training of that size (2405.18392).
    """
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
    """ValueError where settings of a study contradict each other, before anything starts."""
    for name in ("batch_tokens", "micro_batch_tokens"):
        most = getattr(training, name)
        if most is not None and most < training.max_length:
            raise ValueError(
                f"`training.{name}` is {most}, but one example may have {training.max_length} "
                "tokens (`max_length`): raise the first or lower the second"
            )
    if training.batch_tokens is None and training.batch_examples < resources.workers:
        raise ValueError(
            f"`training.batch_examples` is {training.batch_examples}, fewer than the "
            f"{resources.workers} `resources.workers` that share it"
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
