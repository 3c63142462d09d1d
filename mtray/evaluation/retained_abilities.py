"""Which abilities count towards retention: those that the base model demonstrably has."""

from __future__ import annotations

from collections.abc import Mapping

from mtray.analysis.retention import RetainedAbility, too_little
from mtray.analysis.uncertainty import Measurement, replicate_values
from mtray.errors import EvaluationError


def why_left_out(floor: float, base: Measurement, resamples: int, seed: int) -> str | None:
    """`too_little` for a base model's measurement."""
    draws = replicate_values(base, resamples, seed)
    return too_little(floor, base.point, draws)


def kept_abilities(
    floors: Mapping[str, float],
    weights: Mapping[str, float],
    tuned: Mapping[str, Measurement],
    base: Mapping[str, Measurement],
    resamples: int,
    seed: int,
    required: bool = True,
) -> tuple[dict[str, RetainedAbility], dict[str, str]]:
    """The abilities to compare, by name like `floors`, and those left out with the reason. Raises
    EvaluationError if none is left and retention is `required`.

    The selection depends on the base model alone, so it is the same for every trial.
    """
    reasons = {
        name: why_left_out(floor, base[name], resamples, seed) for name, floor in floors.items()
    }
    left_out = {name: reason for name, reason in reasons.items() if reason is not None}
    kept = {
        name: RetainedAbility(tuned[name], base[name], floor, weights[name])
        for name, floor in floors.items()
        if name not in left_out
    }
    if not kept and required:
        listed = "; ".join(f"{name}: {reason}" for name, reason in left_out.items())
        raise EvaluationError(
            "the base model has none of the abilities that retention averages. List others under "
            "`evaluation.abilities`, raise their `size`, or put other scores into `objectives` "
            f"(such as perplexity.en: max) in place of retention. {listed}"
        )
    return kept, left_out
