"""The proxy of a run in lines for a terminal."""

from __future__ import annotations

from mtray.report.printing import aligned, duration_text
from mtray.report.proxy import LABELS, LEAST, Proxy, RankedMixture
from mtray.report.proxy_correlation import Correlation, Spread
from mtray.run_files import trials_text
from mtray.search_space.parameters import shown

SHOWN = 5  # mixtures of the front


def proxy_lines(found: Proxy) -> list[str]:
    """What was measured, the correlations by objective, and the best mixtures."""
    lines = [
        f"{found.pure} pure models trained (about {duration_text(found.pure_seconds)} each), "
        f"{found.merged} merged models measured (about {duration_text(found.merged_seconds)} each)"
    ]
    lines += [
        f"not compared, {why}: {trials_text(numbers, 20)}"
        for why, numbers in found.left_out.items()
    ]
    if not found.correlations:
        lines.append(
            f"{len(found.trials)} recipes are too few for a correlation; {LEAST} are needed"
        )
    for name, each in found.correlations.items():
        lines += [
            f"{name}: rank correlation with the trained values of {len(found.trials)} recipes "
            "[95 % interval], and how far the measured merged models are above it",
            f"  {_spread_text(found.spread[name])}",
            *(f"  {line}" for line in aligned([_row(c) for c in each], left=1)),
        ]
    lines.append(
        f"{found.ranked} mixtures ranked by interpolation, not measured; the front of the "
        f"predictions has {len(found.front)}, among them:"
    )
    return [*lines, *(f"  {mixture_text(m)}" for m in _spread(found.front))]


def _spread_text(found: Spread) -> str:
    said = f"standard deviation over recipes {found.recipes:.4f}, over seeds {found.seeds:.4f}: "
    if found.ceiling is None:
        return (
            f"{said}recipes differ no more than seeds do, so other seeds would rank them otherwise"
        )
    return f"{said}with other seeds a perfect prediction would have about {found.ceiling:.2f}"


def _row(found: Correlation) -> tuple[str, str, str]:
    value = f"{found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"
    gain = ""
    if found.gain is not None:
        gain = f"{found.gain:+.2f} [{found.gain_low:+.2f}, {found.gain_high:+.2f}]"
    return LABELS[found.predictor], value, gain


def mixture_text(found: RankedMixture) -> str:
    """The mixture's parameters, then its predicted scores."""
    recipe = found.recipe
    parts = {"mono_ratio": recipe.mono_ratio, "replay_fraction": recipe.replay_fraction}
    parts |= {f"weight.{source}": weight for source, weight in recipe.weights.items()}
    mixture = " ".join(f"{name}={shown(round(value, 3))}" for name, value in parts.items())
    scores = ", ".join(f"{name} {value:.4f}" for name, value in found.predicted.items())
    return f"{mixture}: {scores}"


def _spread(front: tuple[RankedMixture, ...]) -> tuple[RankedMixture, ...]:
    """At most `SHOWN` of a front, evenly from its first to its last."""
    if len(front) <= SHOWN:
        return front
    step = (len(front) - 1) / (SHOWN - 1)
    return tuple(front[round(i * step)] for i in range(SHOWN))
