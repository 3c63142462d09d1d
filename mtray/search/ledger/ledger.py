"""Dispatches the trials of a run. The run's study (`RunStudy`) is the only state of the search.

A trial is dispatched (`Ledger.next`), runs elsewhere, leaves a record in its folder, and is then
reported to the study (`Ledger.tell`). A record that was written but not reported before a crash is
reported on the next start; a trial without a record is dispatched again under its number.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from mtray.data.mixing import SumsOf
from mtray.run_files import BASE_NUMBER, further_number, trial_dir
from mtray.schema import ENDED_EARLY, ReasonClass, Recipe, Study, TrialRecord
from mtray.search.early_stopping.rungs import expected_values
from mtray.search.ledger.earlier_trials import EarlierTrial
from mtray.search.ledger.final_trials import FinalTrials, purpose_text
from mtray.search.ledger.imported_trials import import_trials
from mtray.search.ledger.initial_trials import EnqueuedPoint, missing_initial_trials
from mtray.search.ledger.record_files import RecordFiles
from mtray.search.ledger.replicates import ReplicateSchedule
from mtray.search.ledger.report_advisor import report_advisor
from mtray.search.ledger.run_study import RunStudy
from mtray.search.ledger.trial_attributes import (
    AGAIN,
    ATTEMPTS,
    EXACT,
    IMPORTED,
    OF,
    REPLICATE,
    ROLE,
    SAMPLER_NOTES,
    imported_trials,
    observation_of,
    own_trials,
    pruned_notes,
)
from mtray.search.ledger.trial_scratch import lost_attempt
from mtray.search.ledger.warm_start import search_seed
from mtray.search.strategy.baseline_recipes import baseline_recipes
from mtray.search.strategy.cost_aware import Observation
from mtray.search.strategy.feasible_points import search_domain
from mtray.search.strategy.suggester import Suggester, SuggestionPrefetcher
from mtray.search_space.given_recipes import given_points
from mtray.search_space.space import Space
from mtray.trial.job import Job

DONE = (TrialState.COMPLETE, TrialState.PRUNED)


class Ledger:
    """Dispatches trials and reports their results to the study. One process at a time (the run
    folder is locked)."""

    def __init__(
        self,
        run_dir: Path,
        study: Study,
        space: Space,
        taken: Sequence[EarlierTrial] = (),
        held: Mapping[str, int] | None = None,
        sums: SumsOf = lambda recipe: None,
    ) -> None:
        senses = list(study.objectives.values())
        self._run_dir, self._spec, self._space = run_dir, study, space
        self.records = RecordFiles(run_dir)
        self._distributions = space.distributions()
        self._study = RunStudy(run_dir, study, self._distributions)
        known = {t.user_attrs[IMPORTED] for t in imported_trials(self._study.trials())}
        known |= {t.user_attrs[AGAIN] for t in self._study.trials() if AGAIN in t.user_attrs}
        self._seed = search_seed(study.seed, known | {found.known_by for found in taken})
        where = search_domain(study, space, held, sums)
        self._suggester = Suggester(where, senses, study.sampler, self._seed)
        self._tell_base()
        self._ahead = SuggestionPrefetcher(self._suggester)
        self._repeats = ReplicateSchedule(run_dir, study, self._recipe)
        advice = report_advisor(run_dir, study, space, where.allowed)
        self.ending = FinalTrials(run_dir, study.budget, self._distributions, self._repeats, advice)
        references = baseline_recipes(space, study, held, sums)
        for trial in self._study.trials(*DONE):
            if observation := observation_of(trial):
                notes = trial.user_attrs.get(SAMPLER_NOTES)
                self._suggester.add(trial.number, trial.params, observation, notes)
        self.records.complete_families()
        import_trials(self._study, run_dir, space, taken, references, self.tell)
        self._take_back()
        begun = self._study.trials()
        given = given_points(space, study.budget.recipes)
        for found in missing_initial_trials(
            begun, references, where, self._seed, study.budget, given
        ):
            self._study.enqueue(*found)
        self._repeats.know(self._study.trials())

    def _take_back(self) -> None:
        """Handle trials that an earlier process left running: reported from their records, or
        enqueued again under their numbers."""
        for number in self.running_numbers():
            self.give_back(number)
        states = {t.number: t.state for t in self._study.trials()}
        lost = [number for number, state in states.items() if state != TrialState.COMPLETE]
        self.records.set_aside_orphans(self._further(lost))
        self.records.set_aside_damaged([*states, *self._further(states)])
        self.records.forget_failed_base()

    def _further(self, numbers: Iterable[int]) -> list[int]:
        """The numbers of the further points of trials."""
        count = self._spec.evaluation.further_points
        return [further_number(n, place) for n in numbers for place in range(count)]

    def further_records(self, number: int) -> list[TrialRecord]:
        """The records of the further points of a trial's training."""
        return self.records.readable(self._further([number] * (number >= 0)))

    def running_numbers(self) -> list[int]:
        return [t.number for t in self._study.trials(TrialState.RUNNING)]

    @property
    def study(self) -> Study:
        return self._spec

    def give_back(self, number: int) -> None:
        """A trial that was running when the sweep was stopped: reported from its record, or
        enqueued again."""
        if self.records.read(number) is None:
            self.release(number)
        else:
            self.tell(number)

    def lose(self, number: int, reason_class: ReasonClass, reason: str) -> bool:
        """A trial whose process was lost without a record: enqueued again under its number. False
        if it was lost too often; the journal keeps the count across restarts."""
        trial = self._study.trial(number)
        attempts = trial.user_attrs.get(ATTEMPTS, [])
        lost = lost_attempt(trial_dir(self._run_dir, number), reason_class, reason, attempts)
        if lost is None:
            return False
        self._study.note(trial, {ATTEMPTS: [*attempts, lost]})
        self.release(number)
        return True

    def release(self, number: int) -> None:
        """Release a trial unfinished; the next start dispatches it again as it was."""
        trial = self._study.trial(number)
        if trial.state == TrialState.RUNNING:
            self._study.requeue(trial)
            self._suggester.drop(number)

    @property
    def finished(self) -> int:
        return sum(t.state.is_finished() for t in own_trials(self._study.trials()))

    @property
    def completed(self) -> int:
        return sum(t.state == TrialState.COMPLETE for t in own_trials(self._study.trials()))

    @property
    def running(self) -> int:
        return len(self.running_numbers())

    @property
    def taken_over(self) -> int:
        """Number of trials imported from earlier runs."""
        return len(imported_trials(self._study.trials()))

    def all_failed(self, at_least: int) -> bool:
        """Whether at least `at_least` trials have ended and all of them failed."""
        states = [t.state for t in own_trials(self._study.trials()) if t.state.is_finished()]
        return len(states) >= at_least and not set(DONE) & set(states)

    def purpose(self, number: int) -> str:
        """See `purpose_text`; empty for the base model."""
        return "" if number == BASE_NUMBER else purpose_text(self._study.trial(number))

    def needs_base(self) -> bool:
        return self.records.lacks_base()

    @property
    def total(self) -> int:
        """The maximum number of trials of the run."""
        return self.ending.total(self._study.trials())

    def exhausted(self, total: int) -> bool:
        """Whether `total` trials are finished or running, or the answer is settled."""
        if self._study.count < self.ending.planned(total):
            return False  # avoids reading every trial
        return self.finished + self.running >= total or self.ending.settled(
            self._study.trials(), total
        )

    def next(self, total: int, wait: bool = True) -> Job | None:
        """The next trial to run. None if the ledger is `exhausted`, if the choice depends on
        running trials, or, unless `wait`, if the suggestion is still being computed."""
        if self.exhausted(total):
            return None
        if not self._study.waiting:
            found = self._turn(total, wait)
            if found is None:
                return None
            self._study.enqueue(*found)
        trial = self._study.take()
        notes = trial.user_attrs.get(SAMPLER_NOTES)
        self._suggester.add(trial.number, trial.params, attributes=notes)
        return self._job(trial)

    def _turn(self, total: int, wait: bool) -> EnqueuedPoint | None:
        """The point to enqueue next; None if it is not known yet."""
        near = self.ending.near(self._study.count, total)
        turn = self.ending.turn(self._study.trials(), total) if near else "search"
        if turn == "search":
            found = self._ahead.take(self._study.count, wait)
            return None if found is None else (found[0], {ROLE: "search", SAMPLER_NOTES: found[1]})
        return None if isinstance(turn, str) else turn

    def _job(self, trial: FrozenTrial) -> Job:
        """The job of a trial. A suggestion that equals an earlier recipe becomes a replicate
        of it."""
        known = self._repeats.repeated(trial, self._study.trials())
        self._study.note(trial, known)
        found = {**trial.user_attrs, **known}
        return Job(
            trial.number, found.get(ROLE, "search"), self._recipe(trial),
            self._spec.seed + found.get(REPLICATE, 0), attempts=tuple(found.get(ATTEMPTS, ())),
            replicate=found.get(REPLICATE, 0), of=found.get(OF),
        )  # fmt: skip

    def _recipe(self, trial: FrozenTrial) -> Recipe:
        return self._space.recipe({**trial.params, **trial.user_attrs.get(EXACT, {})})

    def look_ahead(self, total: int) -> None:
        """Start computing the next suggestion while trials run, so that no worker waits for it. It
        does not use results that arrive in the meantime."""
        if self._study.waiting or self.exhausted(total):
            return
        near = self.ending.near(self._study.count, total)
        if near and self.ending.kind(self._study.trials(), total) != "search":
            return
        self._ahead.refresh(self._study.count)

    def tell(
        self, number: int, reason: str = "the trial ended without a record"
    ) -> TrialRecord | None:
        """Report a trial's record to the study. A failure is reported as such, never as a value."""
        if number == BASE_NUMBER:
            self._tell_base()
            return None
        trial = self._study.trial(number)
        if trial.state.is_finished():
            return None
        self.records.complete_family(number)
        record = self.records.read(number)
        if record is not None and record.state in ENDED_EARLY:
            self._tell_pruned(record)
            return record
        if record is not None and record.objectives:
            self._tell_measured(trial, record)
            return record
        notes: dict[str, Any] = {"reason": reason}
        if record is not None:
            notes = {name: getattr(record, name) for name in ("reason", "state", "reason_class")}
        self._study.tell_without_values(trial, TrialState.FAIL, notes)
        self._suggester.drop(number)
        return record

    def _tell_base(self) -> None:
        """The units of a preference depend on the base model."""
        record, names = self.records.read(BASE_NUMBER), list(self._spec.objectives)
        if record is not None and record.objectives.keys() >= set(names):
            self._suggester.tell_base([record.objectives[name].value for name in names])

    def _tell_measured(self, trial: FrozenTrial, record: TrialRecord) -> None:
        """Complete, or infeasible by a constraint: the sampler uses both."""
        values = [record.objectives[name].value for name in self._spec.objectives]
        cost = record.undisturbed_seconds * self._spec.resources.devices
        observation = Observation(values, cost, record.constraints, record.role != "search")
        self._study.tell_measured(trial, observation)
        self._suggester.add(trial.number, trial.params, observation)

    def _tell_pruned(self, record: TrialRecord) -> None:
        """A pruned trial has no values, which could put it on the front. Its curve is stored as a
        note, and the sampler gets an extrapolated value that keeps it from suggesting the recipe
        again."""
        trial = self._study.trial(record.number)
        # a trial that still runs has no record yet
        others = self.records.readable(record.rungs[-1].dominated_by if record.rungs else ())
        guess = expected_values(record, others, self._spec.objectives)
        expected = None
        if guess is None:
            self._suggester.drop(record.number)
        else:
            expected = [guess[name] for name in self._spec.objectives]
            # its cost at full length is unknown
            self._suggester.add(record.number, trial.params, Observation(expected))
        notes = pruned_notes(record, expected)
        self._study.tell_without_values(trial, TrialState.PRUNED, notes)
