"""A run's folder: made, locked against a second process, and bound to one study and space."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mtray.errors import ConfigError, RunError
from mtray.report.records import write_json
from mtray.schema import KEPT_BESIDE, Study
from mtray.space import Space

STUDY_FILE = "study.json"
LOCK = ".lock"
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


def _content(study: Study, space: Space) -> dict[str, Any]:
    return {"study": study.model_dump(mode="json"), "space": space.model_dump(mode="json")}


def check_bound(run_dir: Path, study: Study, space: Space) -> None:
    """RunError names the first key in which an old run's study or space differs."""
    path = run_dir / STUDY_FILE
    if path.is_file():
        wanted = _content(study, _with_rate(space))
        old = json.loads(path.read_text(encoding="utf-8"))
        difference = first_difference(_completed(old), wanted)
        if difference:
            key, old, new = difference
            raise RunError(
                f"run {run_dir.name!r} was started with {key} = {old!r}, now it is {new!r}; "
                "choose another --name, or go back to the old value to continue it"
            )


def _completed(old: dict[str, Any]) -> dict[str, Any]:
    """What an earlier version wrote, with the defaults of the keys that it did not have yet."""
    try:
        study, space = _parsed(old)
    except DAMAGED:
        return old
    return _content(study, _with_rate(space))


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
    """Record study and space in the run's folder. Raises RunError as `check_bound`."""
    check_bound(run_dir, study, space)
    write_json(run_dir / STUDY_FILE, _content(study, space))


def first_difference(old: Any, new: Any, key: str = "") -> tuple[str, Any, Any] | None:
    """Key, old and new value of the first difference between two nested mappings and lists, but for
    what is `FREE` or `KEPT_BESIDE` and for the test segments, which no trial of a search sees."""
    if isinstance(old, dict) and isinstance(new, dict):
        # the values in the journal have the order of the objectives
        if key == "study.objectives" and old.keys() == new.keys() and list(old) != list(new):
            return key, list(old), list(new)
        for part in sorted(old.keys() | new.keys()):
            if (
                (key == "study" and part in FREE)
                or (key == "study.training" and part in KEPT_BESIDE)
                or (key.startswith("study.evaluation.") and part == "test")
            ):
                continue
            found = first_difference(old.get(part), new.get(part), f"{key}.{part}".strip("."))
            if found:
                return found
        return None
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        pairs = enumerate(zip(old, new, strict=True))
        differences = (first_difference(a, b, f"{key}.{place}") for place, (a, b) in pairs)
        return next(filter(None, differences), None)
    return None if old == new else (key, old, new)


def load_bound(run_dir: Path) -> tuple[Study, Space]:
    """Study and space of an existing run. Raises RunError when the folder is none."""
    path = run_dir / STUDY_FILE
    if not path.is_file():
        raise RunError(f"{run_dir}: not a run folder (no {STUDY_FILE})")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return _parsed(found)
    except DAMAGED as error:
        raise RunError(f"{path}: not the study of a run: {error}") from None
