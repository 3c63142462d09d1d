"""Copies what is new in a run to its mirror: first the records, then large files and checkpoints.

Every change of the copy is new objects first, then a manifest that names all of them, then the
removal of what the last two manifests do not name. Nothing is kept in a queue: each look compares
the folder with the last manifest, so what a slow or lost bucket missed is copied once, later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from mtray.mirror.bucket import Bucket, file_blocks, hashed
from mtray.mirror.comparison import check_nothing_lost
from mtray.mirror.manifest import OBJECTS, CopiedFile, Manifest, copied, newest
from mtray.mirror.manifest_objects import ManifestObjects
from mtray.mirror.owner import Owner, check_owner
from mtray.mirror.snapshot import (
    LARGE,
    RunFile,
    Snapshot,
    Stamp,
    Unsteady,
    newest_checkpoint,
    open_checkpoint,
    take_snapshot,
    watched,
)
from mtray.run_files import JOURNAL, RESULT

AT_ONCE = 8  # small files
BETWEEN = 5.0  # seconds between two copies of the records while a large file is being copied


class Copier:
    """Copies one run. `current` is the manifest that is in force; None before the first.

    - `anew`: the folder replaces the copy, whatever that holds.
    - `pending`: number of large files and checkpoints that are still to be copied.
    """

    def __init__(self, bucket: Bucket, run_dir: Path, owner: Owner, anew: bool = False) -> None:
        self._bucket, self._run_dir, self._owner, self._anew = bucket, run_dir, owner, anew
        self._stored: dict[str, int] = {}  # sizes of the objects that are there
        self._known: dict[str, tuple[Stamp, CopiedFile]] = {}
        self._checkpoints: dict[str, tuple[str, Stamp]] = {}
        self._manifests = ManifestObjects(bucket)
        self._seen: frozenset[tuple[str, Stamp]] = frozenset()
        self._last = 0.0
        self._snapshot = Snapshot(b"")
        self.current: Manifest | None = None
        self.pending = 0

    def adopt(self) -> None:
        """Find out what is there, and remove what a killed process left. Raises OSError."""
        self.current = None if self._anew else newest(self._bucket)
        self._stored = self._bucket.listed(OBJECTS)
        self._checkpoints.clear()
        for name in set(self._stored) - self._manifests.all_objects():
            self._bucket.remove(name)
            del self._stored[name]

    def due(self) -> bool:
        """Whether a trial has begun or ended, or another file of the run has changed."""
        return self._seen != watched(self._run_dir)

    def records(self) -> None:
        """Copy records, outputs, front and pictures, with a journal that fits. Raises OSError, and
        Fenced if another sweep has taken over."""
        seen = watched(self._run_dir)
        snapshot = take_snapshot(self._run_dir)
        if self.current:
            check_nothing_lost(self._run_dir, self.current, snapshot)
        self._snapshot = snapshot
        with ThreadPoolExecutor(AT_ONCE) as pool:
            small = [file for file in pool.map(self._small, snapshot.small) if file]
        if snapshot.journal:
            small.append(self._put_content(JOURNAL, snapshot.journal))
        kept = self._carried(snapshot, {file.path for file in small})
        self._switch([*small, *kept])
        self._seen, self._last = seen, time.monotonic()

    def _carried(self, snapshot: Snapshot, renewed: set[str]) -> list[CopiedFile]:
        """Of the last manifest: checkpoints of trials that still run, and large files."""
        there = {file.path for file in snapshot.large}
        files = self.current.files if self.current else ()
        resume = snapshot.running & {file.trial for file in files if file.resumes}
        return [
            file
            for file in files
            if file.path not in renewed
            and self._is_stored(file)
            and (file.trial in resume or file.path in there)
        ]

    def large(self) -> None:
        """Copy the newest checkpoint of every running trial, and large files. Raises as `records`;
        the records that come meanwhile are copied in between."""
        snapshot = self._snapshot
        known = {f.path: f for f in (self.current.files if self.current else ())}
        files = [file for file in snapshot.large if not self._is_copied(file, known)]
        self.pending = len(files) + len(snapshot.running)
        for trial in sorted(snapshot.running):
            self._checkpoint(trial)
            self.pending -= 1
        for file in files:
            try:
                with open(self._run_dir / file.path, "rb") as opened:
                    found = self._put_file(file.path, opened)
            except FileNotFoundError:  # weights of a trial that is on the front no more
                continue
            self._known[file.path] = (file.stamp, found)
            self._replace([found], lambda f, path=file.path: f.path == path)  # type: ignore[misc]
            self.pending -= 1

    def _is_copied(self, file: RunFile, known: Mapping[str, CopiedFile]) -> bool:
        mine = self._known.get(file.path)
        return mine is not None and mine[0] == file.stamp and known.get(file.path) == mine[1]

    def _checkpoint(self, trial: str) -> None:
        key = newest_checkpoint(self._run_dir, trial)
        if key is None or self._checkpoints.get(trial) == key:
            return
        with open_checkpoint(self._run_dir, trial) as found:
            if found is None:
                return
            files = [self._put_file(path, file) for path, file in found.files.items()]
        if not (self._run_dir / "trials" / trial / RESULT).is_file():
            self._replace(files, lambda file: file.trial == trial)
            self._checkpoints[trial] = found.key

    def verify(self) -> bool:
        """Whether the bucket holds every object of the manifest in its size; those that it does not
        are copied by the next `records` and `large`."""
        self._stored = self._bucket.listed(OBJECTS)
        files = self.current.files if self.current else ()
        wrong = [file for file in files if self._stored.get(file.object) != file.size]
        for file in wrong:
            self._known.pop(file.path, None)
            self._checkpoints.pop(file.trial or "", None)
        if wrong:
            self._seen = frozenset()
        return not wrong

    def _small(self, file: RunFile) -> CopiedFile | None:
        """None if the file is gone."""
        known = self._known.get(file.path)
        if known and known[0] == file.stamp and self._is_stored(known[1]):
            return known[1]
        try:
            content = (self._run_dir / file.path).read_bytes()
        except FileNotFoundError:
            return None
        found = self._put_content(file.path, content)
        self._known[file.path] = (file.stamp, found)
        return found

    def _put_content(self, path: str, content: bytes) -> CopiedFile:
        return self._put(copied(path, *hashed([content])), lambda: [content])

    def _put_file(self, path: str, file: IO[bytes]) -> CopiedFile:
        """Raises Unsteady if the file changes meanwhile."""
        found = copied(path, *hashed(file_blocks(file)))

        def blocks() -> Iterator[bytes]:
            for block in file_blocks(file):
                yield block
                if found.size >= LARGE:
                    self._records_between()

        return self._put(found, blocks)

    def _records_between(self) -> None:
        if time.monotonic() - self._last > BETWEEN and self.due():
            self.records()

    def _is_stored(self, file: CopiedFile) -> bool:
        return self._stored.get(file.object) == file.size

    def _put(self, file: CopiedFile, blocks: Callable[[], Iterable[bytes]]) -> CopiedFile:
        if not self._is_stored(file):
            size = self._bucket.write(file.object, blocks())
            if size != file.size:
                raise Unsteady(f"{file.path} changed while it was copied")
            self._stored[file.object] = size
        return file

    def _replace(self, new: list[CopiedFile], old: Callable[[CopiedFile], bool]) -> None:
        files = self.current.files if self.current else ()
        self._switch([*(file for file in files if not old(file)), *new])

    def _switch(self, files: Iterable[CopiedFile]) -> None:
        """Write the manifest of these files, unless it is in force, and remove what is older."""
        ordered = tuple(sorted(files, key=lambda file: file.path))
        before = self.current
        if before and before.epoch == self._owner.epoch and before.files == ordered:
            return
        check_owner(self._bucket, self._owner)
        self._manifests.check(self._owner)
        manifest = Manifest(
            run=self._run_dir.name, epoch=self._owner.epoch,
            sequence=1 + (before.sequence if before else 0), token=self._owner.token,
            host=self._owner.host, written=time.time(), files=ordered,
        )  # fmt: skip
        self._bucket.write(manifest.name, [manifest.content()])
        self.current = manifest
        self._manifests.replaced_by(manifest)
        for name in list(self._manifests.unneeded):
            self._stored.pop(name, None)
            self._bucket.remove(name)
            self._manifests.unneeded.discard(name)
