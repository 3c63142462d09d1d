"""Runs the trials of a sweep while the table, the watchdog, the page and requests look at them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtray.schema import Budget, TrialRecord
from mtray.search.execution.console import LiveTable
from mtray.search.execution.controls import Actions, Controls
from mtray.search.execution.watchdog import Watchdog, look_at
from mtray.search.ledger.ledger import Ledger
from mtray.search.ledger.live_progress import LiveProgress, remove_progress
from mtray.search.ledger.trial_failures import is_disk_full
from mtray.search.ledger.trial_plan import after_first_repeat
from mtray.trial.job import Job

if TYPE_CHECKING:
    from mtray.search.execution.executors import Executors
    from mtray.search.execution.searcher import Limits
    from mtray.search.execution.shared import Shared


ANSWER_WITHIN = 10.0  # seconds


def with_limits(found: LiveProgress, limits: Limits) -> LiveProgress:
    """The progress with what keeps further trials from starting."""
    left = None if limits.until is None else limits.until - time.monotonic()
    until = None if left is None else time.time() + left
    return found.model_copy(update={"paused": limits.paused, "until": until})


def _controls(ledger: Ledger, shared: Shared, limits: Limits, watch: LiveTable) -> Controls:
    def raise_budget(budget: Budget, total: int) -> None:
        ledger.ending.raise_budget(budget)
        watch.set_total(total)

    actions = Actions(
        watch.running, shared.progress_actor.end_trial.remote, raise_budget, watch.say
    )
    return Controls(Path(shared.run_dir), shared.study.budget, limits, actions)


def run_watched(
    ledger: Ledger, shared: Shared, limits: Limits, watch: LiveTable, grows: bool
) -> int | None:
    """Run trials until the sweep ends; returns the signal that stopped it, if any."""
    from mtray.search.execution.executors import Executors
    from mtray.search.execution.sharing import rung_points
    from mtray.search.execution.tuner import StopOnSignal, run_trials

    progress_actor = shared.progress_actor

    def lost(reason: str) -> None:
        limits.stop(reason, fatal=True)
        progress_actor.stop.remote()  # a trial may wait for another one that has ended

    def restore() -> None:
        points = rung_points(shared.study, Path(shared.run_dir))
        progress_actor.restore.remote(points, limits.stopped, controls.to_end())

    controls = _controls(ledger, shared, limits, watch)
    executors = Executors(shared, watch.say, lost, restore, grows)
    watchdog = Watchdog(
        shared.study.resources,
        watch.say,
        lambda: look_at(progress_actor, shared.queue, executors.places),
    )
    watch.start(progress_actor)
    watchdog.start()
    controls.start()
    try:
        with StopOnSignal(limits, progress_actor, watch.say) as stop:
            events = _events(ledger, watch, watchdog, shared, executors)
            run_trials(ledger, shared, limits, events)
        return stop.received
    finally:
        controls.stop()
        executors.close()
        watchdog.stop()
        watch.stop()
        remove_progress(Path(shared.run_dir))
        with full_disk_later():
            for number in ledger.running_numbers():
                ledger.give_back(number)


def _events(
    ledger: Ledger, watch: LiveTable, watchdog: Watchdog, shared: Shared, executors: Executors
) -> Any:
    """The callbacks that connect trial events to the table, the watchdog and the executors."""
    import ray

    from mtray.search.execution.searcher import Events

    progress_actor = shared.progress_actor
    told = after_first_repeat(Path(shared.run_dir), shared.study, watch.say)

    def started(job: Job) -> None:
        watchdog.started(job)
        watch.started(job)
        if purpose := ledger.purpose(job.number):
            watch.say(f"trial {job.number} {purpose}")

    def ended(record: TrialRecord) -> None:
        watchdog.ended(record.number)
        watch.ended(record)
        told(record)

    def abandoned(number: int) -> None:
        executors.check()
        with contextlib.suppress(ray.exceptions.RayActorError):  # then the sweep ends
            for ticket in ray.get(shared.queue.abandon.remote(number)):
                progress_actor.cancel.remote(ticket)

    def moved(number: int) -> str:
        try:
            return str(ray.get(progress_actor.left.remote(number), timeout=ANSWER_WITHIN))
        except ray.exceptions.RayError:
            return ""

    def lost(number: int, reason: str) -> None:
        progress_actor.remove.remote(number)
        watchdog.ended(number)
        watch.lost(number, reason)

    return Events(
        started, ended, abandoned, lost, progress_actor.stop.remote, lambda: executors.places, moved
    )


@contextlib.contextmanager
def full_disk_later() -> Iterator[None]:
    """Ignore a full disk here: the sweep ends because of it, and the next start repairs the
    files."""
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise
