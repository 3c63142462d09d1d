"""Token files: one Arrow file for each tokenised source, built once and atomically, and mapped into
memory by every process that draws from it.

A store is a folder named by its key, the hash of all its inputs, with `tokens.arrow` and
`manifest.json`. The file holds a row for each text of the source in file order: `ids` (list of
int32), `loss_from` (int32) and `hash` (uint64, of the two), in record batches of `ROWS`. A text
that is too long is an empty row, so that the study's order of the source does not depend on
`max_length`.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mtray.data.store_room import MORE, writing
from mtray.data.store_usage import LOCK, MANIFEST, hold, locked
from mtray.data.token_chunks import Hashes, Ids, TokenChunk
from mtray.errors import DataError
from mtray.files import file_hash, sync
from mtray.full_disk import size_text
from mtray.paths import cache_dir

ROWS = 1 << 14  # per record batch; all but the last are full
FORMAT = 2
TOKENS = "tokens.arrow"


def store_dir() -> Path:
    """Folder of the stores: `$MTRAY_STORE`, or `store` in mtray's cache folder."""
    return Path(os.environ.get("MTRAY_STORE") or cache_dir() / "store").expanduser().absolute()


def key_of(inputs: Mapping[str, Any]) -> str:
    """The name of the store with these inputs."""
    text = json.dumps(inputs, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class TokenWriter:
    """Writes texts in record batches of `ROWS`, however many come at a time, and counts them. Every
    method that writes raises NoRoom if the disk is full, DataError if the file cannot be written
    for another reason."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        self._path = path
        self._schema = pa.schema(
            [("ids", pa.large_list(pa.int32())), ("loss_from", pa.int32()), ("hash", pa.uint64())]
        )
        with self.writing():
            self._file = pa.OSFile(str(path), "wb")
            self._writer = pa.ipc.new_file(self._file, self._schema)
        self._held: list[TokenChunk] = []  # fewer than `ROWS` texts
        self.rows = self.examples = self.tokens = 0

    @property
    def size(self) -> int:
        """About how many bytes all texts so far take in the file."""
        # int32 ids; per row an int64 offset, an int32 `loss_from` and a uint64 hash
        return 4 * self.tokens + 20 * self.rows

    @property
    def needs(self) -> str:
        """How much a store of these texts needs, as text."""
        return f"the store needs about {size_text(self.size)}"

    def add(self, chunk: TokenChunk) -> None:
        self.rows += len(chunk.lengths)
        self.examples += int((chunk.lengths > 0).sum())
        self.tokens += len(chunk.ids)
        self._held.append(chunk)
        while sum(len(held.lengths) for held in self._held) >= ROWS:
            batch, rest = self._joined().split(ROWS)
            self._write(batch)
            self._held = [rest]

    def _joined(self) -> TokenChunk:
        if len(self._held) == 1:
            return self._held[0]
        return TokenChunk(*map(np.concatenate, zip(*self._held, strict=True)))

    def _write(self, chunk: TokenChunk, needs: str = MORE) -> None:
        import pyarrow as pa

        offsets = np.concatenate([[0], np.cumsum(chunk.lengths, dtype=np.int64)])
        lists = pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(chunk.ids))
        columns = [lists, pa.array(chunk.loss_from), pa.array(chunk.hashes)]
        with self.writing(needs):
            self._writer.write_batch(pa.record_batch(columns, schema=self._schema))

    def close(self) -> None:
        """Write the last batch, which may be shorter, to disk."""
        if self._held and len(self._joined().lengths):
            self._write(self._joined(), self.needs)
        with self.writing(self.needs):
            self._writer.close()
            self._file.close()
            sync(self._path)  # some file systems say only now that they are full

    def abandon(self) -> None:
        """Close the file without finishing it: deleting a file that is open frees no space."""
        with contextlib.suppress(OSError):
            self._file.close()

    def writing(self, needs: str = MORE) -> contextlib.AbstractContextManager[None]:
        """`mtray.data.store_room.writing` for this file and the others of its store."""
        return writing(self._path.parents[1], self._path.parent, needs)


class TokenFile:
    """The tokens of a store, memory-mapped: nothing is read before it is used. Raises DataError."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        try:
            reader = pa.ipc.open_file(pa.memory_map(str(path)))
            chunks = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{path}: not a readable token file: {error}") from None
        self._ids = [_mapped(chunk.column(0).values, np.int32) for chunk in chunks]
        self._offsets = [_mapped(chunk.column(0).offsets, np.int64) for chunk in chunks]
        self._loss_from = [_mapped(chunk.column(1), np.int32) for chunk in chunks]
        self._hashes = [_mapped(chunk.column(2), np.uint64) for chunk in chunks]

    def lengths(self) -> npt.NDArray[np.int32]:
        """Tokens of every row, 0 where it was too long, shape (rows,)."""
        parts = [np.diff(offsets).astype(np.int32) for offsets in self._offsets]
        return np.concatenate(parts) if parts else np.empty(0, np.int32)

    def hashes(self) -> Hashes:
        """Hash of every row (`row_hashes`), shape (rows,)."""
        return np.concatenate(self._hashes) if self._hashes else np.empty(0, np.uint64)

    def all_ids(self) -> Ids:
        """The ids of all rows, concatenated, shape (tokens,)."""
        return np.concatenate(self._ids) if self._ids else np.empty(0, np.int32)

    def row(self, row: int) -> tuple[Ids, int]:
        chunk, place = divmod(row, ROWS)
        offsets = self._offsets[chunk]
        ids = self._ids[chunk][offsets[place] : offsets[place + 1]]
        return ids, int(self._loss_from[chunk][place])


def _mapped(array: Any, dtype: type[np.generic]) -> npt.NDArray[Any]:
    """An Arrow array without nulls as a zero-copy view; its own `to_numpy` imports pandas first,
    which takes half a second."""
    if not len(array):
        return np.empty(0, dtype)
    start = array.offset * np.dtype(dtype).itemsize
    return np.frombuffer(array.buffers()[1], dtype, len(array), start)


@dataclass(frozen=True)
class Store:
    """A finished store. `manifest` describes its inputs and contents; `built`: by this call."""

    folder: Path
    manifest: dict[str, Any]
    built: bool = False

    @property
    def key(self) -> str:
        return self.folder.name

    @property
    def tokens(self) -> Path:
        return self.folder / TOKENS


def find_store(folder: Path) -> Store | None:
    """The store in `folder` if it is complete and its content matches its hash; else None."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        tokens = folder / TOKENS
        whole = (
            manifest["format"] == FORMAT
            and key_of(manifest["inputs"]) == folder.name
            and tokens.stat().st_size == manifest["bytes"]
            and file_hash(tokens) == manifest["sha256"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Store(folder, manifest) if whole else None


def get_store(
    inputs: Mapping[str, Any],
    build: Callable[[TokenWriter], Mapping[str, Any]],
    root: Path | None = None,
) -> Store:
    """The store of these inputs; built when there is none, or only a damaged one.

    `build` writes all chunks and returns further entries for the manifest. Of two processes that
    need the same store, one builds it and the other waits. As long as this process lives, the store
    is not deleted (`mtray.data.store_usage`). Raises DataError when the folder cannot be written.
    """
    root = root or store_dir()
    folder = root / key_of(inputs)
    hold(folder)
    if found := find_store(folder):
        return found
    with contextlib.ExitStack() as stack:
        with writing(root):
            root.mkdir(parents=True, exist_ok=True)
            hold(folder)
            # one process at a time; the kernel releases the lock when the process ends in any way
            stack.enter_context(locked(root / f"{folder.name}{LOCK}", fcntl.LOCK_EX))
        return find_store(folder) or _built(folder, inputs, build)


def _built(
    folder: Path,
    inputs: Mapping[str, Any],
    build: Callable[[TokenWriter], Mapping[str, Any]],
) -> Store:
    here = f".{folder.name}.{socket.gethostname()}"
    for left in folder.parent.glob(f"{here}.*"):  # left by dead builders: we hold the lock
        shutil.rmtree(left, ignore_errors=True)
    scratch = folder.parent / f"{here}.{os.getpid()}"
    with writing(folder.parent):
        scratch.mkdir()
    try:
        start = time.perf_counter()
        writer = TokenWriter(scratch / TOKENS)
        try:
            more = build(writer)
            writer.close()
        finally:
            writer.abandon()
        with writer.writing(writer.needs):
            manifest = {
                "format": FORMAT, "inputs": inputs, "rows": writer.rows,
                "examples": writer.examples, "tokens": writer.tokens,
                "bytes": (scratch / TOKENS).stat().st_size,
                "sha256": file_hash(scratch / TOKENS), "seconds": time.perf_counter() - start,
                "built": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **more,
            }  # fmt: skip
            text = json.dumps(manifest, indent=1, ensure_ascii=False)
            (scratch / MANIFEST).write_text(text + "\n", encoding="utf-8")
            sync(scratch / MANIFEST)
            _put_in_place(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Store(folder, manifest, built=True)


def _put_in_place(scratch: Path, folder: Path) -> None:
    """Rename, over a damaged store if there is one; a complete one built by another process
    stays."""
    with contextlib.suppress(OSError):
        os.replace(scratch, folder)
        return
    if find_store(folder):  # built on another machine, where this lock has no effect
        return
    damaged = scratch.with_name(f"{scratch.name}.damaged")
    os.replace(folder, damaged)
    os.replace(scratch, folder)
    shutil.rmtree(damaged, ignore_errors=True)
