"""How far a run's response surface can be trusted: every recipe is predicted from the others and
compared with the predictions of simpler models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from mtray.analysis.leave_one_out import LeftOut
from mtray.analysis.regression import constant_fit, linear_fit
from mtray.analysis.shared_errors import own_errors
from mtray.report.surface import ModelledRun
from mtray.schema import Frozen

Array = npt.NDArray[np.float64]
Model = Literal["surface", "law", "linear", "constant"]


class LeftOutError(Frozen):
    """Errors of a model on left-out recipes. The predictive distribution includes the measurement
    error.

    - `error`: root mean squared difference from the measured values, in the measure's unit.
    - `coverage`: share of the measured values within their 95 % interval.
    - `log_density`: their mean log density; greater is better.
    """

    model: Model
    error: float
    coverage: float
    log_density: float

    @classmethod
    def of(cls, model: Model, found: LeftOut) -> LeftOutError:
        return cls(
            model=model, error=found.rmse, coverage=found.coverage, log_density=found.log_density
        )


def left_out_errors(surface: ModelledRun, measure: str) -> tuple[LeftOutError, ...]:
    """Errors of the surface and of simpler models; length scales and noise of each stay as fitted
    to all recipes."""
    evidence, process = surface.evidence, surface.process(measure)
    values, known = evidence.gap(measure), own_errors(evidence.covariance(measure))
    found: dict[Model, tuple[Array, Array]] = {
        "surface": process.left_out(),
        "constant": constant_fit(process.points, values, known).left_out(),
        "linear": linear_fit(process.points, values, known).left_out(),
    }
    return tuple(
        LeftOutError.of(model, LeftOut(values, *predicted)) for model, predicted in found.items()
    )


def left_out_notes(found: Mapping[str, Sequence[LeftOutError]]) -> tuple[str, ...]:
    """Notes on how far the model behind the answer can be trusted, by objective; none without a
    model."""
    if not found:
        return ()
    parts = []
    for name, (surface, *others) in found.items():
        beside = ", ".join(f"{other.model} {other.error:.3g}" for other in others)
        parts.append(
            f"{name} off by {surface.error:.3g} ({beside}), {surface.coverage:.0%} within the 95 % "
            "interval"
        )
    return (f"The model behind the answer, asked for every recipe left out: {'; '.join(parts)}.",)
