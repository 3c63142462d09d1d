"""The evaluation's requests, split over all workers of a trial, and what rank 0 decides from their
outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from mtray.errors import TrialStopped
from mtray.evaluation.inference.batching import Settings
from mtray.evaluation.inference.engine import answer_part, joined
from mtray.evaluation.inference.requests import Output, Request
from mtray.training.worker import ProcessGroup, Worker


def evaluate_distributed(
    settings: Settings, asked: Sequence[Request], worker: Worker
) -> list[Output]:
    """Every worker answers its part; rank 0 returns all outputs, the others none. If TrialStopped
    is raised on one worker, it is raised on all."""
    part, process_group = None, worker.process_group
    with suppress(TrialStopped):
        part = answer_part(
            settings,
            asked,
            (process_group.rank, process_group.world),
            lambda done, of: worker.progress({"answered": done, "steps": of}),
            worker.should_stop,
        )
    # a worker that left alone would block the others
    if process_group.agree(part is None):
        raise TrialStopped
    parts = process_group.gather(part)
    return [] if process_group.rank else joined(asked, parts)


def decision_of_rank_0(ask: Callable[[], bool], process_group: ProcessGroup) -> bool:
    """The answer of `ask` on rank 0; False on the others, which wait for it. If TrialStopped is
    raised there, it is raised on all."""
    ends, stopped = False, False
    try:
        ends = not process_group.rank and ask()
    except TrialStopped:
        stopped = True
    if process_group.agree(stopped):
        raise TrialStopped
    return ends
