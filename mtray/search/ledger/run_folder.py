"""A run's folder: created, locked against a second process, and bound to one study and space."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtray.errors import ConfigError, RunError
from mtray.file_locks import held_alone
from mtray.report.records import read_records, write_json
from mtray.run_files import LOCK, STUDY_FILE, WEIGHTS_FILE, trial_dir, trials_text
from mtray.runtime import CODE, commit, trial_code
from mtray.schema import Evaluation, Study
from mtray.search.ledger.base_model_check import LINEAGE, recorded_lineage
from mtray.search.ledger.earlier_versions import (
    CHANGED,
    changed_parameters,
    in_current_names,
)
from mtray.search.ledger.moved_files import FILES, digests
from mtray.search.ledger.study_changes import (
    SAME_RUN,
    Need,
    StudyChange,
    change_lines,
    content,
    how_to_go_on,
    is_beyond,
    study_changes,
)
from mtray.search_space.space import Space

AT_BINDING = "evaluation_at_binding"
# of a run whose study was changed: the name of its Optuna study, its earlier bindings, and the
# binding in progress
OPTUNA, BINDINGS, PENDING = "optuna", "bindings", "pending"
BEGUN_BY = "begun_by"  # the code and the commit of the first start
# errors that a file of another program may raise when read; pydantic's error is a ValueError
DAMAGED = (ValueError, KeyError, TypeError, AttributeError)


@contextlib.contextmanager
def locked_run(runs: Path, name: str) -> Iterator[Path]:
    """The run's folder, created if necessary and locked. A created folder that stays empty is
    removed again, so that a mistake in the study leaves no trace.

    Raises ConfigError if it cannot be written, RunError if another live process holds it.
    """
    run_dir = (runs / name).absolute()
    made = [folder for folder in (run_dir, *run_dir.parents) if not folder.exists()]
    make_run_dir(run_dir)
    with locked(run_dir):
        try:
            yield run_dir
        finally:
            if made and os.listdir(run_dir) == [LOCK]:
                (run_dir / LOCK).unlink()
                with contextlib.suppress(OSError):  # another process has put its run there
                    for folder in made:
                        folder.rmdir()


def make_run_dir(run_dir: Path) -> None:
    """Create the folder and check that it is writable; raises ConfigError if not."""
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        probe = run_dir / f".writable.{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise ConfigError(
            f"--runs-dir {run_dir.parent}: {run_dir} cannot be written ({error.strerror}); "
            "choose a folder that you can write to"
        ) from None


def locked(run_dir: Path) -> contextlib.AbstractContextManager[None]:
    """Hold the run's lock; raises RunError if another live process holds it, ConfigError if the
    folder cannot be written or has no locks."""
    return held_alone(
        run_dir / LOCK,
        lambda holder: (
            f"run {run_dir.name!r} is in use by {holder}; wait for it, stop it, or "
            "choose another --name"
        ),
        "and what is measured is kept there; copy the run to a folder you may write to, and name "
        "that",
    )


@dataclass(frozen=True)
class BoundStudy:
    """What a run is bound to.

    study: as of the last start; budget, resources and test segments may have changed.
    space: the search space.
    evaluation: as of the first start. The leakage check uses its texts, so it decides which rows of
        a source any trial of the run is trained on.
    """

    study: Study
    space: Space
    evaluation: Evaluation

    @property
    def sources_study(self) -> Study:
        """The study from which the run's sources are built."""
        return sources_study(self.study, self.evaluation)


def sources_study(study: Study, evaluation: Evaluation) -> Study:
    """The study from which the sources of a run bound with this evaluation are built: test segments
    added later change no trial's data."""
    return study.model_copy(update={"evaluation": evaluation})


def check_bound(
    run_dir: Path, study: Study, space: Space, needs: Collection[Need] = SAME_RUN
) -> BoundStudy:
    """What the run is bound to once it continues with this study. If a change needs anything other
    than `needs`, raises RunError, which names every key in which the old run's study or space
    differs, and the command that continues."""
    if not (run_dir / STUDY_FILE).is_file():
        return BoundStudy(study, space, study.evaluation)
    old = read_bound(run_dir, finished=False)
    changes = study_changes(
        content(old.study, _with_rate(old.space)), content(study, _with_rate(space))
    )
    check_names(run_dir)
    if is_beyond(changes, needs):
        raise RunError(
            f"run {run_dir.name!r} was started with{change_lines(changes)}\n"
            f"{how_to_go_on(run_dir.name, changes)}{_who_can_answer(run_dir, changes)}"
        )
    return BoundStudy(study, space, old.evaluation)


def check_names(run_dir: Path) -> None:
    """Raises RunError if this version names or counts a parameter of the run otherwise; an
    interrupted change of its study must be finished before, so that it can be reported."""
    found = json.loads((run_dir / STUDY_FILE).read_text(encoding="utf-8"))
    names = changed_parameters(found)
    if names and PENDING not in found:
        raise RunError(
            f"run {run_dir.name!r} was started by an earlier version with a range for {names[0]}, "
            f"{CHANGED[names[0]]}; it can still be reported. To go on, give the same command "
            f"another --name and --from {shlex.quote(run_dir.name)}, which imports the trials that "
            "fit"
        )


def _who_can_answer(run_dir: Path, changes: Sequence[StudyChange]) -> str:
    """Which trials have stored weights for evaluation and which would be trained again, if a new
    run cannot measure them and no change affects the training."""
    needs = {change.needs for change in changes}
    if Need.ANSWER not in needs or Need.TRAIN in needs:
        return ""
    numbers = [r.number for r in read_records(run_dir).trials if r.state == "complete"]
    kept = [n for n in numbers if (trial_dir(run_dir, n) / WEIGHTS_FILE).is_file()]
    lost = [n for n in numbers if n not in kept]
    said = []
    if kept:
        command = f"python -m mtray export {shlex.quote(str(run_dir))} --model {kept[0]} OUT"
        said.append(f"weights are kept of {trials_text(kept)}, as a model to ask by `{command}`")
    if lost:
        said.append(f"{trials_text(lost)} would have to be trained again to answer")
    return "".join(f"\n  {line}" for line in said)


def _with_rate(space: Space) -> Space:
    """Earlier versions used a learning rate of .001 if nothing set one."""
    rate = {"learning_rate": 1e-3} if "learning_rate" not in space.parameters else {}
    return space.model_copy(update={"fixed": {**rate, **space.fixed}})


def parsed_study(found: dict[str, Any]) -> tuple[Study, Space]:
    """Study and space of a run's file. Versions that could not `take` a sample of an evaluation set
    took its first segments, so old files are read that way."""
    found = in_current_names(found)
    study = dict(found["study"])
    evaluation = study["evaluation"]
    first = {"take": "first"}
    study["evaluation"] = {
        **evaluation,
        "quality": [first | spec for spec in evaluation["quality"]],
        "abilities": {name: first | spec for name, spec in evaluation["abilities"].items()},
    }
    return Study.model_validate(study), Space.model_validate(found["space"])


def bind(run_dir: Path, study: Study, space: Space, first: Evaluation | None = None) -> None:
    """Record study and space in the run's folder, and at the first start also what decides its
    data, the study's evaluation or `first`, and by which code it begins. Raises RunError as
    `check_bound`."""
    bound = check_bound(run_dir, study, space, (Need.NOTHING,))
    known: dict[str, Any] = {BEGUN_BY: {CODE: trial_code(), "commit": commit()}}
    known |= recorded_lineage(study)
    if (run_dir / STUDY_FILE).is_file():
        read_bound(run_dir)
        found = json.loads((run_dir / STUDY_FILE).read_text(encoding="utf-8"))
        kept = (OPTUNA, BINDINGS, BEGUN_BY, LINEAGE)
        known, first = {key: found[key] for key in kept if key in found}, None
    evaluation = (first or bound.evaluation).model_dump(mode="json")
    now = content(study, space)
    files = digests({"bound": now["study"], "first": evaluation})
    write_json(run_dir / STUDY_FILE, {**now, AT_BINDING: evaluation, FILES: files, **known})


def load_bound(run_dir: Path) -> tuple[Study, Space]:
    """Study and space of an existing run. Raises RunError as `read_bound`."""
    bound = read_bound(run_dir)
    return bound.study, bound.space


def read_bound(run_dir: Path, finished: bool = True) -> BoundStudy:
    """What an existing run is bound to; fields that an earlier version did not write have their
    defaults. Raises RunError if the folder is not a run's. With `finished`, also if an interrupted
    change of the study left records of both studies."""
    path = run_dir / STUDY_FILE
    if not path.is_file():
        raise RunError(f"{run_dir}: not a run folder (no {STUDY_FILE})")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        study, space = parsed_study(found.get(PENDING, found))
        # an earlier version stored only the evaluation of the last start
        known = found.get(AT_BINDING)
        evaluation = study.evaluation if known is None else Evaluation.model_validate(known)
    except DAMAGED as error:
        raise RunError(f"{path}: not the study of a run: {error}") from None
    if finished and PENDING in found:
        raise RunError(
            f"run {run_dir.name!r} was cut off while its study was changed; start the sweep again "
            "with the changed study, which finishes that first"
        )
    return BoundStudy(study, space, evaluation)
