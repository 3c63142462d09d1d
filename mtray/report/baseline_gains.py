"""The gain of the front over every baseline, as a table: a row for each baseline and objective."""

from __future__ import annotations

from mtray.report.compare import ROLE_NAMES, Gain
from mtray.report.displayed_scores import points_on
from mtray.report.front import Front
from mtray.report.printing import EMPTY, Sheet
from mtray.report.units import decimals

WITHIN = "~"  # after the number of a point that is worse in another objective, within noise


def against_sheet(front: Front, once: bool = False) -> Sheet:
    """A row for each baseline and objective. `once`: show a baseline's name in its first row only,
    for a terminal. 80 characters wide, 88 with the column of human raters' agreement."""
    gains = [(c, place, gain) for c in front.comparisons for place, gain in enumerate(c.gains)]
    rows = [
        ["" if once and place else ROLE_NAMES[comparison.role], *_cells(front, gain)]
        for comparison, place, gain in gains
    ]
    head = ["front against", "objective", "gain", "verdict", "trial"]
    if any(gain.agreement is not None for _, _, gain in gains):
        head.append("raters")
        for row, (_, _, gain) in zip(rows, gains, strict=True):
            row.append(EMPTY if gain.agreement is None else f"{gain.agreement:.0%}")
    return Sheet(
        head,
        rows,
        title="Against the baselines",
        left=frozenset(("front against", "objective", "verdict")),
        styles=["bold" if row[3] == "better" else "" for row in rows],
    )


def _cells(front: Front, gain: Gain) -> list[str]:
    if gain.number is None:
        return [gain.objective, EMPTY, gain.verdict, EMPTY]
    digits = decimals(points_on(front, gain.objective))
    gap, low, high = (f"{v:+.{digits}f}" for v in (gain.gain, gain.low, gain.high))
    number = f"{gain.number}{WITHIN if gain.matched == 'noise' else ''}"
    return [gain.objective, f"{gap} [{low}, {high}]", gain.verdict, number]


def against_lines(front: Front) -> list[str]:
    """Definitions of the words that occur in the table."""
    gains = [gain for comparison in front.comparisons for gain in comparison.gains]
    lines = [
        "gain (positive is better): of the searched point of the front that is best in this "
        "objective among those not worse than the baseline in the others. Its 95 % interval holds "
        "for all "
        f"{gains[0].candidates} recipes, {len(front.comparisons)} baselines and "
        f"{len(front.objectives)} objectives at once, so it accounts for the choice of the point."
    ]
    if any(gain.matched == "noise" for gain in gains):
        lines.append(f"{WITHIN}: worse than the baseline in another objective, but within noise.")
    if any(gain.number is None for gain in gains):
        lines.append("none as good: every point of the front is worse in the other objectives.")
    if any(gain.verdict == "no interval" for gain in gains):
        lines.append(
            "no interval: a cost has no segments to resample, and no recipe was trained twice, so "
            "how much of the difference is chance is not known."
        )
    if any(gain.verdict == "cheaper" for gain in gains):
        lines.append(
            "cheaper: beyond the spread of the cost over repeated trainings, which alone does not "
            "make the front better than a baseline."
        )
    if metrics := sorted({g.agreement_metric for g in gains if g.agreement_metric}):
        lines.append(
            "raters: the share of human raters expected to agree with a difference of this size "
            f"({', '.join(metrics)}), if it were known exactly."
        )
    return lines
