"""What a trial leaves: scores, its learning curve, and why it ended."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mtray.schema.base import Baseline, Frozen
from mtray.schema.recipe import Mix, Recipe

# values of <name> in `retention.<name>` that are not an ability's name
RETENTION_SUMMARIES = ("mean", "worst", "common")


def is_cost(name: str) -> bool:
    """Whether a measure is a cost of the training: measured once, without an interval."""
    return name.startswith("cost.")


class Score(Frozen):
    """A measured value.

    - `value`: in the measure's own unit.
    - `low`, `high`: its 95 % interval, a bootstrap over `n` units.
    - `n`: the number of independent units (documents, sentences).
    - `signature`: how it was measured.
    - `least`, `most`: the measure's lower and upper bound; None: unbounded.
    - `truncated`: number of segments with a text longer than the metric reads, of which it saw the
      beginning alone; None: not known.
    - `divided`: number of segments that were scored in parts (`evaluation.comet_long`), by how
      they were divided: `lines`, `sentences` or `pieces`.
    """

    value: float
    low: float
    high: float
    n: int
    signature: str
    least: float | None = None
    most: float | None = None
    truncated: int | None = None
    divided: dict[str, int] = {}

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
    """An intermediate measurement of a running trial, on a part of the segments.

    - `rung`: its index, from 0.
    - `step`: the training step after which it was taken.
    - `steps`: all steps of the trial.
    - `objectives`: empty where the measurement could not be made.
    - `decision`: in words, why the trial continued or ended.
    - `dominated_by`: trials that were better in every objective.
    - `left_out`: abilities left out of the mean retention here.
    - `seconds`: time spent on generation and scoring.
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
    """What a training did. `movement` and `mean_difference` are of the weights that were evaluated.

    - `tokens`: tokens seen, without padding.
    - `accumulated_learning_rate`: the sum of the learning rate over all steps.
    - `loss`: pairs of a step and the mean training loss since the previous entry.
    - `resumed`: the steps at which an interrupted training was resumed from its checkpoint.
    - `packed`: whether examples were trained on in packed rows.
    - `frozen_blocks`: transformer blocks that were not trained.
    - `block_scores`: the score of every block by which they were chosen: its distance from the
      earlier model, or its signal-to-noise rank.
    - `tokens_per_parameter`: tokens seen per trainable parameter.
    - `movement`: ||w - w0|| / ||w0|| of the trained weights, by block, embeddings, head and rest.
    - `mean_difference`: the mean of ||w - w0|| over tensors, which is the MPD from the base model
      (2410.16006).
    - `forward_kl`: KL(base || tuned) of these weights on the quality prompts, nats per token
      (`mtray.evaluation.divergence`).
    """

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
State = Literal["complete", "pruned", "stopped", "infeasible", "failed"]
# ended before its last step: by a rung, or by the user; never a value of the front
ENDED_EARLY: tuple[State, ...] = ("pruned", "stopped")
ReasonClass = Literal[
    "out_of_memory",
    "not_finite",
    "worker_lost",
    "node_lost",
    "moved",
    "time_limit",
    "data_error",
    "evaluation_error",
    "disk_full",
    "bug",
]


def moved_by(record: TrainingRecord, share: float) -> TrainingRecord:
    """The record of the same training at `reversion_alpha` = share. Weight distances scale
    with it; the KL divergence does not, and is left out."""
    moved = {part: share * value for part, value in record.movement.items()}
    mean = None if record.mean_difference is None else share * record.mean_difference
    changes = {"movement": moved, "mean_difference": mean, "forward_kl": None}
    return record.model_copy(update=changes)


class Origin(Frozen):
    """Where an imported trial comes from: the folder of the other run, and the trial's number
    there."""

    run: str
    number: int


class TrialRecord(Frozen):
    """One trial, as `trials/<number>/result.json`. The untouched base model has the number -1 and
    the folder `trials/base`. The costs of a trial with `trained_as` are those of that training, up
    to the step used.

    - `replicate`: above 0 for a trial that repeats the recipe of an earlier one with its own `seed`
      and data draw.
    - `of`: the number of that earlier trial.
    - `trained_as`: the trial that trained these weights, if they are another trial's at another
      `reversion_alpha` or after a part of its steps (`Recipe.stop_after`).
    - `objectives`: the values that the search sees.
    - `scores`: everything measured, by name: `comet.en-uk`, `bleu.en-uk`, `chrf.en-uk`, `<ability>`
      (raw) and `retention.<ability>`.
    - `constraints`: by how much the trial violates each of the study's constraints (`Limit.over`).
    - `state`: `pruned` by a rung, `stopped` by the user.
    - `rungs`: measurements before the end of training; a pruned or stopped trial has no others.
    - `seconds`: by phase; `total` is the trial's whole running time, failed attempts included;
      `lost` is the part of failed attempts that no phase counts; `waiting`, for workers or for the
      base model's scores, is not part of `total` (in older records it is).
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
        """The number of the trial that trained these weights: its own, or `trained_as`."""
        return self.number if self.trained_as is None else self.trained_as

    @property
    def total_seconds(self) -> float:
        """The running time of the whole trial; the sum of its phases where only they are
        recorded."""
        phases = sum(s for name, s in self.seconds.items() if name != "waiting")
        return self.seconds.get("total", phases)

    @property
    def undisturbed_seconds(self) -> float:
        """Its running time without failed attempts."""
        return self.total_seconds - self.seconds.get("lost", 0.0)
