"""What the reports of papers read from finished runs, and the parts of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mtray.errors import RunError
from mtray.papers.preset import Preset, Scale
from mtray.report.bootstrap_draws import draws_of
from mtray.report.differences import Array, Difference, Joint, joint
from mtray.report.evidence import Evidence, evidence
from mtray.report.groups import Draws, Group, complete_trials, group_trials, measured
from mtray.report.paired_differences import Differences, all_differences
from mtray.report.printing import EMPTY, Sheet
from mtray.report.records import read_records
from mtray.report.seed_means import mean_records
from mtray.run_files import BASE_NUMBER
from mtray.schema import Recipe, Score, Study, TrialRecord
from mtray.search.ledger.run_folder import load_bound
from mtray.search_space.space import Space


@dataclass(frozen=True)
class RunResults:
    """One run: its recipes, each with the mean over its seeds.

    - `records`: every complete trial, and the base model.
    """

    folder: Path
    study: Study
    space: Space
    records: tuple[TrialRecord, ...]
    draws: Draws

    @cached_property
    def groups(self) -> list[Group]:
        return group_trials(self.records)

    @cached_property
    def means(self) -> list[TrialRecord]:
        """A record for each recipe, whose intervals cover the segments and the seeds."""
        return mean_records(self.groups, self.draws)

    @property
    def base(self) -> TrialRecord:
        """The untouched base model."""
        return next(r for r in self.means if r.number == BASE_NUMBER)

    @property
    def recipes(self) -> list[TrialRecord]:
        """The mean records without the base model's."""
        return [r for r in self.means if r.number != BASE_NUMBER]

    def where(self, **values: Any) -> list[TrialRecord]:
        """The recipes that have these values of parameters."""
        return [r for r in self.recipes if all(r.recipe.value(k) == v for k, v in values.items())]

    def seeds(self, record: TrialRecord) -> tuple[TrialRecord, ...]:
        """The trainings behind a mean record."""
        return next(g.seeds for g in self.groups if g.original.number == record.number)

    @cached_property
    def _gains(self) -> dict[int, Differences]:
        together = joint(self.groups, list(self.study.objectives), self.draws)
        return all_differences(self.groups, together, [BASE_NUMBER], self.draws)

    def gain(self, record: TrialRecord, name: str) -> Difference | None:
        """A recipe's difference from the base model, paired; None where it is not measured."""
        return self._gains[record.number][BASE_NUMBER].get(name)

    def difference(self, a: TrialRecord, b: TrialRecord, name: str) -> Difference | None:
        """The paired difference of two recipes; None where one of them lacks the measure."""
        found = self._joint(name)
        if found is None or not {a.number, b.number} <= {*found.numbers}:
            return None
        return found.difference(a.number, b.number, name)

    def gains(self, records: Sequence[TrialRecord], name: str) -> tuple[Array, Array]:
        """The differences of recipes to the base model, shape (k,), and draws of their errors,
        shape (draws, k). Raises KeyError where one lacks the measure."""
        gains, errors = self.joint_gains(records, [name])
        return gains[:, 0], errors[:, :, 0]

    def joint_gains(
        self, records: Sequence[TrialRecord], names: Sequence[str]
    ) -> tuple[Array, Array]:
        """The same in several measures: shapes (k, m) and (draws, k, m)."""
        found = self._joint(*names)
        place = {} if found is None else {number: i for i, number in enumerate(found.numbers)}
        rows, base = [place[r.number] for r in records], place[BASE_NUMBER]
        assert found is not None
        return (
            found.values[rows] - found.values[base],
            found.errors[:, rows] - found.errors[:, [base]],
        )

    def _joint(self, *names: str) -> Joint | None:
        """The joint errors of all recipes that have these measures; None without any."""
        having = [g for g in self.groups if all(n in measured(t) for t in g.trials for n in names)]
        return joint(having, list(names), self.draws) if having else None

    def evidence(self) -> Evidence:
        return evidence(self.records, list(self.study.objectives), self.draws, self.folder)


@dataclass(frozen=True)
class PaperResults:
    """All finished runs of a preset at one scale, by their names within it."""

    preset: Preset
    scale: Scale
    runs: Mapping[str, RunResults]


@dataclass(frozen=True)
class Report:
    """What `mtray paper` prints and writes.

    - `parts`: tables and paragraphs in their order.
    - `figures`: PNG files by name.
    """

    parts: Sequence[Sheet | str]
    figures: Mapping[str, bytes] = field(default_factory=dict)


def read_run(folder: Path) -> RunResults:
    """Raises RunError where the run has no measured base model, or no complete trial, yet."""
    study, space = load_bound(folder)
    records = tuple(complete_trials(read_records(folder).sound()))
    numbers = {record.number for record in records}
    if BASE_NUMBER not in numbers or len(numbers) < 2:
        raise RunError(f"{folder}: the base model and one recipe must be measured first")
    return RunResults(folder, study, space, records, draws_of(folder))


def of(record: TrialRecord, name: str) -> Score | None:
    """A score or objective by name."""
    return measured(record).get(name)


def value_text(score: Score | None, digits: int = 3) -> str:
    return f"{score.value:.{digits}f}" if score else EMPTY


def score_text(score: Score | None, digits: int = 3) -> str:
    """For example `0.571 [0.545, 0.597]`."""
    if score is None:
        return EMPTY
    return f"{score.value:.{digits}f} [{score.low:.{digits}f}, {score.high:.{digits}f}]"


def recipe_text(recipe: Recipe) -> str:
    """For example `4096 pairs, mono 1:1`."""
    text = f"{recipe.parallel_size:,} pairs"
    return f"{text}, mono {recipe.mono_ratio:g}:1" if recipe.mono_ratio else text


def difference_text(found: Difference | None, digits: int = 3) -> str:
    """For example `-0.054 [-0.071, -0.038]`, with `*` where the interval is on one side of 0."""
    if found is None:
        return "-"
    mark = " *" if found.low > 0 or found.high < 0 else ""
    return f"{found.gap:+.{digits}f} [{found.low:+.{digits}f}, {found.high:+.{digits}f}]{mark}"
