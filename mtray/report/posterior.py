"""Joint posterior of the scores of a run's candidates: the base model, the trained recipes, and
recipes that were not trained.

It comes from the response surface (`mtray.report.surface`), which shrinks observed values and so
corrects the optimism of picking the best of many. With too few recipes for a surface it comes from
the recipes' means and joint errors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mtray.analysis.decision import Choice, chance_better, choose, scales, worth
from mtray.analysis.pareto import maximised
from mtray.analysis.preference import Utility, preferred_order, utility
from mtray.analysis.surface import FEWEST
from mtray.analysis.uncertainty import TAILS
from mtray.report.contenders import contenders
from mtray.report.evidence import Evidence, evidence
from mtray.report.groups import Draws, complete_trials
from mtray.report.surface import ModelledRun, modelled
from mtray.report.untrained_recipes import best_untrained
from mtray.run_files import BASE_NUMBER
from mtray.schema import Frozen, Preference, Recipe, Role, Sense, Study, TrialRecord
from mtray.search_space.space import Space

Array = npt.NDArray[np.float64]
DRAWS = 4000
SEED = 7


class Expected(Frozen):
    """What one recipe gains over another in one objective; positive is better, whether the
    objective is maximised or minimised.

    - `gain`: the expected gain, in the objective's unit.
    - `base`: the base model's value of the objective.
    - `low`, `high`: the gain's 95 % interval.
    - `better`: probability that the gain is above 0.
    - `points`: whether the objective is in points, such as BLEU.
    """

    objective: str
    gain: float
    base: float
    low: float
    high: float
    better: float
    points: bool = False


class AgainstBaseline(Frozen):
    """What a recipe gains over one baseline; `number` is the baseline's trial."""

    role: Role
    number: int
    gains: tuple[Expected, ...]


@dataclass(frozen=True)
class JointPosterior:
    """Joint posterior of k candidates in m objectives: the base model (index 0), then all trained
    recipes, then untrained ones.

    - `evidence`: measured differences of the trained recipes.
    - `objectives`: each with its direction.
    - `untried`: the candidates that were not trained.
    - `means`, shape (k, m), and `draws`, shape (draws, k, m): differences from the base model,
      signed so that more is better.
    - `surface`: the response surface that they come from; None: too few recipes for one.
    - `prefer`: what the user prefers, by objective.
    """

    evidence: Evidence
    objectives: Mapping[str, Sense]
    untried: tuple[Recipe, ...]
    means: Array
    draws: Array
    surface: ModelledRun | None
    prefer: Mapping[str, Preference] = field(default_factory=dict)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Trial numbers of the base model, which is first, and of the trained candidates."""
        return (BASE_NUMBER, *self.evidence.numbers)

    @cached_property
    def scale(self) -> Array:
        """The range of each objective, shape (m,), from base model and trained recipes only."""
        anchors = [0, *(place + 1 for place in self.evidence.baselines)]
        return scales(self.means[: len(self.numbers)], self.means[anchors])

    @cached_property
    def utility(self) -> Utility:
        """The preference for differences from the base model, signed so that more is better."""
        return utility_of(self.evidence, self.objectives, self.prefer)

    @cached_property
    def worth(self) -> Array:
        """Draws of each candidate's worth, shape (draws, k). A weight that is an interval is drawn
        with the values, so that probabilities include the doubt about it."""
        weights = self.utility.weights(len(self.draws), SEED)
        return worth(self.draws, self.scale, weights[:, None])

    @cached_property
    def shortfall(self) -> Array:
        """Draws of each candidate's shortfall, in units of worth, shape (draws, k)."""
        return self.utility.shortfall(self.draws, self.scale)

    @cached_property
    def choice(self) -> Choice:
        """The best of the trained recipes and the base model."""
        trained = slice(len(self.numbers))
        return choose(self.worth[:, trained], shortfall=self.shortfall[:, trained])

    @cached_property
    def order(self) -> tuple[int, ...]:
        """All candidates, the most preferred first. Ties keep their order, so that a trained
        recipe comes before an untrained one."""
        short = self.shortfall
        reaches = (short <= 0).mean(axis=0)
        found = preferred_order(self.worth.mean(axis=0), short.mean(axis=0), reaches)
        return tuple(found.tolist())

    def better(self, one: int, other: int) -> float:
        """Probability that candidate `one` is preferred to candidate `other`."""
        return chance_better(self.worth, self.shortfall, one, other)

    def seeds(self, index: int) -> int:
        """Number of seeds of a trained candidate; 0 for the base model."""
        return self.evidence.seeds[index - 1] if index else 0

    def recipe(self, index: int) -> Recipe:
        """The recipe of a candidate."""
        trained = [record.recipe for record in self.evidence.records]
        return (Recipe(parallel_size=0), *trained, *self.untried)[index]

    def seed_deviation(self, index: int) -> float:
        """Standard deviation over seeds of the worth of one training; 0 for the base model."""
        if not index:
            return 0.0
        names = self.evidence.names
        own = [self.evidence.seed_deviation[names.index(n)] for n in self.objectives]
        weights = self.utility.mean_weights**2
        deviation = np.sqrt(worth(np.square(own), self.scale**2, weights))
        return float(self.recipe(index).reversion_alpha * deviation)

    def expected(self, one: int, other: int) -> tuple[Expected, ...]:
        """What candidate `one` gains over candidate `other`, by index."""
        pair = (one, other)
        return expected_between(self.means, self.draws, pair, self.evidence, self.objectives)


def utility_of(
    evidence: Evidence, objectives: Mapping[str, Sense], prefer: Mapping[str, Preference]
) -> Utility:
    """A preference for the evidence's differences from the base model, signed so that more is
    better."""
    base = list(evidence.base_of(objectives).values())
    return utility(objectives, prefer).shifted(maximised(base, list(objectives.values())))


def expected_between(
    means: Array,
    draws: Array,
    pair: tuple[int, int],
    evidence: Evidence,
    objectives: Iterable[str],
) -> tuple[Expected, ...]:
    """What the first of two candidates gains over the second in these objectives of the evidence;
    `means` of shape (k, m), `draws` of shape (draws, k, m), more is better."""
    one, other = pair
    apart, gaps = draws[:, one] - draws[:, other], means[one] - means[other]
    low, high = np.quantile(apart, TAILS, axis=0)
    return tuple(
        Expected(
            objective=name, gain=float(gaps[k]), base=value, low=float(min(low[k], gaps[k])),
            high=float(max(high[k], gaps[k])), better=float((apart[:, k] > 0).mean()),
            points=evidence.in_points(name),
        )
        for k, (name, value) in enumerate(evidence.base_of(objectives).items())
    )  # fmt: skip


def joint_posterior(
    evidence: Evidence,
    objectives: Mapping[str, Sense],
    space: Space,
    look: bool = True,
    prefer: Mapping[str, Preference] | None = None,
) -> JointPosterior:
    """The joint posterior of a run, from a response surface if enough recipes are trained. `look`:
    whether to include promising recipes that were not trained. `prefer`: what the user prefers."""
    prefer = prefer or {}
    names, senses = list(objectives), list(objectives.values())
    n = len(evidence.records)
    if n < FEWEST:
        columns = [evidence.names.index(name) for name in names]
        means = maximised(evidence.gaps[:, columns], senses)
        errors = maximised(evidence.errors[:, :, columns], senses)
        found = _with_base(evidence, objectives, (), means, means + errors, None)
        return replace(found, prefer=prefer)
    surface = modelled(evidence, space, names)
    known = frozenset(record.recipe for record in evidence.records)
    # in a space of few recipes the best may all be trained
    wanted = utility_of(evidence, objectives, prefer)
    promising = best_untrained(surface, senses, wanted) if look else ()
    untried = tuple(recipe for recipe in promising if recipe not in known)
    evidence = evidence.only(contenders(surface, dict(objectives), wanted).tolist())
    trained = [record.recipe for record in evidence.records]
    at = surface.coordinates.features([*trained, *untried])
    means = maximised(surface.surface.means(at), senses)
    draws = maximised(surface.surface.draws(at, DRAWS, SEED), senses)
    found = _with_base(evidence, objectives, untried, means, draws, surface)
    return replace(found, prefer=prefer)


def _with_base(
    evidence: Evidence, objectives: Mapping[str, Sense], untried: tuple[Recipe, ...],
    means: Array, draws: Array, surface: ModelledRun | None,
) -> JointPosterior:  # fmt: skip
    """Adds the base model, whose difference from itself is 0, as the first candidate."""
    return JointPosterior(
        evidence, objectives, untried, np.pad(means, ((1, 0), (0, 0))),
        np.pad(draws, ((0, 0), (1, 0), (0, 0))), surface,
    )  # fmt: skip


def posterior_of(
    records: Iterable[TrialRecord], study: Study, space: Space, draws: Draws
) -> JointPosterior | None:
    """The joint posterior of a run's complete trials, as `study_posterior`; None until the base
    model and at least one recipe are measured."""
    complete = complete_trials(records)
    trained = [r for r in complete if r.role != "base"]
    if len(trained) == len(complete) or not trained:
        return None
    found = evidence(complete, list(study.objectives), draws, abilities=False)
    return study_posterior(found, study, space)


def study_posterior(found: Evidence, study: Study, space: Space) -> JointPosterior:
    """The joint posterior of a run's evidence. If the study has constraints, it covers trained
    recipes only, because constraint violations are not modelled."""
    look = not study.constraints
    return joint_posterior(found, study.objectives, space, look, study.prefer)
