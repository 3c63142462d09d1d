"""What all trials of a sweep use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mtray.schema import Study
from mtray.search.execution.store_transport import SentTable


@dataclass(frozen=True)
class Shared:
    """Where all machines of the cluster reach it.

    requests, suite: references into Ray's object store.
    progress actor: actor of a `mtray.search.execution.progress.ProgressActor`.
    queue: actor of a `mtray.search.execution.job_queue.JobQueue`.
    similar: `mtray.evaluation.source_similarity.EmbeddingMeans`, where the study asks for them."""

    study: Study
    run_dir: str
    store: dict[str, SentTable]
    requests: Any
    suite: Any
    progress_actor: Any
    queue: Any
    similar: Any = None
