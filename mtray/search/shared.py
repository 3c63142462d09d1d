"""What all trials of a sweep use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mtray.schema import Study
from mtray.search.handing import Handed


@dataclass(frozen=True)
class Shared:
    """Where all machines of the cluster reach it.

    requests, suite: references into Ray's object store.
    board: actor of a `mtray.search.board.Board`.
    queue: actor of a `mtray.search.job_queue.JobQueue`.
    similar: `mtray.evaluation.similarity.Means`, where the study asks for them."""

    study: Study
    run_dir: str
    store: dict[str, Handed]
    requests: Any
    suite: Any
    board: Any
    queue: Any
    similar: Any = None
