"""What all trials of a sweep share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mtray.schema import Study
from mtray.search.execution.store_transport import SentTable


@dataclass(frozen=True)
class Shared:
    """References and actors that every machine of the cluster can reach.

    requests, suite: references into Ray's object store.
    progress_actor: actor of a `mtray.search.execution.progress.ProgressActor`.
    queue: actor of a `mtray.search.execution.job_queue.JobQueue`.
    metric, metric_node: actor of a `mtray.search.execution.shared_metric.MetricActor`
        and its machine, if the study has `metric_gpus`.
    similar: `mtray.evaluation.source_similarity.EmbeddingMeans`, if the study requests them.
    """

    study: Study
    run_dir: str
    store: dict[str, SentTable]
    requests: Any
    suite: Any
    progress_actor: Any
    queue: Any
    similar: Any = None
    metric: Any = None
    metric_node: str = ""
