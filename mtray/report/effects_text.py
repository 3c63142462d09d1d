"""The effects of the parameters as tables and text."""

from __future__ import annotations

from collections.abc import Sequence

from mtray.report.effects import Effect, MeasureEffects
from mtray.report.leave_one_out import LeftOutError
from mtray.report.printing import Sheet
from mtray.search_space.space import Space


def importance_sheet(found: Sequence[MeasureEffects], space: Space) -> Sheet:
    """A row for each measure: every parameter's share of its variance over the space, and the
    direction of its effect."""
    varied = {effect.parameter for measure in found for effect in measure.effects}
    names = [name for name in space.parameters if name in varied]
    rows = []
    for measure in found:
        by_name = {effect.parameter: effect for effect in measure.effects}
        rows.append([measure.measure, *(_share(by_name[name]) for name in names)])
    return Sheet(
        ["measure", *names],
        rows,
        left=frozenset(("measure",)),
        title="Importance: share of the variance over the space in which a parameter is involved",
        caption="[95 %]. / or \\: higher or lower at the end of the range than at its start; "
        "~: within noise.",
    )


def _share(effect: Effect) -> str:
    return f"{effect.share:.2f} [{effect.low:.2f}, {effect.high:.2f}] {direction(effect)}"


def direction(effect: Effect) -> str:
    """Direction of a curve from its first value to its last: `/`, `\\`, or `~` if within noise."""
    if effect.rise_low > 0:
        return "/"
    return "\\" if effect.rise_high < 0 else "~"


def left_out_sheet(found: Sequence[MeasureEffects]) -> Sheet:
    """A row for each measure and model."""
    rows = [
        [
            "" if place else each.measure,
            left.model,
            f"{left.error:.3g}",
            f"{left.coverage:.0%}",
            f"{left.log_density:.2f}",
        ]
        for each in found
        for place, left in enumerate(each.left_out)
    ]
    return Sheet(
        ["measure", "model", "error", "covered", "log density"],
        rows,
        left=frozenset(("measure", "model")),
        title="Every recipe predicted from the others (leave-one-out)",
        caption="error: root mean squared error, in the measure's unit. covered: share of measured "
        "values within their 95 % prediction interval. log density: mean over the measured values, "
        "higher is better.",
    )


def left_out_lines(found: Sequence[MeasureEffects]) -> list[str]:
    """Lines on measures for which the surface predicts no better than a simpler model."""
    said = []
    for each in found:
        surface, others = each.left_out[0], each.left_out[1:]
        best: LeftOutError = max(others, key=lambda left: left.log_density)
        if best.log_density >= surface.log_density:
            said.append(f"{each.measure} ({best.model})")
    if not said:
        return []
    return [f"A simpler model predicts at least as well as the surface: {', '.join(said)}."]
