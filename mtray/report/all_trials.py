"""Every complete trial of a run, one by one, without averaging over seeds as the front does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mtray.errors import RunError
from mtray.report.abilities import ability_measures
from mtray.report.compare import recipe_name
from mtray.report.differences import Difference
from mtray.report.displayed_scores import DisplayedScore, shown_difference, shown_score
from mtray.report.groups import Draws, complete_trials, group_trials, measured, no_draws
from mtray.report.paired_differences import reference_note, reference_number, trial_differences
from mtray.report.parameters import Parameters, parameter_text, parameters
from mtray.report.printing import EMPTY, Sheet
from mtray.report.tables import shown_text, varied_parameters
from mtray.report.units import in_points
from mtray.run_files import trial_name
from mtray.schema import Frozen, Role, Score, TrialRecord


class Trial(Frozen):
    """One complete trial.

    - `of`, `trained_as`: the trial that it repeats, and the one whose weights it has.
    - `scores`: the objectives, and the retention of every ability (`retention.<ability>`).
    - `differences`: the scores minus the reference's, in the measure's own unit; the intervals
      cover segments and seeds. Empty without a reference.
    """

    number: int
    role: Role
    of: int | None
    trained_as: int | None
    seed: int
    recipe: Parameters
    scores: dict[str, Score]
    differences: dict[str, Difference]


class AllTrials(Frozen):
    """All complete trials of a run.

    - `reference`: the recipe, averaged over its seeds, that differences are relative to; None:
      values are shown as they are.
    - `objectives`, `abilities`: names of `scores`.
    """

    study: str
    reference: int | None
    reference_role: Role | None
    objectives: tuple[str, ...]
    abilities: tuple[str, ...]
    trials: tuple[Trial, ...]
    notes: tuple[str, ...]


def all_trials(
    records: Sequence[TrialRecord],
    study: Any,
    run_dir: Path,
    draws: Draws = no_draws,
    against: str | None = None,
) -> AllTrials:
    """Raises RunError if no trial is complete, ConfigError if no recipe is called `against`."""
    complete = complete_trials(records)
    if not complete:
        raise RunError(f"{run_dir}: no trial is complete yet; `status` shows their progress")
    groups = group_trials(complete)
    reference = reference_number(groups, against)
    objectives, abilities = tuple(study.objectives), _abilities(complete)
    names = [*objectives, *(name for name in abilities if name not in objectives)]
    apart: dict[str, dict[int, Difference]] = {}
    if reference is not None:
        differences = trial_differences(groups, reference, draws)
        apart = {name: differences(name) for name in names}
    role = next((t.role for t in complete if t.number == reference), None)
    return AllTrials(
        study=study.name, reference=reference, reference_role=role, objectives=objectives,
        abilities=abilities, trials=tuple(_trial(t, names, apart) for t in complete),
        notes=reference_note(groups, reference),
    )  # fmt: skip


def _abilities(records: Sequence[TrialRecord]) -> tuple[str, ...]:
    """The names of the retention of every ability that some trial has."""
    return ability_measures(dict.fromkeys(name for record in records for name in record.scores))


def _trial(
    record: TrialRecord, names: Sequence[str], apart: dict[str, dict[int, Difference]]
) -> Trial:
    known = measured(record)
    return Trial(
        number=record.number, role=record.role, of=record.of, trained_as=record.trained_as,
        seed=record.seed, recipe=parameters(record.recipe),
        scores={name: known[name] for name in names if name in known},
        differences={n: apart[n][record.number] for n in apart if record.number in apart[n]},
    )  # fmt: skip


def trials_sheet(found: AllTrials, show: Callable[[DisplayedScore], str] = shown_text) -> Sheet:
    """A row for each trial: its number, role and seed, its objectives, abilities and recipe."""
    varied = varied_parameters([trial.recipe for trial in found.trials])
    abilities = [name for name in found.abilities if name not in found.objectives]
    measures = [*found.objectives, *abilities]
    head = ["number", "role", "repeats", "seed", *measures, *varied]
    rows = [
        [
            trial_name(trial.number),
            trial.role,
            _repeats(trial),
            str(trial.seed),
            *(_cell(found, trial, name, show) for name in measures),
            *(parameter_text(trial.recipe.get(name)) for name in varied),
        ]
        for trial in found.trials
    ]
    return Sheet(
        head,
        rows,
        title=f"{found.study}: {len(rows)} complete trials",
        left=frozenset({"role"}),
        named=2,
        blocks=(2, len(found.objectives), len(abilities)),
        styles=["" if trial.role == "search" else "dim" for trial in found.trials],
    )


def _repeats(trial: Trial) -> str:
    """The trial whose recipe this one repeats, or whose weights it has."""
    if trial.trained_as is not None:
        return f"weights of {trial.trained_as}"
    return EMPTY if trial.of is None else str(trial.of)


def _cell(found: AllTrials, trial: Trial, name: str, show: Callable[[DisplayedScore], str]) -> str:
    if name not in trial.scores:
        return EMPTY
    if found.reference in (None, trial.number):
        return show(shown_score(trial.scores[name], _points(found, name)))
    gap = trial.differences.get(name)
    return EMPTY if gap is None else show(shown_difference(gap, _points(found, name)))


def _points(found: AllTrials, name: str) -> bool:
    return in_points(trial.scores[name] for trial in found.trials if name in trial.scores)


def trials_lines(found: AllTrials) -> list[str]:
    """Lines that explain the table."""
    lines = ["retention.<ability>: share of the ability that is kept."] * bool(found.abilities)
    if found.reference is None or found.reference_role is None:
        lines.append("95 % intervals cover the segments only, not the seeds.")
    else:
        name = recipe_name(found.reference_role, found.reference)
        lines.append(
            f"Differences to: {name}, whose row shows its own values (--absolute: every row). "
            "95 % intervals cover the segments and the seeds."
        )
    return lines + [f"note: {note}" for note in found.notes]
