"""The RUN argument."""

from __future__ import annotations

from pathlib import Path

from mtray.errors import RunError
from mtray.run_files import RUNS


def run_folder(path: Path) -> Path:
    """The run's folder as an absolute path; a name alone is looked for in `runs/`, too, also where
    a folder of that name is no run. RunError, listing the runs that exist, when it is not one."""
    if not _is_run(path) and path.name == str(path):
        inside = RUNS / path
        path = inside if _is_run(inside) or (inside.is_dir() and not path.exists()) else path
    if _is_run(path):
        return path.absolute()
    if path.is_dir():
        raise RunError(f"{path}: not a run folder (no study.json){_others(path)}")
    raise RunError(f"{path}: no such run folder{_others(path.parent) or _others(RUNS)}")


def _is_run(path: Path) -> bool:
    return (path / "study.json").is_file() or (path / "trials").is_dir()


def _others(folder: Path) -> str:
    known = sorted(str(p.parent) for p in folder.glob("*/study.json"))
    return f"; runs there: {', '.join(known)}" if known else ""
