"""How far a run's response surface can be trusted: every recipe predicted from the others, beside
what simpler models predict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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


def left_out_notes(found: Mapping[str, Sequence[LeftOutError]]) -> tuple[str, ...]:
    """How far the model behind the answer can be trusted, by objective; none without one."""
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
