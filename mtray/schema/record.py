"""What a trial leaves: scores, its curve, and why it ended."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mtray.schema.base import Baseline, Frozen
from mtray.schema.recipe import Mix, Recipe

# what `retention.<name>` is where the name is no ability's
RETENTION_SUMMARIES = ("mean", "worst", "common")


class Score(Frozen):
    """A measured value.

    - `value`: in the measure's own unit.
    - `low`, `high`: its 95 % interval, a bootstrap over `n` units.
    - `n`: the number of independent units (documents, sentences).
    - `signature`: what it was measured with.
    - `least`, `most`: what the measure can be at all; None: without a bound.
    """

    value: float
    low: float
    high: float
    n: int
    signature: str
    least: float | None = None
    most: float | None = None

    @model_validator(mode="after")
    def _finite(self) -> Score:
        if not all(map(math.isfinite, (self.value, self.low, self.high))):
            raise ValueError(
                f"a score must be finite, found {self.value} ({self.low}, {self.high})"
            )
        return self


class Estimate(Frozen):
    """A value and its standard error."""

    value: float
    error: Annotated[float, Field(ge=0)]


class Rung(Frozen):
    """What a trial was worth on its way, after `step` of its `steps`, on a part of the segments.

    `rung` counts from 0. `decision` says in words why the trial went on or ended, `dominated_by`
    lists the trials that were better in every objective. `objectives` is empty where the
    measurement could not be made. `left_out`: abilities that retention does not average here.
    `seconds`: of answering and scoring.
    """

    rung: int
    step: int
    steps: int
    objectives: dict[str, Estimate] = {}
    decision: str = ""
    dominated_by: tuple[int, ...] = ()
    left_out: tuple[str, ...] = ()
    seconds: float = 0.0


class TrainingRecord(Frozen):
    """`loss` holds (step, mean training loss since the entry before). Tokens are those seen,
    without padding. `resumed`: the steps after which an interrupted training went on from its
    checkpoint. `packed`: in packed rows. `movement`: ||w - w0|| / ||w0|| of what was trained, by
    block, embeddings, head and rest; `mean_difference`: the mean of ||w - w0|| over tensors, which
    is MPD to the base model; both of the weights that were evaluated. `forward_kl`: KL(base ||
    tuned) of these weights on the quality prompts, nats per token (`mtray.evaluation.divergence`).
    `frozen_blocks` were not trained, and `block_scores` is what they were chosen by: for every
    block its distance to the earlier model, or its rank of signal to noise."""

    steps: int
    tokens: int
    tokens_per_second: float
    trainable_parameters: int
    total_parameters: int
    accumulated_learning_rate: float
    precision: str
    loss: tuple[tuple[int, float], ...]
    resumed: tuple[int, ...] = ()
    packed: bool = False
    frozen_blocks: tuple[int, ...] = ()
    block_scores: tuple[float, ...] = ()
    tokens_per_parameter: float = 0.0
    movement: dict[str, float] = {}
    mean_difference: float | None = None
    forward_kl: Annotated[float, Field(ge=0)] | None = None


Role = Literal["search", "base"] | Baseline
State = Literal["complete", "pruned", "infeasible", "failed"]
ReasonClass = Literal[
    "out_of_memory",
    "not_finite",
    "worker_lost",
    "node_lost",
    "time_limit",
    "data_error",
    "evaluation_error",
    "disk_full",
    "bug",
]


def moved_by(record: TrainingRecord, share: float) -> TrainingRecord:
    """The same training, of whose way only a share is gone (`Recipe.alpha`); its KL divergence is
    in no proportion to that, and is left out."""
    moved = {part: share * value for part, value in record.movement.items()}
    mean = None if record.mean_difference is None else share * record.mean_difference
    changes = {"movement": moved, "mean_difference": mean, "forward_kl": None}
    return record.model_copy(update=changes)


class Origin(Frozen):
    """The run, by its folder, and the number there of a trial that was taken over from it."""

    run: str
    number: int


class TrialRecord(Frozen):
    """One trial, as `trials/<number>/result.json`. The base model untouched has the number -1 and
    the folder `trials/base`.

    `objectives` are the values that the search sees. `scores` holds everything measured, by name:
    `comet.en-uk`, `bleu.en-uk`, `chrf.en-uk`, `<ability>` (raw) and `retention.<ability>`.
    `constraints` says for each of the study's how far the trial is beyond it (`Limit.over`).
    `rungs` is the curve until then; a pruned trial has nothing else. `seconds` is by phase,
    and `total`: all that the trial ran for, its failed attempts among it. `lost` is the part of
    them of which no phase knows, `waiting` comes on top: for a place for its workers, or for the
    base model's scores (older records count it in `total`).
    A trial that repeats the recipe of an earlier one has a `replicate` above 0, its own `seed` and
    draw of the data, and the earlier trial's number in `of`. One whose weights are another trial's
    at another `alpha`, or that trial's after a part of its steps (`Recipe.stop_after`), has that
    trial's number in `trained_as`. Its costs are those of the training, as far as it took part.
    """

    number: int
    role: Role = "search"
    state: State
    recipe: Recipe
    seed: int
    replicate: Annotated[int, Field(ge=0)] = 0
    of: int | None = None
    trained_as: int | None = None
    taken_from: Origin | None = None
    mix: Mix = Mix()
    objectives: dict[str, Score] = {}
    scores: dict[str, Score] = {}
    constraints: dict[str, float] = {}
    counts: dict[str, dict[str, float]] = {}
    training: TrainingRecord | None = None
    rungs: tuple[Rung, ...] = ()
    seconds: dict[str, float] = {}
    versions: dict[str, str] = {}
    reason: str | None = None
    reason_class: ReasonClass | None = None
    finished: str = ""
    extra: dict[str, Any] = {}

    @property
    def training_number(self) -> int:
        """Of the trial that trained its weights: its own, unless they are another's."""
        return self.number if self.trained_as is None else self.trained_as

    @property
    def total_seconds(self) -> float:
        """What the whole trial ran for; its phases together where only they are recorded."""
        phases = sum(s for name, s in self.seconds.items() if name != "waiting")
        return self.seconds.get("total", phases)

    @property
    def undisturbed_seconds(self) -> float:
        """What it would have run for without failed attempts."""
        return self.total_seconds - self.seconds.get("lost", 0.0)
