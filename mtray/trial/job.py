"""What a trial is asked to do and what its workers hand back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtray.data.mixing import Draw
from mtray.evaluation.inference.requests import Output, Request
from mtray.schema import Mix, Recipe, Role, TrainingRecord
from mtray.training.loop import RungPosition

UseModel = Callable[[Any, Any], None]
KeepModel = Callable[[float, Any], None]


@dataclass(frozen=True)
class Job:
    """What a trial is asked to do; number -1 is the base model untouched. A replicate, counted from
    1, repeats the recipe of trial `of` with a seed that many above the study's. `attempts`: earlier
    ones that were lost (`mtray.search.ledger.trial_failures.attempt`). `trained_as`: as in the
    record."""

    number: int
    role: Role
    recipe: Recipe
    seed: int
    replicate: int = 0
    of: int | None = None
    attempts: tuple[dict[str, Any], ...] = ()
    trained_as: int | None = None

    @property
    def draw(self) -> Draw:
        return Draw(self.seed - self.replicate, self.replicate)


@dataclass(frozen=True)
class RungPlan:
    """What a trial answers after these shares of its steps. `ask`, on rank 0, with the outputs and
    the seconds they took, says whether the trial ends."""

    shares: tuple[float, ...]
    requests: Sequence[Request]
    ask: Callable[[RungPosition, list[Output], float], bool]


@dataclass(frozen=True)
class DivergencePlan:
    """The prompts on which a trained model is compared with the untouched one
    (`mtray.evaluation.divergence`). `answers`: the untouched model's; None where they are not there
    yet, and the trial makes them itself."""

    requests: Sequence[Request]
    answers: Callable[[], Sequence[Output] | None]


@dataclass(frozen=True)
class ReversionPoint:
    """What the tuned model answered at another alpha, the seconds of that, and its KL divergence as
    in the record."""

    alpha: float
    outputs: list[Output]
    seconds: float
    forward_kl: float | None = None


@dataclass(frozen=True)
class IntermediatePoint:
    """What the model answered after a share of its training's steps, what it had seen until there
    and how; `seconds` by phase until there, of its own answering as `generation`."""

    stop_after: float
    outputs: list[Output]
    mix: Mix
    training: TrainingRecord
    seconds: dict[str, float]


@dataclass(frozen=True)
class Outcome:
    """What a worker hands back: the answers and how the model that gave them was made. `pruned`: a
    rung ended the trial, so there are none. `notes` go to the record's `extra`, `reverted` and
    `intermediate` are a record's each. `restored`: of the seconds, those that a checkpoint
    brought."""

    outputs: list[Output]
    mix: Mix
    training: TrainingRecord | None
    seconds: dict[str, float]
    versions: dict[str, str]
    pruned: bool = False
    notes: dict[str, Any] = field(default_factory=dict)
    reverted: tuple[ReversionPoint, ...] = ()
    intermediate: tuple[IntermediatePoint, ...] = ()
    restored: float = 0.0


@dataclass(frozen=True)
class RunOptions:
    """How a trial is run: `engine`, deepspeed or torch; `keep_in`, the folder for checkpoints while
    it trains; `use` is called at the end, with the model as it was evaluated and its tokenizer;
    `keep`, on rank 0, with the share of the steps and the model of every intermediate checkpoint
    that was evaluated. `divergence`: on rank 0 alone."""

    engine: str = "deepspeed"
    rungs: RungPlan | None = None
    keep_in: Path | None = None
    use: UseModel | None = None
    keep: KeepModel | None = None
    divergence: DivergencePlan | None = None
