"""The RUN argument."""

from __future__ import annotations

from pathlib import Path

from mtray.errors import RunError


def run_folder(path: Path) -> Path:
    """The run's folder as an absolute path. RunError, listing the runs that exist, when it is not
    one."""
    if path.is_dir():
        if (path / "study.json").is_file() or (path / "trials").is_dir():
            return path.absolute()
        raise RunError(f"{path}: not a run folder (no study.json){_others(path)}")
    raise RunError(f"{path}: no such run folder{_others(path.parent)}")


def _others(folder: Path) -> str:
    known = sorted(str(p.parent) for p in folder.glob("*/study.json"))
    return f"; runs there: {', '.join(known)}" if known else ""
