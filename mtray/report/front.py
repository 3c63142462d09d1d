"""The front of a run as one value: everything that the files, the page and the tables show."""

from __future__ import annotations

from functools import cached_property

from mtray.report.abilities import AbilitySets
from mtray.report.answer import Answer
from mtray.report.compare import Comparison
from mtray.report.leave_one_out import LeftOutError
from mtray.report.modelled_front import ModelledPoint
from mtray.report.paired_differences import Differences
from mtray.report.parameters import Parameters
from mtray.report.second_metric import SecondMetric
from mtray.report.units import in_points
from mtray.schema import Frozen, Role, Score, Sense


class Objective(Frozen):
    """One objective of a front.

    label: of an axis; `measure` is the same without the direction.
    reference: this objective's coordinate of the hypervolume's reference point.
    spread: the front's range.
    seed_deviation: of one trial, beyond the bootstrap (`SeedVariance.deviation`), or None.
    """

    name: str
    sense: Sense
    label: str
    measure: str
    reference: float
    spread: float
    seed_deviation: float | None = None


class Point(Frozen):
    """One recipe: its complete `trials`, by number, and their means over `replicates` seeds.

    number: the trial that the others repeat.
    differences: to base model, baselines and the front's reference, by their numbers: this value
        minus the other's in the measure's own unit and direction.
    p_front: probability of being on the front, given its intervals.
    recipe: a parameter that has no meaning is None.
    record, mix, training: of trial `number`; `record` is relative to the run's folder.
    command: trains and measures the recipe again.
    seconds: of a whole trial.
    """

    number: int
    role: Role
    trials: tuple[int, ...]
    replicates: int
    on_front: bool
    knee: bool
    p_front: float
    recipe: Parameters
    objectives: dict[str, Score]
    scores: dict[str, Score]
    differences: Differences
    mix: dict[str, int]
    training: dict[str, int | float]
    seconds: float
    record: str
    command: str


class Front(Frozen):
    """The front of a run.

    front: numbers on the front, from the best in the first objective to the worst.
    answer: the recommendation; None before the base model and a recipe are measured.
    modelled: the front of the expected values; empty with too few recipes.
    left_out: by objective, errors of that model and simpler ones on left-out recipes.
    reference: the recipe that differences are relative to (None: values are shown as they are).
    paired: whether differences are of the same bootstrap draws.
    hypervolume, baseline_hypervolume: of all points, and of the baselines alone.
    abilities: what retention is the mean of, once unless trials disagree.
    """

    study: str
    run: str
    objectives: tuple[Objective, ...]
    points: tuple[Point, ...]
    front: tuple[int, ...]
    knee: int
    answer: Answer | None = None
    modelled: tuple[ModelledPoint, ...] = ()
    left_out: dict[str, tuple[LeftOutError, ...]] = {}  # noqa: RUF012  (pydantic copies defaults)
    reference: int | None
    paired: bool
    hypervolume: float
    baseline_hypervolume: float | None
    comparisons: tuple[Comparison, ...]
    second_metrics: tuple[SecondMetric, ...]
    abilities: AbilitySets
    pruned: dict[int, str]
    stopped: dict[int, str] = {}  # noqa: RUF012
    infeasible: dict[int, str]
    failed: dict[int, str]
    versions: dict[str, str]
    notes: tuple[str, ...]

    @property
    def searched(self) -> int:
        """Number of searched recipes with a complete trial."""
        return sum(point.role == "search" for point in self.points)

    @property
    def trials(self) -> int:
        """Number of complete trials behind the searched recipes."""
        return sum(len(point.trials) for point in self.points if point.role == "search")

    def point(self, number: int) -> Point:
        return next(point for point in self.points if point.number == number)

    @cached_property
    def in_points(self) -> frozenset[str]:
        """The measures that are in points, such as BLEU."""
        found: dict[str, list[Score]] = {}
        for point in self.points:
            for name, score in {**point.scores, **point.objectives}.items():
                found.setdefault(name, []).append(score)
        return frozenset(name for name, scores in found.items() if in_points(scores))
