"""TensorBoard: event files in the run's own folder, a subfolder for every trial and `sweep`. A
subfolder is written beside its place and moved there, so that it is complete or absent.

Written by tensorboardX, which comes with Ray Tune; TensorBoard itself only reads them.
"""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path
from typing import Any

from mtray.files import write_atomically
from mtray.tracking.tracked_run import TrackedRun
from mtray.tracking.tracker import Drafts

FOLDER = "tensorboard"  # in the run's folder
SWEEP = "sweep"
IDENTITY = ".id"  # file of the folder; lost with it, so that all is written again
CURVES = ".curves"  # ending of the event file with the series
OLD, NEW = ".old", ".new"  # beginnings of names of what is being replaced


class TensorBoardFiles(Drafts):
    """See `mtray.tracking.tracker.Tracker`; its runs are subfolders."""

    def __init__(self, run_dir: Path) -> None:
        super().__init__()
        self._folder = run_dir / FOLDER
        self.place, self.address = FOLDER, str(self._folder)

    def open_parent(self, run: TrackedRun) -> str:
        identity = self._folder / IDENTITY
        if not identity.is_file():
            write_atomically(identity, secrets.token_hex(8).encode())
        return self.start(identity.read_text(encoding="utf-8"), run)

    def open_child(self, run: TrackedRun, parent: str) -> str:
        return self.start(run.name.replace(" ", "-"), run, parent)

    def close(self, run_id: str, state: str) -> None:
        run, parent = self.finished(run_id, state)
        place = self._folder / (run_id if parent else SWEEP)
        new, old = (place.with_name(f"{mark}.{place.name}") for mark in (NEW, OLD))
        for rest in (new, old):  # of a process that was killed
            shutil.rmtree(rest, ignore_errors=True)
        _write(run, new)
        if place.exists():
            os.replace(place, old)
        os.replace(new, place)
        shutil.rmtree(old, ignore_errors=True)


def _write(run: TrackedRun, folder: Path) -> None:
    from tensorboardX import SummaryWriter

    compared = {name: run.values[name] for name in run.compared if name in run.values}
    with SummaryWriter(str(folder), filename_suffix=CURVES) as writer:
        # into the same folder, as another file: a table of parameters and what they are compared by
        writer.add_hparams(dict(run.parameters), compared, name=".", global_step=0)
        for name, points in run.series.items():
            for step, value in points:
                writer.add_scalar(tag_of(name), value, step, walltime=run.ended)
        for name, value in run.values.items():
            if name not in compared:
                writer.add_scalar(tag_of(name), value, 0, walltime=run.ended)
        for name, text in {"name": run.name, "state": run.state, **run.notes}.items():
            writer.add_text(name, _verbatim(text), walltime=run.ended)
        for path in run.files:
            _attach(writer, path)


def tag_of(name: str) -> str:
    """TensorBoard groups by what is before a slash: `bleu.en-uk` is shown as `bleu/en-uk`."""
    return name.replace(".", "/", 1)


def _verbatim(text: str) -> str:
    """Indented: texts are shown as Markdown, and this is not meant as such."""
    return "\n".join(f"    {line}" for line in text.splitlines())


def _attach(writer: Any, path: Path) -> None:
    """A picture as such; other files cannot be attached, so their paths are said."""
    if path.suffix == ".png":
        from matplotlib.image import imread

        writer.add_image(path.stem, imread(path)[..., :3], 0, dataformats="HWC")
    else:
        writer.add_text(path.name, _verbatim(str(path)))
