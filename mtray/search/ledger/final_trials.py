"""The last trials of a budget: repeats, the confirmation of the recommended recipe, and, beyond the
budget, trials that settle the answer. The journal records the purpose of each, for a restart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from mtray.report.records import read_records
from mtray.run_files import BASE_NUMBER, FURTHER, result_path
from mtray.schema import Budget, TrialRecord
from mtray.search.ledger.initial_trials import EnqueuedPoint, enqueued_point
from mtray.search.ledger.replicates import ReplicateSchedule
from mtray.search.ledger.trial_attributes import (
    AGAIN,
    CONFIRMS,
    EXACT,
    OF,
    REPLICATE,
    SAMPLER_NOTES,
    SETTLES,
    WHY,
    own_trials,
    sweep_start,
)
from mtray.search.strategy.advice import Advisor, Proposal
from mtray.search.strategy.reserved_trials import reserved_trials, settling_total

Kind = Literal["search", "repeat", "confirm", "settle"]
Turn = EnqueuedPoint | Literal["search", "wait", "end"]


def kind_of_next(trials: Sequence[FrozenTrial], planned: int, budget: Budget) -> Kind:
    """The purpose of the next trial in a budget of `planned` trials; beyond them: "settle"."""
    counted = own_trials(trials)
    left = planned - sum(t.state != TrialState.WAITING for t in counted)
    if left <= 0:
        return "settle"
    share = reserved_trials(budget, planned, sweep_start(trials))
    confirm = share.confirm * all(t.user_attrs.get(CONFIRMS) != planned for t in counted)
    if left <= confirm:
        return "confirm"
    spent = sum(bool(t.user_attrs.get(REPLICATE)) for t in counted)
    return "repeat" if left - confirm <= share.repeats - spent else "search"


class FinalTrials:
    """The last trials of one run. `advice` may be replaced before the first trial is requested."""

    def __init__(
        self,
        run_dir: Path,
        budget: Budget,
        distributions: Mapping[str, BaseDistribution],
        repeats: ReplicateSchedule,
        advice: Advisor,
    ) -> None:
        self.advice = advice
        self._run_dir, self._budget = run_dir, budget
        self._distributions, self._repeats = distributions, repeats
        self._settled: tuple[tuple[int, ...], Proposal | None] | None = None

    def raise_budget(self, budget: Budget) -> None:
        """Take a budget with more trials while the sweep runs."""
        self._budget = budget

    def planned(self, total: int) -> int:
        """Number of trials that the budget is allocated to; the rest of `total` may settle the
        answer."""
        return total if self._budget.settle is None else min(total, self._budget.trials)

    def total(self, trials: Sequence[FrozenTrial]) -> int:
        """The maximum number of trials of the run (`settling_total`)."""
        return settling_total(
            self._budget, sum(SETTLES not in t.user_attrs for t in own_trials(trials))
        )

    def near(self, count: int, total: int) -> bool:
        """Whether the next trial may be something other than search, judged by the number of trials
        alone. This avoids reading every trial, which is slow from thousands on."""
        planned = self.planned(total)
        return planned - count <= self._budget.replicate_share * planned + 2

    def kind(self, trials: Sequence[FrozenTrial], total: int) -> Kind:
        return kind_of_next(trials, self.planned(total), self._budget)

    def turn(self, trials: Sequence[FrozenTrial], total: int) -> Turn:
        """What to enqueue next.

        "search": the sampler's suggestion.
        "wait": it depends on running trials.
        "end": the answer is settled.
        """
        kind = self.kind(trials, total)
        if kind == "settle":
            return self._settling(trials)
        if kind == "confirm":
            return self._confirmation(trials, self.planned(total))
        repeat = self._repeats.next(trials) if kind == "repeat" else None
        return "search" if repeat is None else repeat

    def settled(self, trials: Sequence[FrozenTrial], total: int) -> bool:
        """Whether no trial beyond the budget is needed."""
        if any(t.state == TrialState.WAITING for t in trials):
            return False
        return self.kind(trials, total) == "settle" and self._settling(trials) == "end"

    def _confirmation(self, trials: Sequence[FrozenTrial], planned: int) -> Turn:
        """The recommendation is based on all other trials of the budget, so they must end first."""
        records = self._records()
        if _running(trials) or not records:
            return "wait"
        found = self.advice.recommend(records)
        if found is not None:
            return self._placed(found, trials, {CONFIRMS: planned})
        repeat = self._repeats.next(trials)
        return "search" if repeat is None else repeat

    def _settling(self, trials: Sequence[FrozenTrial]) -> Turn:
        running = _running(trials)
        # asked only once per state of the run: the answer may take seconds
        state = (sum(t.state.is_finished() for t in trials), *(t.number for t in running))
        if self._settled is None or self._settled[0] != state:
            records = self._records()
            if not records:
                return "wait"
            self._settled = state, self.advice.settle(records, [_pending(t) for t in running])
        found = self._settled[1]
        if found is not None:
            return self._placed(found, trials, {SETTLES: self._budget.settle})
        return "wait" if running else "end"

    def _records(self) -> tuple[TrialRecord, ...]:
        """Empty until the base model, which all trials are compared with, is measured."""
        if not result_path(self._run_dir, BASE_NUMBER).is_file():
            return ()
        return read_records(self._run_dir).records

    def _placed(
        self, found: Proposal, trials: Sequence[FrozenTrial], notes: dict[str, Any]
    ) -> EnqueuedPoint:
        """A proposal in the journal's form. Raises ValueError for an unknown trial or other
        parameters."""
        notes = {**notes, WHY: found.why}
        if found.repeats_of is not None:
            number = found.repeats_of % FURTHER  # the trial that trained it
            if not 0 <= number < len(trials):
                raise ValueError(f"a proposal repeats trial {found.repeats_of}, which is none")
            params, known = self._repeats.again(trials[number], trials)
            return params, {**known, **notes}
        if found.params.keys() != self._distributions.keys():
            raise ValueError(f"a proposal sets {', '.join(found.params)}, which is no point")
        params, known = enqueued_point("search", found.params, self._distributions)
        return params, {**known, SAMPLER_NOTES: {}, **notes}


def purpose_text(trial: FrozenTrial) -> str:
    """Why a trial was requested that was not suggested; empty for any other."""
    found = {
        CONFIRMS: "confirms the recommended recipe",
        SETTLES: "may settle the answer",
        AGAIN: "is trained again",
    }
    notes = trial.user_attrs
    said = next((text for note, text in found.items() if note in notes), "")
    return said and f"{said}: {notes[WHY]}"


def _running(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    return [t for t in trials if t.state == TrialState.RUNNING]


def _pending(trial: FrozenTrial) -> Proposal:
    """The proposal of a running trial."""
    notes = trial.user_attrs
    params = {**trial.params, **notes.get(EXACT, {})}
    return Proposal(params, notes.get(OF), notes.get(WHY, ""))
