"""By how much, and how certainly, the front beats the baselines: the gain of the sweep.

A baseline is a recipe that needs no search. For each objective the best point of the front is taken
among those that are not worse than the baseline in all other objectives. Picking the best of many
on the same segments is optimistic, so the interval of the gain holds simultaneously for all pairs
of a recipe and a baseline in all objectives (`mtray.report.differences`): of a hundred sweeps whose
recipes are all alike, at most five report `better` anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from mtray.analysis.human_agreement import curve_of, expected_agreement
from mtray.report.differences import Difference, Joint, better_by, widened
from mtray.schema import Frozen, Role, Sense, TrialRecord, is_cost

# `cheaper`: a cost that is beyond its spread over seeds, which alone makes no front better
Verdict = Literal["better", "cheaper", "within noise", "not better", "none as good", "no interval"]

ROLE_NAMES: dict[Role, str] = {
    "search": "search",
    "base": "base model, untouched",
    "parallel_only": "parallel data only",
    "mono_one_to_one": "mono to parallel 1:1",
    "mono_two_to_one": "mono to parallel 2:1",
    "uniform": "all sources equally",
}


def recipe_name(role: Role, number: int) -> str:
    """The displayed name of a recipe: the baseline's name, or `trial 7`."""
    return f"trial {number}" if role == "search" else ROLE_NAMES[role]


class Gain(Frozen):
    """What the front gains over one baseline in one objective; positive is better, whatever the
    objective's direction.

    - `number`: the front's point; None if no point is as good as the baseline in the other
      objectives.
    - `matched`: whether it is as good there by `value`, or only that the difference is within its
      95 % interval (`noise`).
    - `low`, `high`: the 95 % interval that holds for all recipes, baselines and objectives
      simultaneously.
    - `candidates`: the number of recipes that the point was picked from.
    - `agreement`: the share of human judgements expected to agree, for metrics for which that is
      known (`mtray.analysis.human_agreement`), which is then named in `agreement_metric`.
    """

    objective: str
    number: int | None
    matched: Literal["value", "noise"] | None = None
    gain: float = 0.0
    low: float = 0.0
    high: float = 0.0
    candidates: int
    verdict: Verdict
    agreement: float | None = None
    agreement_metric: str | None = None


class Comparison(Frozen):
    """The front compared with one baseline. `better`: some gain, other than in a cost, is beyond
    noise even after picking among all recipes."""

    role: Role
    number: int
    better: bool
    gains: tuple[Gain, ...]


class BaselineComparison:
    """One baseline, and what is needed to compare a point of the front with it.

    `joint` holds both; `stretch` makes intervals hold for all pairs (`Joint.stretch`); `candidates`
    is the number of recipes that the front was picked from.
    """

    def __init__(
        self, baseline: TrialRecord, objectives: Mapping[str, Sense], joint: Joint,
        stretch: float, candidates: int,
    ) -> None:  # fmt: skip
        self.baseline, self.objectives = baseline, objectives
        self._joint, self._stretch, self._candidates = joint, stretch, candidates

    def difference(self, point: TrialRecord, name: str) -> Difference:
        """The difference of this pair alone; positive is better."""
        found = self._joint.difference(point.number, self.baseline.number, name)
        return better_by(found, self.objectives[name])

    def gain(self, front: Sequence[TrialRecord], name: str) -> Gain:
        others = [other for other in self.objectives if other != name]
        eligible, matched = self._as_good(front, others)
        if matched is None:
            return Gain(
                objective=name, number=None, candidates=self._candidates, verdict="none as good"
            )
        best = max(eligible, key=lambda point: self.difference(point, name).gap)
        found = widened(self.difference(best, name), self._stretch)
        signature = best.objectives[name].signature
        curve = curve_of(signature) if found.gap > 0 else None
        return Gain(
            objective=name, number=best.number, matched=matched, gain=found.gap, low=found.low,
            high=found.high, candidates=self._candidates, verdict=_verdict(name, found),
            agreement=expected_agreement(signature, found.gap) if curve else None,
            agreement_metric=curve.metric if curve else None,
        )  # fmt: skip

    def _as_good(
        self, front: Sequence[TrialRecord], others: Sequence[str]
    ) -> tuple[list[TrialRecord], Literal["value", "noise"] | None]:
        """The points not worse than the baseline in any of `others`: by value or, if there are
        none, within 95 % intervals."""
        found = {p.number: [self.difference(p, other) for other in others] for p in front}
        if by_value := [p for p in front if all(d.gap >= 0 for d in found[p.number])]:
            return by_value, "value"
        within = [p for p in front if all(d.high >= 0 for d in found[p.number])]
        return within, "noise" if within else None


def compare(
    front: Sequence[TrialRecord],
    baselines: Sequence[TrialRecord],
    searched: Sequence[int],
    objectives: Mapping[str, Sense],
    joint: Joint,
) -> tuple[Comparison, ...]:
    """The front's searched points compared with every baseline. `searched`: numbers of the
    recipes that the front was picked from. All records are means, identified in `joint` by
    their numbers."""
    stretch = joint.stretch(searched, [b.number for b in baselines])
    against = [BaselineComparison(b, objectives, joint, stretch, len(searched)) for b in baselines]
    return tuple(_comparison(front, each) for each in against)


def _comparison(front: Sequence[TrialRecord], against: BaselineComparison) -> Comparison:
    gains = tuple(against.gain(front, name) for name in against.objectives)
    return Comparison(
        role=against.baseline.role,
        number=against.baseline.number,
        gains=gains,
        better=any(g.verdict == "better" for g in gains),
    )


def _verdict(name: str, found: Difference) -> Verdict:
    """A cost has no segments to resample: its interval is that of the seeds, or nothing where no
    recipe was trained twice."""
    if found.gap <= 0:
        return "not better"
    if is_cost(name) and found.low == found.high:
        return "no interval"
    if found.low <= 0:
        return "within noise"
    return "cheaper" if is_cost(name) else "better"
