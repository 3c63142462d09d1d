"""The front of the expected values, in addition to that of the observed ones: the front corrected
for noise, and the untrained recipes that would be on it."""

from __future__ import annotations

import numpy as np

from mtray.analysis.pareto import front_order, maximised
from mtray.analysis.uncertainty import TAILS
from mtray.report.parameters import Parameters, parameters
from mtray.report.posterior import JointPosterior
from mtray.schema import Frozen


class ExpectedGap(Frozen):
    """The expected difference from the base model in one objective, in its unit and direction:
    `gap`, and its 95 % interval."""

    gap: float
    low: float
    high: float


class ModelledPoint(Frozen):
    """A recipe on the front of the expected values, by objective. `number`: the trial that trained
    it, -1 for the base model; None: not trained."""

    number: int | None
    recipe: Parameters
    objectives: dict[str, ExpectedGap]


def modelled_front(found: JointPosterior) -> tuple[ModelledPoint, ...]:
    """The modelled front of trained and untrained recipes, the best in the first objective first;
    empty without a response surface."""
    if found.surface is None:
        return ()
    senses = list(found.objectives.values())
    order = front_order(found.means)
    gaps = maximised(found.means[order], senses)
    low, high = np.quantile(maximised(found.draws[:, order], senses), TAILS, axis=0)
    points = []
    for place, i in enumerate(order.tolist()):
        values = {
            name: ExpectedGap(
                gap=float(gaps[place, k]),
                low=float(min(low[place, k], gaps[place, k])),
                high=float(max(high[place, k], gaps[place, k])),
            )
            for k, name in enumerate(found.objectives)
        }
        trained = i < len(found.numbers)
        points.append(
            ModelledPoint(
                number=found.numbers[i] if trained else None,
                recipe=parameters(found.recipe(i)),
                objectives=values,
            )
        )
    return tuple(points)
