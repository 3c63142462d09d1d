"""What a sweep ends in: the recipe to take, what it gains and costs, how surely, and what would
make it surer. Recipes are compared by their expected worth (`mtray.analysis.decision`) under what
is believed of them (`mtray.report.belief`)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtray.analysis.decision import MARGIN, needed, worth
from mtray.analysis.pareto import maximised
from mtray.report.belief import AgainstBaseline, Belief, Expected
from mtray.report.parameters import Parameters, parameters
from mtray.schema import Frozen, Role

LEVEL = 0.95  # probability from which an answer is called settled
RIVAL = 0.05  # chance of being worth most, from which a recipe is named as a rival


class Rival(Frozen):
    """A trained recipe that may be worth most, with the `chance` of that."""

    number: int
    chance: float


class LookedBest(Frozen):
    """The recipe that is worth most by its own values, where that is not the recommended one.

    - `observed`: by objective, by how much its value is better than the recommended one's.
    - `expected`: what of that the model expects to last.
    """

    number: int
    observed: dict[str, float]
    expected: tuple[Expected, ...]


class Untried(Frozen):
    """The recipe of the space that is expected to be worth most and was not trained.

    - `gains`: over the recommended one.
    - `better`: probability that it is worth more.
    """

    recipe: Parameters
    gains: tuple[Expected, ...]
    better: float


class Settling(Frozen):
    """What would tell the recommended recipe and its strongest rival apart, should their distance
    stay what it is.

    - `numbers`: the two; without the untouched model, which is not trained.
    - `repeats`: how many more trainings of each, with other seeds; None: no number of them would.
    - `minutes`: what those repeats run for, one after another.
    - `segments`: or how many times as many evaluation segments; None: no number of them would.
    """

    numbers: tuple[int, ...]
    repeats: int | None
    minutes: float
    segments: float | None


class Answer(Frozen):
    """The recommendation.

    - `number`, `role`, `recipe`, `seeds`: of the trained recipe that is expected to be worth most;
      the untouched model where that is.
    - `against`: what it gains over every baseline.
    - `probability`: that no other trained recipe is worth more by over `margin` of the front's
      reach; `settled`: at least `level`.
    - `rivals`: other recipes that may be worth most, the likeliest first.
    - `looked_best`: None where the recommended recipe also looks best.
    - `untried`: None where no recipe of the space is expected to be worth more.
    - `settling`: None where it is settled.
    - `scale`: by objective, how far base model, baselines and front reach; 0: not at all, it has
      no say then.
    - `modelled`: by the response surface; else by the recipes' own means.
    - `text`: all that in plain words, and `commands`: what comes next, with what it is for.
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
    looked_best: LookedBest | None
    untried: Untried | None
    settling: Settling | None
    scale: dict[str, float]
    modelled: bool
    text: tuple[str, ...] = ()
    commands: tuple[tuple[str, str], ...] = ()


def answer(found: Belief, level: float = LEVEL) -> Answer:
    """The recommendation of a belief."""
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
        modelled=found.surface is not None,
    )  # fmt: skip


def _against(found: Belief) -> tuple[AgainstBaseline, ...]:
    """Every baseline but the recommended recipe itself."""
    best = found.choice.best
    roles: list[Role] = ["base", *(r.role for r in found.evidence.records)]
    return tuple(
        AgainstBaseline(role=role, number=found.numbers[i], gains=found.expected(best, i))
        for i, role in enumerate(roles)
        if role != "search" and i != best
    )


def _rivals(found: Belief) -> tuple[Rival, ...]:
    chances = found.choice.chances
    order = [int(i) for i in np.argsort(-chances, kind="stable") if i != found.choice.best]
    return tuple(
        Rival(number=found.numbers[i], chance=float(chances[i]))
        for i in order
        if chances[i] >= RIVAL
    )


def _looked_best(found: Belief) -> LookedBest | None:
    names, senses = list(found.objectives), list(found.objectives.values())
    gaps = np.column_stack([found.evidence.gap(name) for name in names])
    values = np.vstack([np.zeros(len(names)), maximised(gaps, senses)])
    best, looked = found.choice.best, int(np.argmax(worth(values, found.scale)))
    if looked == best:
        return None
    ahead = (values[looked] - values[best]).tolist()
    return LookedBest(
        number=found.numbers[looked],
        observed=dict(zip(names, ahead, strict=True)),
        expected=found.expected(looked, best),
    )


def _untried(found: Belief) -> Untried | None:
    """The best of those that were not trained, where it is expected to be worth more."""
    trained = len(found.numbers)
    if not found.untried:
        return None
    place = trained + int(np.argmax(found.worth[:, trained:].mean(axis=0)))
    apart = found.worth[:, place] - found.worth[:, found.choice.best]
    if apart.mean() <= 0:
        return None
    return Untried(
        recipe=parameters(found.untried[place - trained]),
        gains=found.expected(place, found.choice.best), better=float((apart > 0).mean()),
    )  # fmt: skip


def _settling(found: Belief, level: float) -> Settling | None:
    """None where the recommended recipe has no rival."""
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
        numbers=numbers, repeats=what.repeats, minutes=(what.repeats or 0) * seconds / 60,
        segments=what.segments,
    )  # fmt: skip


def next_repeat(found: Belief, eligible: Sequence[int]) -> int | None:
    """The trial whose repeat tells most of who is best: of the recommended recipe and its strongest
    rival, the one of which fewer seeds are known (LUCB: Kalyanakrishnan et al. 2012, "PAC Subset
    Selection in Stochastic Multi-armed Bandits"). `eligible`: numbers of trials that can be
    repeated; None where neither is among them."""
    choice = found.choice
    pair = [choice.best, *([] if choice.rival is None else [choice.rival])]
    pair = [i for i in pair if found.numbers[i] in eligible]
    return found.numbers[min(pair, key=lambda i: found.seeds(i))] if pair else None
