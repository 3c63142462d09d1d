"""How far a run's response surface can be trusted: every recipe predicted from the others, beside
what simpler models predict."""

from __future__ import annotations

from mtray.analysis.leave_out import LeftOut
from mtray.analysis.regression import constant_fit, linear_fit
from mtray.report.surface import Modelled
from mtray.schema import Frozen


class LeftOutError(Frozen):
    """How a model predicts recipes that were left out.

    - `error`: root mean squared difference to what was measured.
    - `coverage`: share of the measured values within their 95 % interval.
    - `log_density`: their mean log density; greater is better.
    """

    model: str
    error: float
    coverage: float
    log_density: float


def left_out_errors(surface: Modelled, measure: str) -> tuple[LeftOutError, ...]:
    """Of the surface and of simpler models; the scales and the noise of each stay as fitted to
    all."""
    evidence, process = surface.evidence, surface.process(measure)
    values, known = evidence.gap(measure), evidence.covariance(measure)
    found = {
        "surface": process.left_out(),
        "constant": constant_fit(process.points, values, known).left_out(),
        "linear": linear_fit(process.points, values, known).left_out(),
    }
    left = {model: LeftOut(values, *predicted) for model, predicted in found.items()}
    return tuple(
        LeftOutError(
            model=model, error=each.rmse, coverage=each.coverage, log_density=each.log_density
        )
        for model, each in left.items()
    )
