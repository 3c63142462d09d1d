"""The single checkpoint of a running trial: trainable parameters, their optimiser state, and the
state of the loop. Safetensors and JSON, no pickle.

A checkpoint is a folder that is written next to its final place, synced and then moved there. The
previous one is removed only after that, so a complete checkpoint exists whenever a process dies.
Every worker writes its own part, so a checkpoint can only be resumed with as many workers.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtray.errors import TrainError
from mtray.files import share, sync
from mtray.training.worker import ProcessGroup

if TYPE_CHECKING:
    import torch

STATE = "state.json"
PARTIAL = ".partial"
PREVIOUS = ".previous"
FILE_BYTES = 1 << 31  # of one file; safetensors copies what it writes in memory
RANDOM = "random/"  # prefix of a worker's random number generator states


class Checkpoints:
    """Where a trial keeps its checkpoint.

    - `folder`: None keeps none.
    - `key`: hash of what it depends on; a checkpoint with another key is not used.
    - `minutes`: between two checkpoints (None: no regular interval).
    - `more`: gives further state to store.
    - `restore`: receives that state on resuming.
    - `tell`: receives the reason why a checkpoint is not used.
    - `guard`: called by rank 0 before it changes the folder; may raise.
    - `save_trained`: stores a training that has ended; for all workers, where evaluation stops.
    """

    def __init__(
        self,
        folder: Path | None = None,
        key: str = "",
        minutes: float | None = None,
        more: Callable[[], Any] = lambda: None,
        restore: Callable[[Any], None] = lambda _: None,
        tell: Callable[[str], None] = lambda _: None,
        guard: Callable[[], None] = lambda: None,
    ) -> None:
        self._folder, self._key, self._minutes = folder, key, minutes
        self._more, self._restore, self._tell = more, restore, tell
        self._last, self._guard = time.monotonic(), guard
        self.save_trained: Callable[[], None] = lambda: None

    @property
    def on(self) -> bool:
        return self._folder is not None

    def due(self) -> bool:
        """Whether the interval since the last one has passed."""
        since = time.monotonic() - self._last
        return self.on and self._minutes is not None and since >= self._minutes * 60

    def save(self, engine: Any, process_group: ProcessGroup, step: int, loop: Any) -> None:
        """Store the state of the engine and the loop after `step`. Called by all workers. If it
        raises on one it raises on all, and the previous checkpoint remains."""
        if self._folder is None:
            return
        home = self._folder / f"checkpoint-{step:08d}"
        partial = home.with_name(home.name + PARTIAL)
        first = process_group.rank == 0
        on_all_workers(process_group, lambda: _empty(partial, self._guard) if first else None)
        files = on_all_workers(
            process_group, lambda: _write(partial, process_group.rank, _parts(engine))
        )
        parts = process_group.gather(files)

        def stand() -> None:
            if first:
                state = {
                    "key": self._key, "step": step, "world": process_group.world, "loop": loop,
                    "more": self._more(), "files": dict(pair for p in parts for pair in p.items()),
                }  # fmt: skip
                (partial / STATE).write_text(json.dumps(state), encoding="utf-8")
                sync(partial / STATE)
                self._guard()
                _stand(partial, home)

        on_all_workers(process_group, stand)
        self._last = time.monotonic()

    def resume(self, engine: Any, process_group: ProcessGroup) -> Any:
        """Restore the engine from the newest checkpoint and return the loop's state. None, with the
        engine unchanged, where no checkpoint can be used by all workers."""
        if self._folder is None:
            return None
        found = homes(self._folder)
        state, why = self._read(found[0], process_group) if found else (None, "")
        step = float(state["step"]) if state else -1.0
        alike = process_group.total(step) == step * process_group.world
        if process_group.agree(state is None or not alike) or state is None:
            if found:
                self._tell(why or f"another worker could not use {found[0].name}")
            return None
        tensors = Tensors([found[0] / name for name in state["files"]], process_group.rank)
        on_all_workers(process_group, lambda: engine.load_state(tensors))
        set_random_states(tensors.random())
        self._restore(state["more"])
        return state["loop"]

    def _read(self, home: Path, process_group: ProcessGroup) -> tuple[dict[str, Any] | None, str]:
        """The content of a checkpoint, or why it is not used."""
        try:
            state: dict[str, Any] = json.loads((home / STATE).read_bytes())
            if state["key"] != self._key or state["world"] != process_group.world:
                return None, f"{home.name} is of another recipe, study, number of workers or code"
            for name, expected in state["files"].items():
                if _belongs(name, process_group.rank) and checksum(home / name) != expected:
                    return None, f"{home.name}/{name} is damaged"
        except (OSError, ValueError, KeyError, TypeError) as error:
            return None, f"{home.name} is damaged: {type(error).__name__}: {error}"
        return state, ""


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


def kept_step(folder: Path) -> int | None:
    """The step of the newest checkpoint of a trial; None where there is none."""
    for home in homes(folder):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return int(json.loads((home / STATE).read_bytes())["step"])
    return None


def kept_bytes(folder: Path) -> int:
    """The size of a trial's checkpoints, complete or not."""
    found = 0
    for home in folder.glob("checkpoint-*"):
        with contextlib.suppress(OSError):
            found += sum(file.stat().st_size for file in home.iterdir())
    return found


def forget(folder: Path) -> None:
    """Remove a trial's checkpoints, complete or not."""
    for home in folder.glob("checkpoint-*"):
        shutil.rmtree(home, ignore_errors=True)


def random_states() -> dict[str, torch.Tensor]:
    """Torch's generator states on this worker; dropout draws from them."""
    import torch

    found = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        found["cuda"] = torch.cuda.get_rng_state()
    return found


def set_random_states(states: Mapping[str, torch.Tensor]) -> None:
    import torch

    if "cpu" in states:
        torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


def on_all_workers(process_group: ProcessGroup, act: Callable[[], Any]) -> Any:
    """Do something on every worker. If it raises on one, it raises on all: a worker that continued
    would wait for the others forever."""
    found, error = None, None
    try:
        found = act()
    except Exception as caught:
        error = caught
    if process_group.agree(error is not None):
        raise error or TrainError("another worker of the trial could not use its checkpoint")
    return found


def checksum(path: Path) -> list[int]:
    """Size and CRC-32 of a file."""
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


def _parts(engine: Any) -> dict[str, torch.Tensor]:
    states = {RANDOM + name: state for name, state in random_states().items()}
    return {**states, **engine.state()}


def _prefix(rank: int) -> str:
    return f"worker-{rank:04d}-"


def _belongs(name: str, rank: int) -> bool:
    return name.startswith((_prefix(rank), _prefix(0)))


def _empty(partial: Path, guard: Callable[[], None]) -> None:
    guard()
    partial.parent.mkdir(parents=True, exist_ok=True)
    for old in partial.parent.glob(f"checkpoint-*{PARTIAL}"):
        shutil.rmtree(old)
    partial.mkdir()


def _write(folder: Path, rank: int, tensors: Mapping[str, torch.Tensor]) -> dict[str, list[int]]:
    """Write this worker's files. Returns size and checksum by file name."""
    from safetensors.torch import save_file

    found = {}
    for index, group in enumerate(in_files(tensors, FILE_BYTES)):
        path = folder / f"{_prefix(rank)}{index:03d}.safetensors"
        save_file({name: t.detach().cpu().contiguous() for name, t in group.items()}, path)
        share(path)
        sync(path)
        found[path.name] = checksum(path)
    return found


def _stand(partial: Path, home: Path) -> None:
    """Move a checkpoint to its place, then remove the previous ones. One of the same step, of a
    rung that was interrupted twice, is moved aside first: it counts until the new one is there."""
    sync(partial)
    if home.is_dir():
        aside = home.with_name(home.name + PREVIOUS)
        shutil.rmtree(aside, ignore_errors=True)
        os.replace(home, aside)
    os.replace(partial, home)
    sync(home.parent)
    for old in home.parent.glob("checkpoint-*"):
        if old != home:
            shutil.rmtree(old, ignore_errors=True)


def homes(folder: Path) -> list[Path]:
    """Complete checkpoints, newest first."""
    found = [home for home in folder.glob("checkpoint-*") if not home.name.endswith(PARTIAL)]
    return sorted(found, key=lambda home: (home.stem, not home.suffix), reverse=True)
