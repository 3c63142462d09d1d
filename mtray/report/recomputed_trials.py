"""Trials under another study: retention, objectives and constraints recomputed from the stored
scores and bootstrap draws of every trial. Nothing is generated and nothing is written.

This covers fewer abilities, other weights, another floor that the study gives, and another
objective or constraint on a recorded score. Scores that do not change are the recorded ones,
exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mtray.analysis.retention import kept_share, retention_summaries, share_signature, too_little
from mtray.analysis.uncertainty import ScoreDraws
from mtray.errors import RunError
from mtray.report.abilities import PREFIX, ability_measures, common_retention
from mtray.report.groups import Draws, measured
from mtray.run_files import BASE_NUMBER, trials_text
from mtray.schema import Study, TrialRecord, beyond, broken_reason

Array = npt.NDArray[np.float64]
QUALITY, RETENTION, WORST = "quality", "retention", "retention.worst"
UNPAIRED = "no draws are stored, so the interval of retention treats the abilities as independent"


@dataclass(frozen=True)
class RecomputedTrial:
    """A trial under another study.

    - `record`: with everything that is derived from its scores.
    - `stale`: names whose stored draws no longer belong to the score of that name.
    - `draws`: their replacements, each of shape (resamples,).
    - `note`: a caveat of the trial.
    """

    record: TrialRecord
    stale: frozenset[str] = frozenset()
    draws: Mapping[str, Array] = field(default_factory=dict)
    note: str = ""

    def all_draws(self, kept: Mapping[str, Array]) -> dict[str, Array]:
        """The draws of all stored scores, `kept`, updated with the new ones."""
        return {**{n: d for n, d in kept.items() if n not in self.stale}, **self.draws}


@dataclass(frozen=True)
class RecomputedRun:
    """All trials of a run under another study, and their draws."""

    trials: tuple[RecomputedTrial, ...]
    kept: Draws

    @property
    def records(self) -> list[TrialRecord]:
        return [trial.record for trial in self.trials]

    def draws(self, number: int, names: Sequence[str]) -> Mapping[str, Array]:
        """As `mtray.report.bootstrap_draws.read_draws`."""
        trial = next(t for t in self.trials if t.record.number == number)
        found = self.kept(number, [name for name in names if name not in trial.stale])
        return {**found, **{name: trial.draws[name] for name in names if name in trial.draws}}

    @property
    def notes(self) -> tuple[str, ...]:
        """The trials' notes, each once."""
        found: dict[str, list[int]] = {}
        for trial in self.trials:
            if trial.note:
                found.setdefault(trial.note, []).append(trial.record.number)
        return tuple(f"{trials_text(numbers)}: {note}." for note, numbers in found.items())


def recompute_run(
    records: Iterable[TrialRecord], before: Study, now: Study, draws: Draws
) -> RecomputedRun:
    """Every trial of a run that was made with `before` as one of `now`. Raises RunError naming all
    trials that lack the necessary scores or draws."""
    known = list(records)
    base = next((r for r in known if r.number == BASE_NUMBER), None)
    trials, reasons = [], dict[str, list[int]]()
    for record in known:
        try:
            trials.append(recompute(record, before, now, draws, base))
        except RunError as error:
            reasons.setdefault(str(error), []).append(record.number)
    if reasons:
        raise RunError(
            "; ".join(f"{trials_text(numbers)}: {reason}" for reason, numbers in reasons.items())
        )
    return RecomputedRun(tuple(trials), draws)


def recompute(
    record: TrialRecord, before: Study, now: Study, draws: Draws, base: TrialRecord | None
) -> RecomputedTrial:
    """One trial under `now`; `base`: the base model's. Raises RunError, without the trial's number,
    if its scores or draws do not suffice. A failed or pruned trial has no scores and stays
    unchanged."""
    is_other = before.objectives != now.objectives or _counted(before) != _counted(now)
    rungs = {"rungs": ()} if is_other else {}  # of other objectives
    if not record.objectives:
        return RecomputedTrial(record.model_copy(update=rungs))
    trial = _Trial(record, before, now, draws, base)
    trial.drop_abilities()
    trial.retention()
    trial.quality()
    return trial.restated(rungs)


def _counted(study: Study) -> dict[str, tuple[float, Any]]:
    """Weight and floor of every ability; the floor is None if the measure computes it."""
    return {
        name: (spec.weight, (spec.model_extra or {}).get("floor"))
        for name, spec in study.evaluation.abilities.items()
    }


def _owner(score: str, abilities: Iterable[str]) -> str | None:
    """The ability that a score or count belongs to."""
    names = [n for n in abilities if score in (n, PREFIX + n) or score.startswith(f"{n}.")]
    return max(names, key=len, default=None)


class _Trial:
    """A trial during recomputation.

    scores: by name, including objectives.
    fresh: new scores with their draws.
    stale: names whose stored draws no longer belong to them.
    """

    def __init__(
        self, record: TrialRecord, before: Study, now: Study, draws: Draws, base: TrialRecord | None
    ) -> None:
        self._record, self._now, self._draws, self._base = record, now, draws, base
        self._before, self._after = _counted(before), _counted(now)
        self._is_other = self._before != self._after
        self._wanted = {*now.objectives, *now.constraints}
        self._scores = measured(record)
        self._left: dict[str, str] = dict(record.extra.get("left_out") or {})
        self._counts = dict(record.counts)
        self._fresh: dict[str, Array] = {}
        self._stale: set[str] = set()
        self._note = ""

    def drop_abilities(self) -> None:
        def stays(name: str) -> bool:
            owner = _owner(name, self._before)
            return owner is None or owner in self._after

        self._scores = {n: s for n, s in self._scores.items() if stays(n)}
        self._counts = {n: c for n, c in self._counts.items() if stays(n)}
        self._left = {n: why for n, why in self._left.items() if n in self._after}

    def retention(self) -> None:
        """Recompute the mean and the worst of the abilities if any of them changed or the mean was
        not recorded."""
        if not self._is_other and (RETENTION in self._scores or RETENTION not in self._wanted):
            return
        if not self._after:
            self._scores.pop(RETENTION, None)
            self._scores.pop(WORST, None)
            return
        for name, (_, floor) in self._after.items():
            if floor is not None and floor != self._before.get(name, (0, floor))[1]:
                self._share(name, float(floor))
        names = [name for name in self._after if PREFIX + name in self._scores]
        if not names:
            raise RunError("the base model has none of the abilities that are left")
        self._check_formula(names)
        self._summaries(names)

    def _share(self, name: str, floor: float) -> None:
        """Recompute the retention of one ability above another floor."""
        base, number = self._base, self._record.number
        own = self._draws(number, [name]).get(name)
        before = None if base is None else self._draws(base.number, [name]).get(name)
        if base is None or own is None or before is None:
            raise RunError(f"another floor needs the draws of {name}, which are not stored")
        value = measured(base)[name].value
        self._scores.pop(PREFIX + name, None)
        self._left.pop(name, None)
        if why := too_little(floor, value, before):
            self._left[name] = why
            return
        share = kept_share(self._scores[name].value, value, own, before, floor)
        score = {"n": self._scores[name].n, "signature": share_signature(name, len(own))}
        self._enter(PREFIX + name, ScoreDraws(share.score.model_copy(update=score), share.draws))

    def _check_formula(self, names: Sequence[str]) -> None:
        for name in names:
            signature = self._scores[PREFIX + name].signature
            known = share_signature(name, self._now.evaluation.bootstrap)
            if signature != known:
                raise RunError(f"retention was measured as {signature!r}, which is not {known!r}")

    def _summaries(self, names: Sequence[str]) -> None:
        shares = [self._scores[PREFIX + name] for name in names]
        weights = {name: self._after[name][0] for name in names}
        draws = self._own_draws([PREFIX + name for name in names])
        n = self._units(names)
        if len(draws) == len(names):
            drawn = [ScoreDraws(s, draws[PREFIX + m]) for s, m in zip(shares, names, strict=True)]
            resamples = self._now.evaluation.bootstrap
            found = retention_summaries(drawn, list(weights.values()), n, resamples)
            self._enter(RETENTION, found["mean"])
            if self._is_other:
                self._enter(WORST, found["worst"])
            return
        joined = common_retention(self._scores, names, weights, {})
        self._scores[RETENTION] = joined.model_copy(update={"n": n})
        self._stale.add(RETENTION)
        self._note = UNPAIRED
        if self._is_other:
            self._scores.pop(WORST, None)
            self._stale.add(WORST)

    def _units(self, names: Sequence[str]) -> int:
        """Number of units behind the mean; an upper bound if abilities share some, since which ones
        is not stored."""
        recorded = measured(self._record).get(RETENTION)
        together = sum(self._scores[PREFIX + name].n for name in names)
        if recorded is None:
            return together
        return recorded.n if self._were_counted() == {*names} else min(together, recorded.n)

    def _were_counted(self) -> set[str]:
        return {name.removeprefix(PREFIX) for name in ability_measures(self._record.scores)}

    def _own_draws(self, names: Sequence[str]) -> dict[str, Array]:
        kept = self._draws(self._record.number, [n for n in names if n not in self._stale])
        return {**kept, **{n: self._fresh[n] for n in names if n in self._fresh}}

    def _enter(self, name: str, found: ScoreDraws) -> None:
        self._scores[name], self._fresh[name] = found.score, found.draws
        self._stale.add(name)

    def quality(self) -> None:
        """Compute the mean of COMET over directions if it is requested and was no objective."""
        if QUALITY not in self._wanted or QUALITY in self._scores:
            return
        directions = [f"comet.{q.direction}" for q in self._now.evaluation.quality]
        name = "comet.mean" if len(directions) > 1 else directions[0]
        if name not in self._scores:
            return
        score = self._scores[name]
        if len(directions) == 1:
            score = score.model_copy(update={"signature": f"mean:1|{score.signature}"})
        self._scores[QUALITY] = score
        self._stale.add(QUALITY)
        if name in (kept := self._own_draws([name])):
            self._fresh[QUALITY] = kept[name]

    def restated(self, changes: Mapping[str, Any]) -> RecomputedTrial:
        now, record = self._now, self._record
        for what, names in (("objective", now.objectives), ("constraint", now.constraints)):
            if missing := [name for name in names if name not in self._scores]:
                why = self._left.get(missing[0].removeprefix(PREFIX), "")
                raise RunError(f"{what} {missing[0]!r} was not measured{why and f', since {why}'}")
        values = {name: score.value for name, score in self._scores.items()}
        broken = None if record.role == "base" else broken_reason(now.constraints, values)
        scores = {n: s for n, s in self._scores.items() if n not in (QUALITY, RETENTION)}
        left = {"left_out": self._left} if "left_out" in record.extra or self._left else {}
        found = record.model_copy(
            update={
                "state": "infeasible" if broken else "complete",
                "reason": broken,
                "objectives": {name: self._scores[name] for name in now.objectives},
                "scores": scores,
                "constraints": beyond(now.constraints, values),
                "counts": self._counts,
                "extra": {**record.extra, **left},
                **changes,
            }
        )
        return RecomputedTrial(found, frozenset(self._stale), self._fresh, self._note)
