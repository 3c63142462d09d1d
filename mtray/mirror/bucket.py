"""Reading and writing objects below one place of a file system that pyarrow knows."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

BLOCK = 1 << 23  # bytes read and written at once
OBJECT_STORES = ("s3", "gcs", "abfs")  # have no folders that would have to be made
PARTIAL = ".part-"  # beginning of the names of what is being written elsewhere


class Bucket:
    """A place for objects.

    - `files`: a `pyarrow.fs.FileSystem`.
    - `root`: the place in it.
    - `shown`: the place for people, without credentials.
    """

    def __init__(self, files: Any, root: str, shown: str) -> None:
        self._files, self._root, self.shown = files, root.rstrip("/"), shown.rstrip("/")

    def within(self, name: str) -> Bucket:
        """The place `name` in this one."""
        return Bucket(self._files, f"{self._root}/{name}", f"{self.shown}/{name}")

    def is_in(self, folder: Path) -> bool:
        """Whether the place is a folder of this machine, and this one or in it."""
        here = "local" in self._files.type_name
        return here and Path(self._root).resolve().is_relative_to(folder.resolve())

    def write(self, name: str, blocks: Iterable[bytes]) -> int:
        """Write an object; returns its size. An object of this name is replaced. Raises OSError
        if it cannot be written, after removing the written part, or if its size is wrong."""
        if self._files.type_name in OBJECT_STORES:  # which show an object when it is complete
            return self._write(name, blocks)
        folder, _, last = f"{self._root}/{name}".rpartition("/")
        self._files.create_dir(folder, recursive=True)
        partial = name.removesuffix(last) + f"{PARTIAL}{secrets.token_hex(4)}"
        size = self._write(partial, blocks)
        self._moved(f"{self._root}/{partial}", f"{self._root}/{name}")
        return size

    def _moved(self, partial: str, path: str) -> None:
        try:
            self._files.move(partial, path)
        except OSError:  # HDFS replaces nothing
            self._files.delete_file(path)
            self._files.move(partial, path)

    def _write(self, name: str, blocks: Iterable[bytes]) -> int:
        path, size = f"{self._root}/{name}", 0
        try:
            # leaving this block because of an error closes the stream, which keeps the part
            with self._files.open_output_stream(path) as stream:
                for block in blocks:
                    stream.write(block)
                    size += len(block)
        except BaseException:
            with contextlib.suppress(Exception):
                self._files.delete_file(path)
            raise
        found = self._files.get_file_info(path).size
        if found != size:
            raise OSError(f"{self.shown}/{name}: {found} of {size} bytes have arrived")
        return size

    def blocks(self, name: str) -> Iterator[bytes]:
        """The content of an object. Raises FileNotFoundError or another OSError."""
        with self._files.open_input_stream(f"{self._root}/{name}") as stream:
            while block := stream.read(BLOCK):
                yield block

    def read(self, name: str) -> bytes:
        return b"".join(self.blocks(name))

    def listed(self, folder: str) -> dict[str, int]:
        """Sizes of all objects below a folder, by their names here; none if there is no folder."""
        from pyarrow import fs

        where = fs.FileSelector(f"{self._root}/{folder}", recursive=True, allow_not_found=True)
        found = self._files.get_file_info(where)
        above = len(self._root) + 1
        return {i.path[above:]: i.size for i in found if i.type == fs.FileType.File}

    def remove(self, name: str) -> None:
        """Remove an object, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            self._files.delete_file(f"{self._root}/{name}")


def file_blocks(file: IO[bytes]) -> Iterator[bytes]:
    """The content of an open file, from its beginning."""
    file.seek(0)
    while block := file.read(BLOCK):
        yield block


def hashed(blocks: Iterable[bytes]) -> tuple[str, int]:
    """SHA-256 and size of a content."""
    digest, size = hashlib.sha256(), 0
    for block in blocks:
        digest.update(block)
        size += len(block)
    return digest.hexdigest(), size
