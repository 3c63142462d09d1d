"""Progress of a running sweep: workers write to one small actor, the live table reads it, and stop
requests are returned to the workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Any

from mtray.errors import TrialStopped
from mtray.search.early_stopping.rung_files import RungQuestion
from mtray.search.early_stopping.rungs import Point

# a worker that has no answer by then continues; large metrics are slow on a CPU
ANSWER_SECONDS = 600.0


CURVE = 200  # points of a running trial's loss that are kept


def with_point(curve: list[tuple[int, float]], step: int, loss: float) -> list[tuple[int, float]]:
    """The curve with a further point. One that starts again, from the beginning or a checkpoint,
    loses what it repeats; one that becomes too long loses every second point."""
    kept = [*(point for point in curve if point[0] < step), (step, loss)]
    return kept if len(kept) <= CURVE else kept[::-1][::2][::-1]


class ProgressActor:
    """State of every running trial, by number. A Ray actor that reserves no CPU. Ray starts a lost
    one again; it is empty then, and the driver tells it what it must know (`restore`)."""

    def __init__(self) -> None:
        self._restored = False
        self._trials: dict[int, dict[str, Any]] = {}
        self._stop = False
        self._cancelled: set[int] = set()
        self._ended: set[int] = set()
        self._points: dict[int, dict[int, Point]] = {}
        self._questions: dict[int, list[RungQuestion]] = {}
        self._answers: dict[tuple[int, int], bool] = {}
        self._drained: set[str] = set()
        self._left: dict[int, str] = {}

    def update(self, number: int, fields: dict[str, Any]) -> None:
        entry = self._trials.setdefault(number, {"since": time.time()})
        if fields.get("state") not in (None, entry.get("state")):
            entry["since"] = time.time()
            entry.pop("step", None)
            entry.pop("answered", None)
        if "step" in fields:
            entry.pop("answered", None)
        elif "answered" in fields:  # by rank
            answered = {**entry.get("answered", {}), **fields["answered"]}
            fields = {**fields, "answered": answered, "step": sum(answered.values())}
        entry.update(fields)
        if "loss" in fields and "step" in fields:
            entry["curve"] = with_point(entry.get("curve", []), fields["step"], fields["loss"])

    def remove(self, number: int) -> None:
        self._trials.pop(number, None)

    def restored(self) -> bool:
        """Whether the driver has told this process what it must know."""
        return self._restored

    def restore(
        self, points: Mapping[int, Mapping[int, Point]], stop: bool, ended: Collection[int] = ()
    ) -> None:
        """What the driver knows: the measurements at rungs, whether the sweep is being stopped,
        and the trials that were asked to end."""
        self.know(points)
        self._ended.update(ended)
        self._stop = self._stop or stop
        self._restored = True

    def know(self, points: Mapping[int, Mapping[int, Point]]) -> None:
        """Add measurements by rung and trial; a later one of the same trial replaces the
        earlier."""
        for rung, by_number in points.items():
            self._points.setdefault(rung, {}).update(by_number)

    def others(self, rung: int, number: int) -> list[Point]:
        """The measurements at a rung, except for trial `number`."""
        return [p for n, p in self._points.get(rung, {}).items() if n != number]

    def ask(self, number: int, question: RungQuestion) -> None:
        self._answers.pop((number, question.reached.rung), None)
        self._questions.setdefault(number, []).append(question)

    def question(self, number: int) -> RungQuestion | None:
        """The trial's oldest question that was not taken yet."""
        waiting = self._questions.get(number)
        return waiting.pop(0) if waiting else None

    def answer(self, number: int, rung: int, ends: bool) -> None:
        self._answers[number, rung] = ends

    def answered(self, number: int, rung: int) -> bool | None:
        return self._answers.pop((number, rung), None)

    def snapshot(self) -> dict[int, dict[str, Any]]:
        return self._trials

    def stop(self) -> None:
        self._stop = True

    def cancel(self, ticket: int) -> None:
        """Ask one job to stop at its next step."""
        self._cancelled.add(ticket)

    def end_trial(self, number: int) -> None:
        """Ask one trial to end at its next step, for good."""
        self._ended.add(number)

    def ended_at(self, number: int) -> tuple[int, int] | None:
        """The step that a trial has reached which was asked to end, and all its steps (0: unknown);
        None if it was not."""
        curve = self._trials.get(number, {}).get("curve")
        steps = int(self._trials.get(number, {}).get("steps", 0)) if curve else 0
        return ((curve[-1][0] if curve else 0), steps) if number in self._ended else None

    def stopping(
        self, ticket: int | None = None, number: int | None = None, node: str | None = None
    ) -> bool:
        """Whether all jobs are to stop, the job of this ticket, this trial, or those on a
        machine."""
        asked = self._stop or ticket in self._cancelled or number in self._ended
        return asked or node in self._drained

    def drain(self, nodes: Collection[str]) -> None:
        """The machines that are being drained."""
        self._drained = set(nodes)

    def drains(self, node: str) -> bool:
        return node in self._drained

    def leave(self, number: int, reason: str) -> None:
        """The trial's own process ends now, for a `reason` that is no loss."""
        self._left[number] = reason

    def left(self, number: int) -> str:
        """Why the trial's own process has ended, once; empty if it did not say."""
        return self._left.pop(number, "")


def start_progress(run: str) -> Any:
    """Start the progress actor of a run on the driver's machine, so that it survives the loss of
    any other."""
    from mtray.search.execution.nodes import start_actor_here

    return start_actor_here(ProgressActor, f"mtray:{run} progress", max_restarts=-1)


def ask_whether_to_stop(
    progress_actor: Any, number: int, question: RungQuestion, should_stop: Callable[[], bool]
) -> bool:
    """Whether the trial ends here, as decided by its own process; False if no answer arrives.
    Raises TrialStopped if the sweep is being stopped, so that the rung is measured again."""
    import ray

    from mtray.search.execution.nodes import is_gone

    asked, until = False, time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < until:
        if should_stop():
            raise TrialStopped
        try:
            if not asked:
                ray.get(progress_actor.ask.remote(number, question))
                asked = True
            ends = ray.get(progress_actor.answered.remote(number, question.reached.rung))
        except ray.exceptions.RayError as error:
            if is_gone(error):  # which ends the sweep
                raise TrialStopped from error
            ends, asked = None, False  # a process that was started again does not know the question
        if ends is not None:
            return bool(ends)
        time.sleep(0.1)
    return False


class Reporter:
    """A worker's connection to the progress actor: never blocks on it, and writes at most a few
    times a second. `ticket`: the job that it works on; `node`: the machine with which it ends."""

    def __init__(
        self,
        progress_actor: Any,
        number: int,
        rank: int = 0,
        interval: float = 0.5,
        ticket: int | None = None,
        node: str = "",
    ) -> None:
        self._progress_actor, self._number = progress_actor, number
        self._node = (node,) if node else ()
        self._rank, self._interval = rank, interval
        self._ticket = ticket
        self._pending: dict[str, Any] = {}
        self._written = 0.0
        self._asked = 0.0
        self._answer: Any = None
        self._stop = False

    def progress(self, fields: dict[str, Any]) -> None:
        """Report progress: rank 0 reports for the trial, other ranks only their number of
        answers."""
        if "answered" in fields:
            fields = {**fields, "answered": {self._rank: fields["answered"]}}
        elif self._rank:
            return
        if "state" in fields:
            self._pending.pop("answered", None)  # of the previous state
        self._pending.update(fields)
        now = time.monotonic()
        if "state" in fields or now - self._written >= self._interval:
            self._progress_actor.update.remote(self._number, self._pending)
            self._pending, self._written = {}, now

    def stopping(self) -> bool:
        """Whether the progress actor asks to stop now. Waits for its answer."""
        self._stop = self._stop or self._says_stop(self._ask())
        return self._stop

    def ended_at(self) -> tuple[int, int] | None:
        """See `ProgressActor.ended_at`; None if the actor does not answer."""
        import ray

        try:
            found: tuple[int, int] | None = ray.get(
                self._progress_actor.ended_at.remote(self._number), timeout=5
            )
        except ray.exceptions.RayError:
            return None
        return found

    def drained(self, node: str) -> bool:
        """Whether this machine is being drained; False if the progress actor does not answer."""
        import ray

        try:
            return bool(ray.get(self._progress_actor.drains.remote(node), timeout=5))
        except ray.exceptions.RayError:
            return False

    def should_stop(self) -> bool:
        """The progress actor's last answer; sends a new query once the last one was answered."""
        import ray

        now = time.monotonic()
        if self._answer is None and now - self._asked >= self._interval:
            self._answer, self._asked = self._ask(), now
        elif self._answer is not None and ray.wait([self._answer], timeout=0)[0]:
            self._stop = self._says_stop(self._answer)
            self._answer = None
        return self._stop

    def _ask(self) -> Any:
        question = self._progress_actor.stopping
        return question.remote(self._ticket, self._number, *self._node)

    def _says_stop(self, answer: Any) -> bool:
        """A missing answer counts as what was known, but that of a process that is gone as yes:
        nobody else would end this job."""
        import ray

        from mtray.search.execution.nodes import is_gone

        try:
            return bool(ray.get(answer, timeout=5))
        except ray.exceptions.RayError as error:
            return self._stop or is_gone(error)
