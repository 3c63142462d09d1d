"""MLflow: runs of one experiment, the trials' nested below the sweep's. A run is found again by a
tag with its key."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from mtray.schema import ENDED_EARLY
from mtray.tracking.tracked_run import FAILED, RUNNING, Points, TrackedRun, Value
from mtray.tracking.tracker_address import without_credentials

EXPERIMENT = "mtray"
KEY, STATE = "mtray.key", "mtray.state"  # tags
PARENT = "mlflow.parentRunId"
BATCH = 500  # metrics, parameters are fewer; MLflow takes 1000 of both together
LONGEST = 5000  # characters of a tag's value that every store takes
# MLflow tries for minutes by default; a sending is tried again later
PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}


class MlflowRuns:
    """See `mtray.tracking.tracker.Tracker`. The server or folder is what MLflow itself is set
    to (`MLFLOW_TRACKING_URI`)."""

    def __init__(self) -> None:
        for name, value in {**PATIENCE, **QUIET}.items():
            os.environ.setdefault(name, value)
        import mlflow
        from mlflow.tracking import MlflowClient

        uri = mlflow.get_tracking_uri()
        self._client = MlflowClient(tracking_uri=uri)
        self._own: str | None = os.environ.get("MLFLOW_EXPERIMENT_ID")
        self._name = os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        self.address = f"{without_credentials(uri)}, experiment {self._own or self._name}"
        self.place = f"{without_credentials(uri)}|{self._own or self._name}"
        self._ended: dict[str, float | None] = {}

    def open_parent(self, run: TrackedRun) -> str:
        return self._open(run, {})

    def open_child(self, run: TrackedRun, parent: str) -> str:
        return self._open(run, {PARENT: parent})

    def _open(self, run: TrackedRun, tags: Mapping[str, str]) -> str:
        experiment = self._experiment()
        found = self._client.search_runs([experiment], f"tags.`{KEY}` = '{run.key}'", max_results=1)
        if found:
            run_id = str(found[0].info.run_id)
        else:
            created = self._client.create_run(
                experiment, run_name=run.name, tags={**tags, KEY: run.key}
            )
            run_id = str(created.info.run_id)
        self._ended[run_id] = run.ended
        return run_id

    def _experiment(self) -> str:
        if self._own is None:
            known = self._client.get_experiment_by_name(self._name)
            self._own = known.experiment_id if known else self._client.create_experiment(self._name)
        return self._own

    def log_parameters(self, run_id: str, parameters: Mapping[str, Value]) -> None:
        from mlflow.entities import Param

        known = self._client.get_run(run_id).data.params
        new = [Param(_name(n), str(v)) for n, v in parameters.items() if _name(n) not in known]
        if new:
            self._client.log_batch(run_id, params=new)

    def log_values(
        self, run_id: str, values: Mapping[str, float], notes: Mapping[str, str]
    ) -> None:
        data = self._client.get_run(run_id).data
        fresh = {_name(name): v for name, v in values.items() if data.metrics.get(_name(name)) != v}
        first = {name: v for name, v in fresh.items() if name not in data.metrics}
        # the latest by time is shown, so a changed value is one of now
        self._log(run_id, [(name, 0, v) for name, v in first.items()])
        changed = [(name, 0, v) for name, v in fresh.items() if name not in first]
        self._log(run_id, changed, int(time.time() * 1000))
        for name, text in notes.items():
            if data.tags.get(f"mtray.{name}") != text[:LONGEST]:
                self._client.set_tag(run_id, f"mtray.{name}", text[:LONGEST])

    def log_series(self, run_id: str, series: Mapping[str, Points]) -> None:
        known = self._client.get_run(run_id).data.metrics
        for name, points in series.items():
            sent = set()
            if _name(name) in known:
                sent = {m.step for m in self._client.get_metric_history(run_id, _name(name))}
            self._log(run_id, [(_name(name), step, v) for step, v in points if step not in sent])

    def _log(
        self, run_id: str, points: list[tuple[str, int, float]], now: int | None = None
    ) -> None:
        from mlflow.entities import Metric

        when = self._moment(run_id) if now is None else now
        metrics = [Metric(name, value, when, step) for name, step, value in points]
        for start in range(0, len(metrics), BATCH):
            self._client.log_batch(run_id, metrics=metrics[start : start + BATCH])

    def _moment(self, run_id: str) -> int:
        """When the run ended, or now, in milliseconds of the epoch."""
        ended = self._ended[run_id]
        return int((time.time() if ended is None else ended) * 1000)

    def attach(self, run_id: str, files: tuple[Path, ...]) -> None:
        for path in files:
            self._client.log_artifact(run_id, str(path))

    def close(self, run_id: str, state: str) -> None:
        self._client.set_tag(run_id, STATE, state)
        if state == RUNNING:
            self._client.update_run(run_id, status="RUNNING")
            return
        status = "FAILED" if state in FAILED else "KILLED" if state in ENDED_EARLY else "FINISHED"
        self._client.set_terminated(run_id, status, self._moment(run_id))


def _name(name: str) -> str:
    """MLflow takes letters, digits, and `_-./ :` in names."""
    return "".join(c if c.isalnum() or c in "_-./ :" else "_" for c in name)
