"""By how much, and how surely, the front beats the baselines: what the sweep was worth.

A baseline is a recipe nobody had to search for. For each objective the best point of the front is
taken among those that are not worse than the baseline in all other objectives, and the gain is
given with two intervals: the plain one of that pair, and a wider one that holds for whichever of
the recipes is picked (Bonferroni over the recipes searched), since picking the best of many on the
same segments flatters the one picked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import hypot
from statistics import NormalDist
from typing import Literal

from mtray.analysis.agreement import agreement_text, expected_agreement
from mtray.analysis.pareto import Z95
from mtray.schema import Frozen, Role, Score, Sense, TrialRecord

Verdict = Literal["better", "within noise", "not better", "none as good"]
# (point of the front, baseline, objective, z) -> point minus baseline and its interval at +-z
# standard errors
Difference = Callable[[TrialRecord, TrialRecord, str, float], tuple[float, float, float]]

ROLE_NAMES: dict[Role, str] = {
    "search": "search",
    "base": "base model, untouched",
    "parallel_only": "parallel data only",
    "mono_one_to_one": "mono to parallel 1:1",
    "mono_two_to_one": "mono to parallel 2:1",
    "uniform": "all sources equally",
}


class Gain(Frozen):
    """What the front gains over one baseline in one objective; positive is better, whatever the
    objective's sense.

    `number` is the front's point; None when no point is as good as the baseline in the other
    objectives. `matched` says whether it is as good there by `value`, or only that the difference
    is within its 95 % interval (`noise`). `low`, `high` is the 95 % interval of this pair;
    `low_any`, `high_any` the one that holds for all `candidates` together. `agreement`: the share
    of human judgements expected to agree, for metrics of which that is known
    (`mtray.analysis.agreement`).
    """

    objective: str
    number: int | None
    matched: Literal["value", "noise"] | None = None
    gain: float = 0.0
    low: float = 0.0
    high: float = 0.0
    low_any: float = 0.0
    high_any: float = 0.0
    candidates: int
    verdict: Verdict
    agreement: float | None = None
    text: str


class Comparison(Frozen):
    """The front beside one baseline. `better`: some gain is beyond noise even after the choice
    among all recipes."""

    role: Role
    number: int
    better: bool
    gains: tuple[Gain, ...]
    text: str


def score_difference(a: Score, b: Score, z: float = Z95) -> tuple[float, float, float]:
    """a - b with an interval, from the intervals of two independent scores (MOVER: Zou & Donner
    2008, Stat. Med. 27:1693).

    Keeps lopsided intervals lopsided. Scores of two models on the same segments are mostly
    positively correlated, so the interval is then too wide rather than too narrow; a paired
    bootstrap is better where the segments are at hand.
    """
    gap, scale = a.value - b.value, z / Z95
    low = gap - scale * hypot(a.value - a.low, b.high - b.value)
    high = gap + scale * hypot(a.high - a.value, b.value - b.low)
    return gap, low, high


def independent_difference(
    a: TrialRecord, b: TrialRecord, objective: str, z: float
) -> tuple[float, float, float]:
    """`score_difference` of one objective of two trials."""
    return score_difference(a.objectives[objective], b.objectives[objective], z)


def compare(
    front: Sequence[TrialRecord],
    baseline: TrialRecord,
    objectives: Mapping[str, Sense],
    candidates: int,
    difference: Difference = independent_difference,
) -> Comparison:
    """The front's searched points beside one baseline. `candidates` is the number of recipes
    that the front was picked from."""
    gains = tuple(
        _gain(front, baseline, objectives, name, candidates, difference) for name in objectives
    )
    better = any(g.verdict == "better" for g in gains)
    head = f"{ROLE_NAMES[baseline.role]}: "
    if not better:
        head += "no point of the front is better beyond noise. "
    return Comparison(
        role=baseline.role, number=baseline.number, better=better, gains=gains,
        text=head + " ".join(g.text for g in gains),
    )  # fmt: skip


def _improvement(
    a: TrialRecord, b: TrialRecord, name: str, sense: Sense, z: float, difference: Difference
) -> tuple[float, float, float]:
    gap, low, high = difference(a, b, name, z)
    return (gap, low, high) if sense == "max" else (-gap, -high, -low)


def _gain(
    front: Sequence[TrialRecord],
    baseline: TrialRecord,
    objectives: Mapping[str, Sense],
    name: str,
    candidates: int,
    difference: Difference,
) -> Gain:
    others = {other: sense for other, sense in objectives.items() if other != name}
    kept = " and ".join(others)
    eligible, matched = _as_good(front, baseline, others, difference)
    if matched is None:
        text = f"No point of the front is as good in {kept}, so it shows no gain in {name}."
        return Gain(
            objective=name, number=None, candidates=candidates, verdict="none as good", text=text
        )

    def improvement(point: TrialRecord, z: float) -> tuple[float, float, float]:
        return _improvement(point, baseline, name, objectives[name], z, difference)

    best = max(eligible, key=lambda point: improvement(point, Z95)[0])
    gain, low, high = improvement(best, Z95)
    _, low_any, high_any = improvement(best, NormalDist().inv_cdf(1 - 0.025 / max(1, candidates)))
    verdict = _verdict(gain, low_any)
    signature = best.objectives[name].signature
    agreed = agreement_text(signature, gain) if gain > 0 else ""
    text = (
        f"{name}: gain {gain:+.3f} with trial {best.number} "
        f"(95 % interval {low:+.3f} to {high:+.3f}; "
        f"{low_any:+.3f} to {high_any:+.3f} allowing for the choice among {candidates} recipes), "
        f"{kept} {'not worse' if matched == 'value' else 'worse, but within noise'}: {verdict}"
        f"{'; ' + agreed if agreed else ''}."
    )
    return Gain(
        objective=name, number=best.number, matched=matched, gain=gain, low=low, high=high,
        low_any=low_any, high_any=high_any, candidates=candidates, verdict=verdict,
        agreement=expected_agreement(signature, gain) if gain > 0 else None, text=text,
    )  # fmt: skip


def _as_good(
    front: Sequence[TrialRecord],
    baseline: TrialRecord,
    others: Mapping[str, Sense],
    difference: Difference,
) -> tuple[list[TrialRecord], Literal["value", "noise"] | None]:
    """The points not worse than the baseline in any of `others`: by value or, where there are none,
    within 95 % intervals."""
    found = {
        point.number: [
            _improvement(point, baseline, o, s, Z95, difference) for o, s in others.items()
        ]
        for point in front
    }
    if by_value := [p for p in front if all(value >= 0 for value, _, _ in found[p.number])]:
        return by_value, "value"
    within = [p for p in front if all(high >= 0 for _, _, high in found[p.number])]
    return within, "noise" if within else None


def _verdict(gain: float, low_any: float) -> Verdict:
    if gain <= 0:
        return "not better"
    return "better" if low_any > 0 else "within noise"
