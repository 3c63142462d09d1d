"""All workers of a trial answer the evaluation's requests."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from mtray.errors import TrialStopped
from mtray.evaluation.inference.batching import Settings
from mtray.evaluation.inference.engine import answer_part, joined
from mtray.evaluation.inference.requests import Output, Request
from mtray.training.worker import Worker


def evaluate_distributed(
    settings: Settings, asked: Sequence[Request], worker: Worker
) -> list[Output]:
    """Every worker answers its part; the outputs of all are returned on rank 0, none elsewhere.
    TrialStopped is raised on all workers where it is on one."""
    part, process_group = None, worker.process_group
    with suppress(TrialStopped):
        part = answer_part(
            settings,
            asked,
            (process_group.rank, process_group.world),
            lambda done, of: worker.progress({"answered": done, "steps": of}),
            worker.should_stop,
        )
    # a worker that left by itself would leave the others waiting
    if process_group.agree(part is None):
        raise TrialStopped
    parts = process_group.gather(part)
    return [] if process_group.rank else joined(asked, parts)
