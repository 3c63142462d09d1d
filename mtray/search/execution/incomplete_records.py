"""Records of trials that ended before their last step without a failure."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from mtray.runtime import versions
from mtray.schema import Rung, TrialRecord
from mtray.trial.job import Job, Outcome


def pruned_record(job: Job, outcome: Outcome, curve: Sequence[Rung]) -> TrialRecord:
    """The record of a trial that a rung ended: its curve up to there, and the reason."""
    return TrialRecord(
        number=job.number, role=job.role, state="pruned", recipe=job.recipe, seed=job.seed,
        replicate=job.replicate, of=job.of, mix=outcome.mix, training=outcome.training,
        reason=curve[-1].decision, seconds=outcome.seconds, versions=outcome.versions,
        finished=time.strftime("%Y-%m-%dT%H:%M:%S%z"), extra=dict(outcome.notes),
    )  # fmt: skip


def stopped_record(job: Job, at: tuple[int, int], seconds: Mapping[str, float]) -> TrialRecord:
    """The record of a trial that the user has stopped. `at`: the step that it had reached, and all
    of them (0: unknown)."""
    where = f"at step {at[0]} of {at[1]}" if at[1] else "before its first step"
    return TrialRecord(
        number=job.number, role=job.role, state="stopped", recipe=job.recipe, seed=job.seed,
        replicate=job.replicate, of=job.of, reason=f"stopped by the user {where}",
        seconds=dict(seconds), versions=versions(), finished=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    )  # fmt: skip
