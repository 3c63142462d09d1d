"""Finished trials of earlier runs, as far as they fit: what `--from RUN` takes over.

A trial is as good as one of this run when both studies ask the same question (model, sources,
evaluation, objectives, training) and its recipe lies in the new space, or is that of one of the
new run's baselines. It is then copied (`mtray.search.taking_over`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtray.data.filters import looks_for_leakage
from mtray.data.repeated import source_difference
from mtray.data.store import sums_by_recipe
from mtray.data.tables import Table
from mtray.errors import ConfigError, RunError
from mtray.parameters import shown
from mtray.report.records import BASE_NUMBER, read_records
from mtray.schema import Recipe, Role, Study, TrialRecord
from mtray.search.changes import (
    Need,
    change_lines,
    content,
    is_beyond,
    study_changes,
    text_changes,
)
from mtray.search.references import reference_recipes
from mtray.search.run_folder import STUDY_FILE, Bound, read_bound
from mtray.search.samplers import holds
from mtray.space import Space


@dataclass(frozen=True)
class Taken:
    """A trial that fits: its record as it was, the run it is in, its parameters here, and what it
    was at other alphas."""

    record: TrialRecord
    run_dir: Path
    params: dict[str, Any]
    reverted: tuple[TrialRecord, ...] = ()

    @property
    def known_by(self) -> str:
        """The same for a trial and all its copies, different for all others."""
        own = {"number", "role", "of", "trained_as", "taken_from", "extra"}
        # without defaults, so that a field which is new to records changes no name
        text = self.record.model_dump_json(exclude=own, exclude_defaults=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Survey:
    """What of an earlier run fits, and why the rest does not, trial by trial. `outside`: baselines
    outside the space, and what makes them so; they fit where this run has the same (`settled`)."""

    run_dir: Path
    taken: tuple[Taken, ...]
    left_out: tuple[str, ...]
    outside: tuple[tuple[Taken, str], ...] = ()

    def lines(self) -> list[str]:
        whole = len(self.taken) + len(self.left_out) + len(self.outside)
        head = (
            f"--from {self.run_dir}: {len(self.taken)} of {whole} trials fit; the base model is "
            "measured anew"
        )
        return [head, *(f"  left out: {reason}" for reason in self.left_out)]


def find_run(text: str, runs: Path) -> Path:
    """The folder of a run by its path, or by its name under `runs`. RunError when there is none."""
    for folder in (Path(text), runs / text):
        if (folder / STUDY_FILE).is_file():
            return folder.absolute()
    known = sorted(path.parent.name for path in runs.glob(f"*/{STUDY_FILE}"))
    raise RunError(
        f"--from {text}: no such run (no {STUDY_FILE} in {text} or {runs / text}); "
        f"runs in {runs}: {', '.join(known) or 'none'}"
    )


def surveys(texts: Sequence[str], runs: Path, name: str, bound: Bound) -> list[Survey]:
    """Every run that `--from` names, looked through for the run `name`. RunError for one that is
    not there or does not fit at all; ConfigError for the run itself."""
    found = [find_run(text, runs) for text in texts]
    for text, run_dir in zip(texts, found, strict=True):
        if run_dir.resolve() == (runs / name).resolve():
            raise ConfigError(f"--from {text}: this is the run itself; name another with --name")
    return [survey(run_dir, bound) for run_dir in dict.fromkeys(found)]


def survey(run_dir: Path, bound: Bound) -> Survey:
    """Which trials of a run fit one that is bound so. RunError when its study asks another
    question, naming every key that differs."""
    _check_question(run_dir, read_bound(run_dir), bound)
    space, records = bound.space, read_records(run_dir)
    taken: list[Taken] = []
    outside: list[tuple[Taken, str]] = []
    left_out = [f"{damaged.path.parent.name}: {damaged.reason}" for damaged in records.damaged]
    for record in records.records:
        if record.number == BASE_NUMBER or record.trained_as is not None:
            continue  # every run measures the untouched model itself
        params = {name: getattr(record.recipe, name) for name in space.parameters}
        reverted = tuple(r for r in records.records if r.trained_as == record.number)
        found = Taken(record, run_dir, params, reverted)
        if record.state != "complete":
            left_out.append(f"trial {record.number}: {record.state}, not complete")
        elif (reason := _misfit(record.recipe, space)) is None:
            taken.append(found)
        elif record.role == "search":
            left_out.append(f"trial {record.number}: {reason}")
        else:
            outside.append((found, reason))
    return Survey(run_dir, tuple(taken), tuple(left_out), tuple(outside))


def settled(survey: Survey, study: Study, space: Space, store: Mapping[str, Table]) -> Survey:
    """The survey once this run's sources are read, and with them its baselines known: those of the
    earlier run that are the same come along, and what was trained on other data does not."""
    held = {name: len(table) for name, table in store.items()}
    references = reference_recipes(space, study, held, sums_by_recipe(study, store))
    baselines = {role: space.recipe(params) for role, params in references.items()}
    left_out, taken = list(survey.left_out), []
    reasons = {found.record.number: reason for found, reason in survey.outside}
    both = [*survey.taken, *(found for found, _ in survey.outside)]
    for found in sorted(both, key=lambda found: found.record.number):
        record = found.record
        reason = _other_data(record, store)
        if reason is None and record.number in reasons:
            reason = _other_baseline(record, baselines, reasons[record.number])
        if reason is None:
            taken.append(found)
        else:
            left_out.append(f"trial {record.number}: {reason}")
    return Survey(survey.run_dir, tuple(taken), tuple(left_out))


def _other_data(record: TrialRecord, store: Mapping[str, Table]) -> str | None:
    """Why a trial was trained on other data than this run's, as far as its record tells."""
    found = source_difference(record.mix, store)
    if found is None:
        return None
    return (
        f"source {found.source} held {found.recorded:,} examples there and holds {found.now:,} here"
    )


def _other_baseline(
    record: TrialRecord, baselines: Mapping[Role, Recipe], reason: str
) -> str | None:
    """Why a baseline outside the space is none of this run's; None when it is one."""
    here = baselines.get(record.role)
    if here is None:
        return f"{reason}, and this run has no baseline {record.role}"
    for name in Recipe.model_fields:
        was, now = getattr(record.recipe, name), getattr(here, name)
        if was != now:
            words = f"{name} {shown(was)} there and {shown(now)} here"
            return f"{reason}, and the baseline {record.role} has {words}"
    return None


def _check_question(run_dir: Path, old: Bound, new: Bound) -> None:
    ordered = old.study.objectives == new.study.objectives and {"objectives": old.study.objectives}
    now = new.study.model_copy(update=ordered or {})
    changes = study_changes(content(old.study), content(now))
    if is_beyond(changes, (Need.NOTHING, Need.SEARCH)):
        raise RunError(
            f"--from {run_dir}: none of its trials fits, since that run has"
            f"{change_lines(changes)}\n"
            "go back to the old values, or leave out --from, which trains anew"
        )
    if not looks_for_leakage(new.study):
        return
    if changes := text_changes(old.evaluation, new.evaluation):
        raise RunError(
            f"--from {run_dir}: leakage was looked for in other texts when that run was bound, so "
            f"none of its trials fits; there{change_lines(changes)}\n"
            "give --from runs that were bound with the same evaluation sets, to a --name that is "
            "new"
        )


def _misfit(recipe: Recipe, space: Space) -> str | None:
    """Why a recipe is none of `space`; None when it is one."""
    distributions = space.distributions()
    for name, parameter in space.parameters.items():
        value = getattr(recipe, name)
        if not holds(distributions[name], value):
            return f"{name} {shown(value)} is not within {parameter.text()}"
    params = {name: getattr(recipe, name) for name in space.parameters}
    here = space.recipe(params)
    for name in Recipe.model_fields:
        if getattr(here, name) != getattr(recipe, name):
            return f"{name} is {getattr(recipe, name)!r}, here fixed to {getattr(here, name)!r}"
    return None


def search_seed(seed: int, known: Iterable[str]) -> int:
    """The search's seed where trials of earlier runs are `known`: another one, since the same would
    suggest the same again."""
    told = sorted(set(known))
    if not told:
        return seed
    digest = hashlib.sha256("".join(told).encode()).digest()
    return seed + 1 + int.from_bytes(digest[:4], "big") % 100_000
