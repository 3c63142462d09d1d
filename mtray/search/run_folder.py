"""A run's folder: made, locked against a second process, and bound to one study and space."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtray.errors import ConfigError, RunError
from mtray.report.records import write_json
from mtray.schema import KEPT_BESIDE, RECORDED_BESIDE, Evaluation, Study
from mtray.space import Space

STUDY_FILE = "study.json"
LOCK = ".lock"
AT_BINDING = "evaluation_at_binding"
# what may change between two starts of one run
FREE = ("budget", "resources")
# what reading a file that is none of ours may raise; pydantic's error is a ValueError
DAMAGED = (ValueError, KeyError, TypeError, AttributeError)


@contextlib.contextmanager
def claimed(runs: Path, name: str) -> Iterator[Path]:
    """The run's folder, made if need be and locked. What was made is removed again when nothing was
    put into it, so that a mistake in the study leaves no trace.

    Raises ConfigError when it cannot be written, RunError when another live process has it.
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
                with contextlib.suppress(OSError):  # somebody else's run lies there by now
                    for folder in made:
                        folder.rmdir()


def make_run_dir(run_dir: Path) -> None:
    """Make the folder and see that it can be written; ConfigError when not."""
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        probe = run_dir / f".writable.{os.getpid()}"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise ConfigError(
            f"--runs-dir {run_dir.parent}: {run_dir} cannot be written ({error.strerror}); "
            "choose a folder you may write to"
        ) from None


@contextlib.contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Hold the run's lock; RunError when another live process has it. The kernel drops it with the
    process, however it ends."""
    with open(run_dir / LOCK, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise RunError(
                f"run {run_dir.name!r} is in use by {holder}; "
                "wait for it, stop it, or choose another --name"
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()}")
        file.flush()
        yield


@dataclass(frozen=True)
class Bound:
    """What a run is bound to.

    study: as it was at the last start; budget, resources and test segments may have changed.
    space: what varies.
    evaluation: as it was at the first start. Its texts are those that leakage was looked for in, so
        it decides which rows of a source any trial of the run is trained on.
    """

    study: Study
    space: Space
    evaluation: Evaluation

    @property
    def sources_study(self) -> Study:
        """The study by which the run's sources are built."""
        return sources_study(self.study, self.evaluation)


def sources_study(study: Study, evaluation: Evaluation) -> Study:
    """The study by which the sources of a run are built that was bound with this evaluation:
    test segments that are named later change no trial's data."""
    return study.model_copy(update={"evaluation": evaluation})


def _content(study: Study, space: Space) -> dict[str, Any]:
    return {"study": study.model_dump(mode="json"), "space": space.model_dump(mode="json")}


def check_bound(run_dir: Path, study: Study, space: Space) -> Bound:
    """What the run is bound to once it goes on with this study. RunError names the first key in
    which an old run's study or space differs."""
    if not (run_dir / STUDY_FILE).is_file():
        return Bound(study, space, study.evaluation)
    old = read_bound(run_dir)
    difference = first_difference(
        _content(old.study, _with_rate(old.space)), _content(study, _with_rate(space))
    )
    if difference:
        key, was, now = difference
        raise RunError(
            f"run {run_dir.name!r} was started with {key} = {was!r}, now it is {now!r}; "
            "choose another --name, or go back to the old value to continue it"
        )
    return Bound(study, space, old.evaluation)


def _with_rate(space: Space) -> Space:
    """A learning rate that nothing sets was .001 in earlier versions."""
    rate = {"learning_rate": 1e-3} if "learning_rate" not in space.parameters else {}
    return space.model_copy(update={"fixed": {**rate, **space.fixed}})


def _parsed(found: dict[str, Any]) -> tuple[Study, Space]:
    """Study and space of a run's file. Versions that could not `take` a sample of an evaluation set
    took its first segments, so this is what they mean."""
    study = dict(found["study"])
    evaluation = study["evaluation"]
    first = {"take": "first"}
    study["evaluation"] = {
        **evaluation,
        "quality": [first | spec for spec in evaluation["quality"]],
        "abilities": {name: first | spec for name, spec in evaluation["abilities"].items()},
    }
    return Study.model_validate(study), Space.model_validate(found["space"])


def bind(run_dir: Path, study: Study, space: Space) -> None:
    """Record study and space in the run's folder, at the first start also what decides its data.
    Raises RunError as `check_bound`."""
    bound = check_bound(run_dir, study, space)
    evaluation = bound.evaluation.model_dump(mode="json")
    write_json(run_dir / STUDY_FILE, {**_content(study, space), AT_BINDING: evaluation})


def first_difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """Key, old and new value of the first difference between two studies, each in a mapping as
    `study`, but for what is `FREE`, `KEPT_BESIDE` or `RECORDED_BESIDE` and for the test segments,
    which no trial of a search sees."""
    return _difference(_lasting(old), _lasting(new))


def _lasting(content: Mapping[str, Any]) -> dict[str, Any]:
    """Without what may change between two starts."""
    study = {key: value for key, value in content["study"].items() if key not in FREE}
    study["training"] = {k: v for k, v in study["training"].items() if k not in KEPT_BESIDE}
    evaluation = {k: v for k, v in study["evaluation"].items() if k not in RECORDED_BESIDE}
    study["evaluation"] = {
        **evaluation,
        "quality": [_untested(spec) for spec in evaluation["quality"]],
        "abilities": {name: _untested(spec) for name, spec in evaluation["abilities"].items()},
    }
    return {**content, "study": study}


def _untested(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in spec.items() if key != "test"}


def evaluation_difference(old: Evaluation, new: Evaluation) -> tuple[str, Any, Any] | None:
    """Key, old and new value of the first difference in what is scored, test segments included."""
    before, after = (e.model_dump(mode="json", exclude=set(RECORDED_BESIDE)) for e in (old, new))
    return _difference(before, after, "study.evaluation")


def _difference(old: Any, new: Any, key: str = "") -> tuple[str, Any, Any] | None:
    if isinstance(old, dict) and isinstance(new, dict):
        # the values in the journal have the order of the objectives
        if key == "study.objectives" and old.keys() == new.keys() and list(old) != list(new):
            return key, list(old), list(new)
        for part in sorted(old.keys() | new.keys()):
            if found := _difference(old.get(part), new.get(part), f"{key}.{part}".strip(".")):
                return found
        return None
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        differences = (_difference(a, b, f"{key}.{place}") for place, (a, b) in pairs)
        return next(filter(None, differences), None)
    return None if old == new else (key, old, new)


def load_bound(run_dir: Path) -> tuple[Study, Space]:
    """Study and space of an existing run. Raises RunError as `read_bound`."""
    bound = read_bound(run_dir)
    return bound.study, bound.space


def read_bound(run_dir: Path) -> Bound:
    """What an existing run is bound to; what an earlier version did not write yet has the defaults.
    Raises RunError when the folder is no run's."""
    path = run_dir / STUDY_FILE
    if not path.is_file():
        raise RunError(f"{run_dir}: not a run folder (no {STUDY_FILE})")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        study, space = _parsed(found)
        # an earlier version kept only the evaluation of the last start
        known = found.get(AT_BINDING)
        evaluation = study.evaluation if known is None else Evaluation.model_validate(known)
        return Bound(study, space, evaluation)
    except DAMAGED as error:
        raise RunError(f"{path}: not the study of a run: {error}") from None
