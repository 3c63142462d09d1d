"""What a trial is asked to do and what its workers return."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mtray.data.mixing import Draw
from mtray.evaluation.inference.requests import Output, Request
from mtray.run_files import BASE_NUMBER
from mtray.schema import Mix, Recipe, Role, Study, TrainingRecord
from mtray.training.loop import RungPosition

UseModel = Callable[[Any, Any], None]
KeepModel = Callable[[float, Any], None]


@dataclass(frozen=True)
class Job:
    """What a trial is asked to do.

    - `number`: -1 is the untouched base model.
    - `replicate`: counted from 1, repeats the recipe of trial `of` with the study's seed plus this
      number.
    - `attempts`: earlier attempts that failed (`mtray.search.ledger.trial_failures.attempt`).
    - `trained_as`: as in the record.
    """

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


def base_job(study: Study) -> Job:
    """To measure the untouched base model."""
    return Job(BASE_NUMBER, "base", Recipe(parallel_size=0), study.seed)


@dataclass(frozen=True)
class RungPlan:
    """What is measured at the rungs of a trial.

    - `shares`: shares of its steps.
    - `requests`: the requests that are answered.
    - `ask`: on rank 0, given the outputs and the seconds they took, says whether the trial ends;
      may raise TrialStopped.
    """

    shares: tuple[float, ...]
    requests: Sequence[Request]
    ask: Callable[[RungPosition, list[Output], float], bool]


@dataclass(frozen=True)
class DivergencePlan:
    """The prompts on which a trained model is compared with the base model
    (`mtray.evaluation.divergence`). `answers`: the base model's outputs; None while they do not
    exist, and the trial generates them itself."""

    requests: Sequence[Request]
    answers: Callable[[], Sequence[Output] | None]


@dataclass(frozen=True)
class ReversionPoint:
    """The tuned model at another alpha: its outputs, the seconds they took, and its KL divergence
    as in the record."""

    alpha: float
    outputs: list[Output]
    seconds: float
    forward_kl: float | None = None


@dataclass(frozen=True)
class IntermediatePoint:
    """The model after a share of its training steps: its outputs, and the mix and the training
    record up to there. `seconds` by phase up to there, with its own generation as `generation`."""

    stop_after: float
    outputs: list[Output]
    mix: Mix
    training: TrainingRecord
    seconds: dict[str, float]


@dataclass(frozen=True)
class Outcome:
    """What a worker returns: the outputs and how the model that gave them was made.

    - `pruned`: a rung ended the trial, so there are no outputs.
    - `notes`: go to the record's `extra`.
    - `reverted`, `intermediate`: each becomes a record of its own.
    - `restored`: the part of the seconds that a checkpoint restored.
    """

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
    """How a trial is run.

    - `engine`: deepspeed or torch.
    - `keep_in`: the folder for checkpoints during training.
    - `guard`: called on rank 0 before anything there is changed; may raise TakenOver.
    - `use`: called at the end with the evaluated model and its tokenizer.
    - `keep`: called on rank 0 with the share and the model of every evaluated intermediate
      checkpoint.
    - `divergence`: on rank 0 only.
    """

    engine: str = "deepspeed"
    rungs: RungPlan | None = None
    keep_in: Path | None = None
    guard: Callable[[], None] = lambda: None
    use: UseModel | None = None
    keep: KeepModel | None = None
    divergence: DivergencePlan | None = None
