"""What a running sweep does now, as a file in its run folder for `status` and other readers."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mtray.run_files import trial_name
from mtray.schema.base import Frozen

FILE = "progress.json"
EVERY = 1.0  # seconds between two writings
POINTS = 12_800  # of all running trials' curves, which are written every second
STALE = 60.0  # seconds after which the file says nothing of now


class RunningTrial(Frozen):
    """A dispatched trial.

    - `state`: what it does, such as `training`; `starting` before its processes run.
    - `since`: when that began, in seconds of the epoch; None: not known yet.
    - `step`, `steps`: training step and total steps; in evaluation, answered and total requests.
    - `tokens_per_second`, `loss`: the latest of training.
    - `gpu_memory_bytes`: peak memory that worker 0 has allocated on its GPU.
    - `curve`: the loss curve so far, pairs of step and loss.
    """

    number: int
    state: str = "starting"
    since: float | None = None
    step: int | None = None
    steps: int | None = None
    tokens_per_second: float | None = None
    loss: float | None = None
    gpu_memory_bytes: int | None = None
    curve: tuple[tuple[int, float], ...] = ()

    def text(self, now: float) -> str:
        """For example `trial 3: training, step 120 of 400, 5,210 tokens/s, for 31 s`."""
        parts = [self.state]
        if self.step is not None and self.steps is not None:
            parts.append(f"step {self.step:,} of {self.steps:,}")
        if self.tokens_per_second is not None:
            parts.append(f"{self.tokens_per_second:,.0f} tokens/s")
        if self.loss is not None:
            parts.append(f"loss {self.loss:.3f}")
        if self.since is not None:
            parts.append(f"for {max(0.0, now - self.since):.0f} s")
        return f"trial {trial_name(self.number)}: {', '.join(parts)}"


class LiveProgress(Frozen):
    """A running sweep.

    - `written`: when, in seconds of the epoch.
    - `finished`, `total`: trials, without the base model.
    - `paused`: whether no trial starts until it is lifted.
    - `until`: when the time limit ends, in seconds of the epoch; None: there is none.
    - `seconds_left`: estimated; None: not known, or the sweep is being stopped.
    """

    written: float
    finished: int
    total: int
    seconds_left: float | None = None
    paused: bool = False
    until: float | None = None
    trials: tuple[RunningTrial, ...] = ()


def running_trial(number: int, entry: Mapping[str, Any], running: int = 1) -> RunningTrial:
    """From an entry of the progress actor's snapshot. The more trials are `running`, the fewer
    points of its curve are kept."""
    known = {name: entry[name] for name in RunningTrial.model_fields if name in entry}
    every = -(-running * len(known.get("curve", ())) // POINTS)
    if every > 1:
        known["curve"] = known["curve"][::-1][::every][::-1]  # with the last one
    return RunningTrial(**{**known, "number": number})


def write_progress(run_dir: Path, found: LiveProgress) -> None:
    """Replace the file. A full disk or a lost file system only makes it stale. Nothing is synced
    to disk: what a machine did before it went down is of no use."""
    file = run_dir / FILE
    partial = file.with_name(f".{FILE}.{os.getpid()}.tmp")
    try:
        partial.write_text(found.model_dump_json(), encoding="utf-8")
        os.replace(partial, file)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def remove_progress(run_dir: Path) -> None:
    with contextlib.suppress(OSError):
        (run_dir / FILE).unlink(missing_ok=True)


def read_progress(run_dir: Path, now: float) -> LiveProgress | None:
    """What the sweep does at `now`; None without a file, with an old one, as a killed sweep leaves
    it, and with one that is not readable."""
    try:
        content = (run_dir / FILE).read_text(encoding="utf-8")
        found = LiveProgress.model_validate_json(content)
    except (OSError, ValidationError, UnicodeDecodeError):
        return None
    return found if now - found.written < STALE else None
