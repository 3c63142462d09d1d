"""The recommendation of a sweep: which recipe to use, what it gains and loses, how certain that is,
and how to make it more certain. Recipes are compared by their expected worth
(`mtray.analysis.decision`) and the study's preference (`mtray.analysis.preference`) under the joint
posterior of their scores (`mtray.report.posterior`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtray.analysis.decision import MARGIN, needed, worth
from mtray.analysis.pareto import maximised
from mtray.analysis.preference import LIKELY, preferred_order
from mtray.report.parameters import Parameters, parameters
from mtray.report.posterior import AgainstBaseline, Expected, JointPosterior
from mtray.schema import Frozen, Preference, Role

LEVEL = 0.95  # least probability of a settled answer
RIVAL = 0.05  # least probability of being worth most for a recipe to be listed as a rival


class Rival(Frozen):
    """A trained recipe that may be the best; `chance` is the probability of that."""

    number: int
    chance: float


class BestObserved(Frozen):
    """The recipe that is preferred by its observed values, if it is not the recommended one.

    - `observed`: its observed gain over the recommended recipe, by objective.
    - `expected`: its expected gain over the recommended recipe, under the posterior.
    """

    number: int
    observed: dict[str, float]
    expected: tuple[Expected, ...]


class UntrainedRecipe(Frozen):
    """The untrained recipe of the space that is expected to be the best.

    - `gains`: its expected gains over the recommended recipe.
    - `better`: probability that it is preferred to the recommended recipe.
    """

    recipe: Parameters
    gains: tuple[Expected, ...]
    better: float


class Settling(Frozen):
    """What would separate the recommended recipe from its strongest rival if the expected lead
    stays as it is: either more repeats or more segments.

    - `numbers`: trial numbers of the two, without the base model, which is not trained.
    - `repeats`: further trainings of each, with other seeds; None: no number of them is enough.
    - `minutes`: duration of those repeats, one after another.
    - `segments`: factor by which to multiply the evaluation segments; None: no factor is enough.
    """

    numbers: tuple[int, ...]
    repeats: int | None
    minutes: float
    segments: float | None


class Reached(Frozen):
    """A limit that the study prefers, and the recommended recipe.

    - `limit`: in words, such as `at least 0.95`.
    - `expected`: the recipe's expected value of the objective.
    - `probability`: that it reaches the limit.
    - `base`: the base model's value; `base_reaches`: whether that reaches the limit.
    """

    objective: str
    limit: str
    expected: float
    probability: float
    base: float
    base_reaches: bool


class Answer(Frozen):
    """The recommendation.

    - `number`, `role`, `recipe`, `seeds`: of the recommended recipe, which is the trained recipe
      or base model with the highest expected worth, of those that reach the limits of `prefer` with
      probability one half or more; if none does, the one that is expected to miss them by least.
    - `against`: its expected gains over every baseline.
    - `probability`: that no other trained recipe is worth over `margin` more (in units of worth),
      or nearer to the limits of `prefer` by that.
    - `settled`: whether `probability` is at least `level`.
    - `rivals`: other recipes that may be worth most, the most probable first.
    - `looked_best`: None if the recommended recipe also has the highest observed worth.
    - `untried`: None if no untrained recipe of the space has a higher expected worth.
    - `settling`: None if the answer is settled, or there is no rival.
    - `scale`: by objective, the range of expected values over base model, baselines and front;
      an objective with range 0 is ignored.
    - `prefer`: the study's preference, by objective; empty: none.
    - `weights`: by objective, the expected weight in worth, with mean 1.
    - `reached`: by limit of `prefer`, whether the recommended recipe reaches it.
    - `reaches`: probability that it reaches all of them; None: there are none.
    - `nearest`: if no trained recipe reaches them with probability one half or more, the one that
      is expected to miss them by least.
    - `modelled`: whether expected values come from the response surface; otherwise they are the
      recipes' own means.
    - `text`: the answer in sentences.
    - `commands`: the next commands, each with its purpose.
    """

    number: int
    role: Role
    recipe: Parameters
    seeds: int
    against: tuple[AgainstBaseline, ...]
    probability: float
    margin: float
    level: float
    settled: bool
    rivals: tuple[Rival, ...]
    looked_best: BestObserved | None
    untried: UntrainedRecipe | None
    settling: Settling | None
    scale: dict[str, float]
    modelled: bool
    prefer: dict[str, Preference] = {}  # noqa: RUF012  (pydantic copies defaults)
    weights: dict[str, float] = {}  # noqa: RUF012
    reached: tuple[Reached, ...] = ()
    reaches: float | None = None
    nearest: int | None = None
    text: tuple[str, ...] = ()
    commands: tuple[tuple[str, str], ...] = ()


def answer(found: JointPosterior, level: float = LEVEL) -> Answer:
    """The recommendation under a joint posterior; it is settled from probability `level` on."""
    choice, numbers = found.choice, found.numbers
    number = numbers[choice.best]
    settled = choice.probability >= level
    return Answer(
        number=number, role="base" if choice.best == 0 else found.evidence.record(number).role,
        recipe=parameters(found.recipe(choice.best)),
        seeds=found.seeds(choice.best), against=_against(found),
        probability=choice.probability, margin=MARGIN, level=level, settled=settled,
        rivals=_rivals(found), looked_best=_looked_best(found), untried=_untried(found),
        settling=None if settled else _settling(found, level),
        scale=dict(zip(found.objectives, found.scale.tolist(), strict=True)),
        modelled=found.surface is not None, prefer=dict(found.prefer),
        weights=dict(zip(found.objectives, found.utility.mean_weights.tolist(), strict=True)),
        reached=_reached(found), nearest=_nearest(found),
        reaches=float(choice.reaches[choice.best]) if found.utility.floored else None,
    )  # fmt: skip


def _reached(found: JointPosterior) -> tuple[Reached, ...]:
    """Every limit of the preference, and the recommended recipe."""
    best, floors = found.choice.best, found.utility.floors
    out = []
    for k, (name, base) in enumerate(found.evidence.base_of(found.objectives).items()):
        if np.isfinite(floors[k]):
            sign = 1 if found.objectives[name] == "max" else -1
            out.append(
                Reached(
                    objective=name, limit=found.prefer[name].limit_text,
                    expected=base + sign * float(found.means[best, k]), base=base,
                    probability=float((found.draws[:, best, k] >= floors[k]).mean()),
                    base_reaches=bool(floors[k] <= 0),
                )
            )  # fmt: skip
    return tuple(out)


def _nearest(found: JointPosterior) -> int | None:
    """The trained recipe that is expected to miss the limits by least; None if one reaches them, or
    there are none."""
    if (found.choice.reaches[1:] >= LIKELY).any():
        return None
    return found.numbers[1 + int(np.argmin(found.shortfall[:, 1 : len(found.numbers)].mean(0)))]


def _against(found: JointPosterior) -> tuple[AgainstBaseline, ...]:
    """Gains over every baseline except the recommended recipe itself."""
    best = found.choice.best
    roles: list[Role] = ["base", *(r.role for r in found.evidence.records)]
    return tuple(
        AgainstBaseline(role=role, number=found.numbers[i], gains=found.expected(best, i))
        for i, role in enumerate(roles)
        if role != "search" and i != best
    )


def _rivals(found: JointPosterior) -> tuple[Rival, ...]:
    chances = found.choice.chances
    order = [int(i) for i in np.argsort(-chances, kind="stable") if i != found.choice.best]
    return tuple(
        Rival(number=found.numbers[i], chance=float(chances[i]))
        for i in order
        if chances[i] >= RIVAL
    )


def _looked_best(found: JointPosterior) -> BestObserved | None:
    names, senses = list(found.objectives), list(found.objectives.values())
    gaps = np.column_stack([found.evidence.gap(name) for name in names])
    values = np.vstack([np.zeros(len(names)), maximised(gaps, senses)])
    best, wanted = found.choice.best, found.utility
    short = wanted.shortfall(values, found.scale)
    order = preferred_order(
        worth(values, found.scale, wanted.mean_weights), short, (short <= 0).astype(np.float64)
    )
    looked = int(order[0])
    if looked == best:
        return None
    ahead = (values[looked] - values[best]).tolist()
    return BestObserved(
        number=found.numbers[looked],
        observed=dict(zip(names, ahead, strict=True)),
        expected=found.expected(looked, best),
    )


def _untried(found: JointPosterior) -> UntrainedRecipe | None:
    """The best untrained recipe; None if it is not expected to be better."""
    best, trained = found.choice.best, len(found.numbers)
    place = found.order[0]
    if place < trained:
        return None
    return UntrainedRecipe(
        recipe=parameters(found.untried[place - trained]),
        gains=found.expected(place, best),
        better=found.better(place, best),
    )


def _settling(found: JointPosterior, level: float) -> Settling | None:
    """What would settle the answer; None if the recommended recipe has no rival."""
    choice = found.choice
    if choice.rival is None:
        return None
    pair = (choice.best, choice.rival)
    deviations = tuple(found.seed_deviation(i) for i in pair)
    seeds = tuple(found.seeds(i) for i in pair)
    what = needed(choice.lead, choice.deviation, deviations, seeds, level)  # type: ignore[arg-type]
    numbers = tuple(found.numbers[i] for i in pair if i)
    seconds = sum(found.evidence.record(n).total_seconds for n in numbers)
    return Settling(
        numbers=numbers,
        repeats=what.repeats,
        minutes=(what.repeats or 0) * seconds / 60,
        segments=what.segments,
    )


def next_repeat(found: JointPosterior, eligible: Sequence[int]) -> int | None:
    """The trial whose repeat is most informative about which recipe is best: of the recommended
    recipe and its strongest rival, the one with fewer seeds (LUCB: Kalyanakrishnan et al. 2012,
    "PAC Subset Selection in Stochastic Multi-armed Bandits"). `eligible`: numbers of trials that
    can be repeated; None if neither of the two is among them."""
    choice = found.choice
    pair = [choice.best, *([] if choice.rival is None else [choice.rival])]
    pair = [i for i in pair if found.numbers[i] in eligible]
    return found.numbers[min(pair, key=lambda i: found.seeds(i))] if pair else None
