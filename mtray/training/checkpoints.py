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
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtray.errors import TrainError
from mtray.files import sync
from mtray.full_disk import is_full, naming
from mtray.training.checkpoint_files import RANDOM, Tensors, belongs, checksum, write_tensors
from mtray.training.worker import ProcessGroup

if TYPE_CHECKING:
    import torch

STATE = "state.json"
PARTIAL = ".partial"
PREVIOUS = ".previous"


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
        raises on one it raises on all, and the previous checkpoint remains. Raises FullDisk for the
        checkpoint, of which nothing is left then."""
        if self._folder is None:
            return
        home = self._folder / f"checkpoint-{step:08d}"
        partial = home.with_name(home.name + PARTIAL)
        try:
            with naming(home, partial):
                self._write(partial, home, engine, process_group, step, loop)
        except Exception as error:
            if process_group.rank == 0 and is_full(error):
                self._guard()
                shutil.rmtree(partial, ignore_errors=True)
            raise
        self._last = time.monotonic()

    def _write(
        self,
        partial: Path,
        home: Path,
        engine: Any,
        process_group: ProcessGroup,
        step: int,
        loop: Any,
    ) -> None:
        first = process_group.rank == 0
        on_all_workers(process_group, lambda: _empty(partial, self._guard) if first else None)
        files = on_all_workers(
            process_group, lambda: write_tensors(partial, process_group.rank, _parts(engine))
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
                if belongs(name, process_group.rank) and checksum(home / name) != expected:
                    return None, f"{home.name}/{name} is damaged"
        except (OSError, ValueError, KeyError, TypeError) as error:
            return None, f"{home.name} is damaged: {type(error).__name__}: {error}"
        return state, ""


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


def _parts(engine: Any) -> dict[str, torch.Tensor]:
    states = {RANDOM + name: state for name, state in random_states().items()}
    return {**states, **engine.state()}


def _empty(partial: Path, guard: Callable[[], None]) -> None:
    guard()
    partial.parent.mkdir(parents=True, exist_ok=True)
    for old in partial.parent.glob(f"checkpoint-*{PARTIAL}"):
        shutil.rmtree(old)
    partial.mkdir()


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
