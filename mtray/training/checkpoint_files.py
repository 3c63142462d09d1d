"""The files of one checkpoint: each worker's tensors, with their checksums."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtray.files import share, sync

if TYPE_CHECKING:
    import torch

FILE_BYTES = 1 << 31  # most of one file: safetensors copies in memory what it writes
RANDOM = "random/"  # prefix of a worker's random number generator states


class Tensors(Mapping[str, "torch.Tensor"]):
    """The engine's tensors of one worker, read on access; those of worker 0 where a worker has none
    of its own, since all are equal then."""

    def __init__(self, files: list[Path], rank: int) -> None:
        mine, first = (_opened(files, _prefix(owner)) for owner in (rank, 0))
        self._random = {
            key.removeprefix(RANDOM): file.get_tensor(key)
            for key, file in mine.items()
            if key.startswith(RANDOM)
        }
        found = mine if len(mine) > len(self._random) else first
        self._found = {k: file for k, file in found.items() if not k.startswith(RANDOM)}

    def random(self) -> dict[str, torch.Tensor]:
        """The worker's random number generator states, by name."""
        return self._random

    def __getitem__(self, key: str) -> torch.Tensor:
        tensor: torch.Tensor = self._found[key].get_tensor(key)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def _opened(files: Sequence[Path], prefix: str) -> dict[str, Any]:
    """The open file of each tensor, by the tensor's name, among the files with this prefix."""
    from safetensors import safe_open

    opened: list[Any] = [safe_open(p, "pt") for p in files if p.name.startswith(prefix)]  # type: ignore[no-untyped-call]
    return {key: file for file in opened for key in list(file.keys())}


def write_tensors(
    folder: Path, rank: int, tensors: Mapping[str, torch.Tensor]
) -> dict[str, list[int]]:
    """Write this worker's files. Returns size (bytes) and checksum by file name. Raises OSError, or
    safetensors' own error, such as for a full disk."""
    from safetensors.torch import save_file

    found = {}
    for index, group in enumerate(in_files(tensors, FILE_BYTES)):
        path = folder / f"{_prefix(rank)}{index:03d}.safetensors"
        save_file({name: t.detach().cpu().contiguous() for name, t in group.items()}, path)
        share(path)
        sync(path)
        found[path.name] = checksum(path)
    return found


def _prefix(rank: int) -> str:
    return f"worker-{rank:04d}-"


def belongs(name: str, rank: int) -> bool:
    """Whether worker `rank` reads the file of this name: its own files and those of worker 0."""
    return name.startswith((_prefix(rank), _prefix(0)))


def checksum(path: Path) -> list[int]:
    """Size (bytes) and CRC-32 of a file. Raises OSError."""
    size, crc = 0, 0
    with open(path, "rb") as file:
        while block := file.read(1 << 22):
            size, crc = size + len(block), zlib.crc32(block, crc)
    return [size, crc]


def in_files(tensors: Mapping[str, torch.Tensor], most: int) -> Iterator[dict[str, torch.Tensor]]:
    """The tensors in groups of at most `most` bytes; a larger tensor is a group by itself."""
    group: dict[str, torch.Tensor] = {}
    size = 0
    for name, tensor in tensors.items():
        if group and size + tensor.nbytes > most:
            yield group
            group, size = {}, 0
        group[name] = tensor
        size += tensor.nbytes
    if group:
        yield group
