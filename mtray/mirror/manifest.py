"""The list of a run's copied files. A copy is what its newest manifest names, and nothing else.

A manifest is never overwritten: each is an object of its own, written when everything that it names
is there. Their order is that of their names: first the epoch, which grows with every process that
takes over the copy, so that one which was cut off and goes on writing is never read, then the
sequence.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import PurePosixPath

from pydantic import Field, ValidationError, field_validator

from mtray.errors import RunError
from mtray.mirror.bucket import Bucket
from mtray.run_files import JOURNAL, RESULT
from mtray.schema.base import Frozen

FOLDER, OBJECTS = "manifests", "files"
NAME = re.compile(FOLDER + r"/(\d{6})-(\d{9})-([0-9a-f]+)\.json")
CHECKPOINT = "checkpoint-"


class CopiedFile(Frozen):
    """A file of the run.

    - `path`: in the run's folder.
    - `size`: in bytes.
    - `sha256`: of its content.
    - `object`: where its content is.
    """

    path: str
    size: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    object: str

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts:
            raise ValueError(f"{path!r} is no path in a run's folder")
        return path

    @property
    def trial(self) -> str | None:
        """The trial's folder that it is in, such as `0007`."""
        parts = PurePosixPath(self.path).parts
        return parts[1] if parts[0] == "trials" and len(parts) > 2 else None

    @property
    def resumes(self) -> bool:
        """Whether it is a part of a checkpoint."""
        return f"/{CHECKPOINT}" in self.path


class Manifest(Frozen):
    """A complete copy of a run.

    - `run`: its name.
    - `epoch`, `sequence`: its place in the order.
    - `token`: of the process that wrote it.
    - `host`: of that process.
    - `written`: when, in seconds of the epoch.
    """

    run: str
    epoch: int
    sequence: int
    token: str
    host: str
    written: float
    files: tuple[CopiedFile, ...] = ()

    @property
    def name(self) -> str:
        return f"{FOLDER}/{self.epoch:06d}-{self.sequence:09d}-{self.token[:8]}.json"

    @property
    def place(self) -> tuple[int, int]:
        return self.epoch, self.sequence

    @property
    def journal(self) -> CopiedFile | None:
        return next((file for file in self.files if file.path == JOURNAL), None)

    @property
    def ended(self) -> int:
        """Number of trials with a record, the base model and further points included."""
        return sum(file.path.endswith(f"/{RESULT}") for file in self.files)

    @property
    def objects(self) -> frozenset[str]:
        return frozenset(file.object for file in self.files)

    def content(self) -> bytes:
        text = self.model_dump_json()
        return json.dumps({"sha256": _digest(text), "manifest": text}).encode()


def object_name(path: str, sha256: str) -> str:
    """Where a file with this content is kept: found by its name, and never overwritten by
    another content."""
    parts = PurePosixPath(path).parts
    depth = 2 if parts[0] == "trials" and len(parts) > 2 else 0
    folder = "".join(f"{part}/" for part in parts[:depth])
    return f"{OBJECTS}/{folder}{sha256[:20]}-{'~'.join(parts[depth:])}"


def copied(path: str, sha256: str, size: int) -> CopiedFile:
    return CopiedFile(path=path, size=size, sha256=sha256, object=object_name(path, sha256))


def parsed(content: bytes) -> Manifest | None:
    """None if it is damaged or incomplete."""
    try:
        outer = json.loads(content)
        text = outer["manifest"]
        return Manifest.model_validate_json(text) if _digest(text) == outer["sha256"] else None
    except (ValueError, KeyError, TypeError, AttributeError, ValidationError):
        return None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def place_of(name: str) -> tuple[int, int] | None:
    """Epoch and sequence of a manifest's name; None if it is not one."""
    found = NAME.fullmatch(name)
    return (int(found[1]), int(found[2])) if found else None


def manifest_names(bucket: Bucket) -> list[str]:
    """All, the newest first."""
    return sorted((n for n in bucket.listed(FOLDER) if place_of(n)), reverse=True)


def newest(bucket: Bucket) -> Manifest | None:
    """The newest complete manifest; None if there is none at all. Raises RunError if there are only
    damaged ones, and OSError if the bucket cannot be read."""
    names = manifest_names(bucket)
    for name in names:
        try:
            found = parsed(bucket.read(name))
        except FileNotFoundError:  # replaced by a newer one meanwhile
            return newest(bucket)
        if found is not None:
            return found
    if names:
        raise RunError(
            f"mirror: {bucket.shown}/{names[0]} is damaged, and no other manifest is there, so it "
            "is not known what the copy consists of. Restore an earlier version of it in the "
            "bucket, if it keeps versions, choose another --mirror, or, where the run folder still "
            "is, replace the copy: python -m mtray mirror RUN --to URI --replace"
        )
    return None


def drop_damaged(bucket: Bucket) -> None:
    """Remove damaged manifests."""
    for name in manifest_names(bucket):
        if parsed(bucket.read(name)) is None:
            bucket.remove(name)
