"""Imports finished trials of earlier runs that fit this one (`--from RUN`).

A trial fits if both studies agree on what a model is trained on and how, and its recipe lies in the
new space or equals a baseline of the new run. It is then copied
(`mtray.search.ledger.imported_trials`). Where the new study measures something else, it is measured
anew first (`mtray.search.ledger.new_measurements`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mtray.data.draw_comparison import source_difference
from mtray.data.filters import looks_for_leakage
from mtray.data.recipe_tables import held_rows, rendered_tables
from mtray.data.store import sums_by_recipe
from mtray.data.tables import Table
from mtray.errors import ConfigError, RunError
from mtray.report.bootstrap_draws import draws_of
from mtray.report.recomputed_trials import RecomputedTrial, recompute
from mtray.report.records import read_records
from mtray.run_files import BASE_NUMBER, STUDY_FILE
from mtray.schema import Recipe, Role, Study, TrialRecord
from mtray.search.ledger.earlier_recipes import mix_difference, recipe_here, set_by_recipes
from mtray.search.ledger.earlier_trials import EarlierRun, EarlierTrial, digest
from mtray.search.ledger.new_measurements import measured_otherwise
from mtray.search.ledger.run_folder import BoundStudy, read_bound
from mtray.search.ledger.study_changes import (
    TAKEN_OVER,
    StudyChange,
    change_lines,
    content,
    is_beyond,
    study_changes,
    text_changes,
)
from mtray.search.strategy.baseline_recipes import baseline_recipes
from mtray.search_space.parameters import holds, shown
from mtray.search_space.space import Space

Recomputed = Callable[[TrialRecord], RecomputedTrial]


def find_run(text: str, runs: Path) -> Path:
    """The folder of a run by its path, or by its name under `runs`. Raises RunError if there is
    none."""
    for folder in (Path(text), runs / text):
        if (folder / STUDY_FILE).is_file():
            return folder.absolute()
    known = sorted(path.parent.name for path in runs.glob(f"*/{STUDY_FILE}"))
    raise RunError(
        f"--from {text}: no such run (no {STUDY_FILE} in {text} or {runs / text}); "
        f"runs in {runs}: {', '.join(known) or 'none'}"
    )


def earlier_runs(
    texts: Sequence[str], runs: Path, name: str, bound: BoundStudy
) -> list[EarlierRun]:
    """Every run that `--from` names, checked against the run `name`. Raises RunError for one that
    does not exist or does not fit at all, ConfigError for the run itself."""
    found = [find_run(text, runs) for text in texts]
    for text, run_dir in zip(texts, found, strict=True):
        if run_dir.resolve() == (runs / name).resolve():
            raise ConfigError(f"--from {text}: this is the run itself; name another with --name")
    return [earlier_run(run_dir, bound) for run_dir in dict.fromkeys(found)]


def inheriting(texts: Sequence[str], runs: Path, run_dir: Path, bound: BoundStudy) -> BoundStudy:
    """What a new run that imports trials is bound to: its leakage check uses the texts of the first
    run that `--from` names, so that the imported trials' data are valid here too."""
    if not texts or (run_dir / STUDY_FILE).is_file():
        return bound
    return replace(bound, evaluation=read_bound(find_run(texts[0], runs)).evaluation)


def earlier_run(run_dir: Path, bound: BoundStudy) -> EarlierRun:
    """Which trials of a run fit one that is bound to `bound`. Raises RunError, naming every key
    that differs, if its study asks another question."""
    old, space, records = read_bound(run_dir), bound.space, read_records(run_dir)
    changes = _check_question(run_dir, old, bound)
    anew = measured_otherwise(run_dir, changes, records.records, bound.study)
    base = next((r for r in records.records if r.number == BASE_NUMBER), None)
    draws = draws_of(run_dir)

    def under_this_study(record: TrialRecord) -> RecomputedTrial:
        return recompute(record, old.study, bound.study, draws, base)

    recomputed = None if anew else under_this_study
    taken: list[EarlierTrial] = []
    outside: list[tuple[EarlierTrial, str]] = []
    left_out = [f"{damaged.path.parent.name}: {damaged.reason}" for damaged in records.damaged]
    for record in records.records:
        if record.number == BASE_NUMBER or record.trained_as is not None:
            continue  # every run measures the base model itself
        try:
            family = [record, *(r for r in records.records if r.trained_as == record.number)]
            found = _as_here(family, run_dir, old.study, bound, recomputed)
        except RunError as error:
            left_out.append(f"trial {record.number}: {error}")
            continue
        if not _is_measured(found.record, bool(anew)):
            left_out.append(f"trial {record.number}: {found.record.state}, not complete")
        elif (reason := _misfit(found.record.recipe, space)) is None:
            taken.append(found)
        elif record.role == "search":
            left_out.append(f"trial {record.number}: {reason}")
        else:
            outside.append((found, reason))
    return EarlierRun(
        run_dir, tuple(taken), tuple(left_out), tuple(outside), before=old.study, anew=anew
    )


def _is_measured(record: TrialRecord, anew: bool) -> bool:
    """Whether a trial has values for this run. Whether one that broke a constraint still does is
    known once it is measured anew."""
    return record.state == "complete" or (anew and record.state == "infeasible")


def _as_here(
    family: Sequence[TrialRecord],
    run_dir: Path,
    before: Study,
    bound: BoundStudy,
    recomputed: Recomputed | None,
) -> EarlierTrial:
    """A trial, with the further points of its training, under this run's study; without
    `recomputed` as recorded, to be measured anew. Raises RunError if its mix would differ or its
    scores do not suffice."""
    record, now = family[0], bound.study
    if reason := mix_difference(record.recipe, before, now, bound.space):
        raise RunError(reason)

    def _rewritten(trial: RecomputedTrial) -> RecomputedTrial:
        recipe = recipe_here(trial.record.recipe, before, now, bound.space)
        return replace(trial, record=trial.record.model_copy(update={"recipe": recipe}))

    trial, *reverted = (_rewritten((recomputed or RecomputedTrial)(r)) for r in family)
    params = bound.space.params(trial.record.recipe)
    asked = None if recomputed else dict[str, int]()
    return EarlierTrial(trial, run_dir, params, digest(record), tuple(reverted), asked)


def checked_against_data(
    survey: EarlierRun, study: Study, space: Space, store: Mapping[str, Table]
) -> EarlierRun:
    """The survey once this run's sources are read, which defines its baselines: equal baselines of
    the earlier run are added, and trials trained on other data are removed."""
    held = held_rows(store, space.values("max_length"))
    references = baseline_recipes(space, study, held, sums_by_recipe(study, store))
    baselines = {role: space.recipe(params) for role, params in references.items()}
    left_out, taken = list(survey.left_out), []
    reasons = {found.record.number: reason for found, reason in survey.outside}
    both = [*survey.taken, *(found for found, _ in survey.outside)]
    for found in sorted(both, key=lambda found: found.record.number):
        record = found.record
        reason = _other_data(record, study, store)
        if reason is None and record.number in reasons:
            reason = _other_baseline(record, baselines, reasons[record.number])
        if reason is None:
            taken.append(found)
        else:
            left_out.append(f"trial {record.number}: {reason}")
    return replace(survey, taken=tuple(taken), left_out=tuple(left_out), outside=())


def _other_data(record: TrialRecord, study: Study, store: Mapping[str, Table]) -> str | None:
    """Why a trial was trained on other data than this run's, as far as its record shows."""
    try:
        found = source_difference(record.mix, rendered_tables(record.recipe, store, study))
    except ConfigError as error:  # a rendering that no recipe of this run's space has
        return str(error)
    if found is None:
        return None
    return (
        f"source {found.source} held {found.recorded:,} examples there and holds {found.now:,} here"
    )


def _other_baseline(
    record: TrialRecord, baselines: Mapping[Role, Recipe], reason: str
) -> str | None:
    """Why a baseline outside the space is not one of this run; None if it is."""
    here = baselines.get(record.role)
    if here is None:
        return f"{reason}, and this run has no baseline {record.role}"
    for name in _names(record.recipe, here):
        was, now = record.recipe.value(name), here.value(name)
        if was != now:
            words = f"{name} {shown(was)} there and {shown(now)} here"
            return f"{reason}, and the baseline {record.role} has {words}"
    return None


def _check_question(run_dir: Path, old: BoundStudy, new: BoundStudy) -> tuple[StudyChange, ...]:
    """The changes of the study. Raises RunError if no trial can fit."""
    found = study_changes(content(old.study), content(new.study))
    changes = tuple(c for c in found if not set_by_recipes(c.key, new.space))
    if is_beyond(changes, TAKEN_OVER):
        raise RunError(
            f"--from {run_dir}: none of its trials fits, since that run has"
            f"{change_lines(changes)}\n"
            "restore the old values, or leave out --from to train anew"
        )
    if not looks_for_leakage(new.study):
        return changes
    if others := text_changes(old.evaluation, new.evaluation):
        raise RunError(
            f"--from {run_dir}: when that run was started, leakage was checked against other "
            f"texts, so none of its trials fits; there{change_lines(others)}\n"
            "give the same command a new --name, with --from only for runs that were started with "
            "the same evaluation sets"
        )
    return changes


def _misfit(recipe: Recipe, space: Space) -> str | None:
    """Why a recipe is not in `space`; None if it is."""
    recipe = space.written_out(recipe)
    params = space.params(recipe)
    for name, parameter in space.parameters.items():
        if not holds(parameter.distribution(), params[name]):
            return f"{name} {shown(params[name])} is not within {parameter.text()}"
    here = space.recipe(params)
    for name in _names(recipe, here):
        if here.value(name) != recipe.value(name):
            return f"{name} is {recipe.value(name)!r}, here fixed to {here.value(name)!r}"
    return None


def _names(*recipes: Recipe) -> list[str]:
    """The names of all parameters that the recipes may have."""
    others = (name for recipe in recipes for name in recipe.model_extra or {})
    return list(dict.fromkeys([*Recipe.model_fields, *others]))


def search_seed(seed: int, known: Iterable[str]) -> int:
    """The search's seed. With trials of earlier runs (`known`) it changes, because the same seed
    would suggest the same points again."""
    told = sorted(set(known))
    if not told:
        return seed
    digest = hashlib.sha256("".join(told).encode()).digest()
    return seed + 1 + int.from_bytes(digest[:4], "big") % 100_000
