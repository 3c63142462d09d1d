"""Weights & Biases: a group of runs, one of the job type `sweep` and one `trial` for every trial,
under ids that are made here. Online, W&B resumes a run of a known id and takes only steps that it
does not have. Offline, every run is a folder in the run's own, for `wandb sync`."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from mtray.errors import ConfigError
from mtray.tracking.tracked_run import FAILED, TrackedRun, rows_by_step
from mtray.tracking.tracker import Drafts

PROJECT = "mtray"
FOLDER = "wandb"  # in the run's folder
OFFLINE = ("offline", "dryrun")  # values of WANDB_MODE
# the statistics would be those of the machine that sends, while it sends
QUIET = {"WANDB_ERROR_REPORTING": "false", "WANDB_X_DISABLE_STATS": "true"}
PATIENCE = 60.0  # seconds to connect, and for the rest of a run's data; by default hours


class WandbRuns(Drafts):
    """See `mtray.tracking.tracker.Tracker`. Project, entity, server and mode are those of the
    variables `WANDB_PROJECT`, `WANDB_ENTITY`, `WANDB_BASE_URL` and `WANDB_MODE`."""

    def __init__(self, run_dir: Path) -> None:
        super().__init__()
        mode = os.environ.get("WANDB_MODE", "online")
        if mode == "disabled":
            raise ConfigError("WANDB_MODE=disabled: W&B would drop all of it; set online, offline")
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        self._run_dir, self._offline = run_dir, mode in OFFLINE
        self._project = os.environ.get("WANDB_PROJECT") or PROJECT
        owner, server = (os.environ.get(n, "") for n in ("WANDB_ENTITY", "WANDB_BASE_URL"))
        folder = run_dir / FOLDER
        self.address = str(folder) if self._offline else f"project {self._project}"
        self.place = "offline" if self._offline else f"{server}|{owner}|{self._project}"
        self._group = run_dir.name

    def open_parent(self, run: TrackedRun) -> str:
        return self.start(run.key, run)

    def open_child(self, run: TrackedRun, parent: str) -> str:
        return self.start(run.key, run, parent)

    def close(self, run_id: str, state: str) -> None:
        run, parent = self.finished(run_id, state)
        if self._offline:
            self._remove_unfinished(run_id)
        self._folder().mkdir(exist_ok=True)
        self._write(run_id, run, "trial" if parent else "sweep")

    def _folder(self) -> Path:
        return self._run_dir / FOLDER

    def _remove_unfinished(self, run_id: str) -> None:
        """Folders of this run, whose writer was killed or which are replaced; not what `wandb
        sync` has marked as sent."""
        for folder in self._folder().glob(f"wandb/offline-run-*-{run_id}"):
            if not any(folder.glob("*.synced")):
                shutil.rmtree(folder, ignore_errors=True)

    def _write(self, run_id: str, run: TrackedRun, kind: str) -> None:
        import wandb

        settings = wandb.Settings(
            silent=True, console="off", disable_git=True, disable_code=True,
            init_timeout=PATIENCE, finish_timeout=PATIENCE, finish_timeout_raises=True,
        )  # fmt: skip
        found = wandb.init(
            project=self._project, id=run_id, name=run.name, group=self._group, job_type=kind,
            resume=None if self._offline else "allow", dir=str(self._folder()),
            config=dict(run.parameters), tags=[run.state], notes=run.notes.get("reason"),
            settings=settings, reinit="create_new",
        )  # fmt: skip
        ended = False
        try:
            for step, values in rows_by_step(run.series):
                found.log(values, step=step)
            found.summary.update({**run.values, **run.notes, "state": run.state})
            if run.files:
                _attach(wandb, found, run)
            ended = True
        finally:
            fault = not ended or run.state in FAILED
            found.finish(exit_code=1 if fault else 0)


def _attach(wandb: Any, found: Any, run: TrackedRun) -> None:
    """One artifact with all files; W&B makes a new version of it only if one has changed."""
    artifact = wandb.Artifact(f"front-{run.key}", type="report")
    for path in run.files:
        artifact.add_file(str(path))
    found.log_artifact(artifact)
