"""All workers of a trial answer the evaluation's requests."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from mtray.errors import TrialStopped
from mtray.evaluation.batches import Settings
from mtray.evaluation.engine import Output, Request, answer_part, joined
from mtray.training.worker import Worker


def answer_together(settings: Settings, asked: Sequence[Request], worker: Worker) -> list[Output]:
    """Every worker answers its part; the outputs of all are returned on rank 0, none elsewhere.
    TrialStopped is raised on all workers where it is on one."""
    part, place = None, worker.place
    with suppress(TrialStopped):
        part = answer_part(
            settings, asked, (place.rank, place.world),
            lambda done, of: worker.progress({"answered": done, "steps": of}),
            worker.should_stop,
        )  # fmt: skip
    # a worker that left by itself would leave the others waiting
    if place.agree(part is None):
        raise TrialStopped
    parts = place.gather(part)
    return [] if place.rank else joined(asked, parts)
