"""A run whose files were moved: its study names them by absolute paths, and they are the same files
if their content is. The run's study file keeps a digest of each, and follows it to its new path."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mtray.report.records import write_json
from mtray.run_files import STUDY_FILE
from mtray.schema import Study

FILES = "files"  # key of the study file: digest by path
MODELS = ("model", "comet", "embedder", "freeze_from")
WHOLE = 1 << 26  # bytes of a file that is hashed in full; of a larger one three parts are
PART = 1 << 22  # bytes
MOST = 1000  # files of a folder


def digests(study: Mapping[str, Any]) -> dict[str, str]:
    """Digest of every file and folder that a study names and that exists, by its path."""
    paths = sorted({path for _, path in _paths(study)})  # several keys may name one file
    found = {path: path_digest(Path(path)) for path in paths}
    return {path: digest for path, digest in found.items() if digest}


def changed_files(run_dir: Path, now: Mapping[str, Any]) -> list[str]:
    """The files and folders that this part of a study names by a path that the run's study names as
    well, with other content than at the run's last start."""
    try:
        known = json.loads((run_dir / STUDY_FILE).read_text(encoding="utf-8")).get(FILES, {})
    except (OSError, ValueError, AttributeError):  # said by whoever reads the study
        return []
    return [p for p, digest in digests(now).items() if known.get(p, digest) != digest]


def relocate(run_dir: Path, study: Study) -> list[str]:
    """Let the run's study file name the files where this study has them, if they are the same ones;
    returns a line for each. Call while holding the run's lock. Nothing for a run of an earlier
    version, which has no digests: its files are compared by path."""
    file = run_dir / STUDY_FILE
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        known: dict[str, str] = found[FILES]
        before = dict(_paths(found["study"]))
    except (OSError, ValueError, KeyError, TypeError):  # said by whoever reads the study
        return []
    after = dict(_paths(study.model_dump(mode="json")))
    moved = {
        old: after[key]
        for key, old in before.items()
        if after.get(key, old) != old
        and known.get(old) == (path_digest(Path(after[key])) or "none")
    }
    if not moved:
        return []
    renamed = {moved.get(path, path): digest for path, digest in known.items()}
    write_json(file, {**_replaced(found, moved), FILES: renamed})
    return [f"moved, with the same content: {old} is now {new}" for old, new in moved.items()]


def _paths(node: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Place in the study and path of every file and folder that it names absolutely."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from _paths(value, f"{key}.{name}")
    elif isinstance(node, list | tuple):
        for place, value in enumerate(node):
            yield from _paths(value, f"{key}.{place}")
    elif isinstance(node, str) and node.startswith("/") and _names_a_file(key):
        yield key, node


def _names_a_file(key: str) -> bool:
    last = key.rsplit(".", 1)[-1]
    named = last == "path" or last.endswith("_path") or last in MODELS or ".path." in key
    return named or ".more_comet." in key or ".more_metrics." in key


def _replaced(node: Any, moved: Mapping[str, str]) -> Any:
    if isinstance(node, Mapping):
        return {name: _replaced(value, moved) for name, value in node.items()}
    if isinstance(node, list):
        return [_replaced(value, moved) for value in node]
    return moved.get(node, node) if isinstance(node, str) else node


def path_digest(path: Path) -> str:
    """Of a file's content, or of the names and contents of a folder's files; empty if there is
    nothing readable."""
    try:
        if path.is_file():
            return _file_digest(path)
        files = sorted(file for file in path.rglob("*") if file.is_file())[:MOST]
        named = [f"{file.relative_to(path)} {_file_digest(file)}" for file in files]
    except OSError:
        return ""
    return hashlib.sha256("\n".join(named).encode()).hexdigest() if named else ""


def _file_digest(path: Path) -> str:
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with open(path, "rb") as file:
        if size <= WHOLE:
            digest.update(file.read())
        else:
            for start in (0, size // 2, size - PART):
                file.seek(start)
                digest.update(file.read(PART))
    return digest.hexdigest()
