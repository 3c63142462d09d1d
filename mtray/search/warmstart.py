"""Finished trials of earlier runs, as far as they fit: what `--from RUN` takes over.

A trial is as good as one of this run when both studies ask the same question (model, sources,
evaluation, objectives, training) and its recipe lies in the new space. It is then copied, record
and draws, under a number of this run, so that everything that reads a run reads it too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mtray.errors import ConfigError, RunError
from mtray.evaluation.outputs import OUTPUTS_FILE
from mtray.files import write_atomically
from mtray.parameters import shown
from mtray.report.draws import DRAWS_FILE
from mtray.report.records import (
    BASE_NUMBER,
    REVERTED,
    read_records,
    trial_dir,
    write_record,
)
from mtray.schema import Origin, Recipe, Role, Study, TrialRecord
from mtray.search.notes import OF, REPLICATE, ROLE, TAKEN
from mtray.search.run_folder import STUDY_FILE, first_difference, load_bound
from mtray.search.samplers import holds
from mtray.space import Space

# how a study searches and is called, and not what its trials measure
ANY = ("name", "seed", "sampler", "budget", "resources", "defaults", "early_stopping")
BESIDE = (DRAWS_FILE, OUTPUTS_FILE)  # what a trial leaves beside its record


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
    """What of an earlier run fits, and why the rest does not, trial by trial."""

    run_dir: Path
    taken: tuple[Taken, ...]
    left_out: tuple[str, ...]

    def lines(self) -> list[str]:
        whole = len(self.taken) + len(self.left_out)
        head = f"--from {self.run_dir}: {len(self.taken)} of {whole} trials fit"
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


def surveys(
    texts: Sequence[str], runs: Path, name: str, study: Study, space: Space
) -> list[Survey]:
    """Every run that `--from` names, looked through for the run `name`. RunError for one that is
    not there or does not fit at all; ConfigError for the run itself."""
    found = [find_run(text, runs) for text in texts]
    for text, run_dir in zip(texts, found, strict=True):
        if run_dir.resolve() == (runs / name).resolve():
            raise ConfigError(f"--from {text}: this is the run itself; name another with --name")
    return [survey(run_dir, study, space) for run_dir in dict.fromkeys(found)]


def survey(run_dir: Path, study: Study, space: Space) -> Survey:
    """Which trials of a run fit. RunError when its study asks another question, naming the first
    key that differs."""
    _check_question(run_dir, load_bound(run_dir)[0], study)
    records = read_records(run_dir)
    taken: list[Taken] = []
    left_out = [f"{damaged.path.parent.name}: {damaged.reason}" for damaged in records.damaged]
    for record in records.records:
        if record.number == BASE_NUMBER or record.trained_as is not None:
            continue  # every run measures the untouched model itself
        if reason := _misfit(record, space):
            left_out.append(f"trial {record.number}: {reason}")
            continue
        params = {name: getattr(record.recipe, name) for name in space.parameters}
        reverted = tuple(r for r in records.records if r.trained_as == record.number)
        taken.append(Taken(record, run_dir, params, reverted))
    return Survey(run_dir, tuple(taken), tuple(left_out))


def _check_question(run_dir: Path, old: Study, new: Study) -> None:
    def question(study: Study) -> dict[str, Any]:
        found = study.model_dump(mode="json", exclude=set(ANY))
        # values are told by name, so their order says nothing
        return {"study": found | {"objectives": dict(sorted(study.objectives.items()))}}

    difference = first_difference(question(old), question(new))
    if difference:
        key, was, now = difference
        raise RunError(
            f"--from {run_dir}: {key} was {was!r} there and is {now!r} here, so none of its "
            "trials fits"
        )


def _misfit(record: TrialRecord, space: Space) -> str | None:
    """Why a trial cannot be one of `space`; None when it can."""
    if record.state != "complete":
        return f"{record.state}, not complete"
    recipe = record.recipe
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


def role_here(taken: Taken, baselines: Mapping[Role, Recipe]) -> Role:
    """A baseline of the earlier run is one here when this run has the same."""
    record = taken.record
    return record.role if baselines.get(record.role) == record.recipe else "search"


def taken_notes(taken: Taken, role: Role, of: int | None) -> dict[str, Any]:
    """What the journal notes on a trial that is taken over; `of`: what it repeats, as numbered
    here."""
    found: dict[str, Any] = {ROLE: role, TAKEN: taken.known_by}
    if taken.record.replicate:
        found |= {REPLICATE: taken.record.replicate, OF: of}
    return found


def copy_trial(taken: Taken, run_dir: Path, number: int, role: Role, of: int | None) -> None:
    """Write a trial into this run under its number here, the record last."""
    for other in taken.reverted:
        beyond = other.number - taken.record.number
        copy_trial(
            replace(taken, record=other, reverted=()), run_dir, number + beyond, other.role,
            None if of is None else of + beyond,
        )  # fmt: skip
    for name in BESIDE:
        source = trial_dir(taken.run_dir, taken.record.number) / name
        if source.is_file():
            write_atomically(trial_dir(run_dir, number) / name, source.read_bytes())
    record = taken.record
    changes: dict[str, Any] = {
        "number": number, "role": role, "of": of,
        "taken_from": Origin(run=str(taken.run_dir), number=record.number),
        # of other shares or segments, perhaps; no trial of this run is to be compared with them
        "rungs": (),
        "trained_as": None if record.trained_as is None else number % REVERTED,
    }  # fmt: skip
    write_record(run_dir, record.model_copy(update=changes))
