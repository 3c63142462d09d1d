"""Evaluates a trial at its rungs, in a thread of the trial's own process, while its worker waits.

The process holds what scoring needs (the metric, the base model's outputs) and is idle while the
worker trains; the worker holds the model. They communicate through the progress actor. Where no
measurement could end the trial, the worker continues at once and is evaluated in the meantime.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from mtray.analysis.uncertainty import Z95
from mtray.errors import EvaluationError
from mtray.evaluation.inference.requests import Output
from mtray.schema import Estimate, Rung, Study
from mtray.search.early_stopping.rung_files import RungFiles, RungQuestion
from mtray.search.early_stopping.rungs import Decision, Point, can_end, decide
from mtray.trial.job import Job

RESAMPLES = 200  # enough for a standard error, a fifth of the time of an interval
INTERVAL = 0.2  # seconds between two polls of the progress actor

Base = Callable[[], Sequence[Output] | None]


def estimates(
    study: Study, suite: Any, outputs: Sequence[Output], base: Sequence[Output]
) -> tuple[dict[str, Estimate], tuple[str, ...]]:
    """Estimates of the objectives from outputs of `suite`, a subset of the study's, and the
    abilities that the retention leaves out. Raises EvaluationError if an objective cannot be
    measured."""
    result = suite.score(outputs, base, RESAMPLES, study.seed)
    measured = {**result.scores, **result.objectives}
    if missing := [name for name in study.objectives if name not in measured]:
        raise EvaluationError(f"objective {missing[0]!r} cannot be measured at a rung")
    found = {name: measured[name] for name in study.objectives}
    estimated = {
        n: Estimate(value=s.value, error=(s.high - s.low) / (2 * Z95)) for n, s in found.items()
    }
    return estimated, tuple(result.left_out)


class RungEvaluator:
    """Answers a worker's questions while used as a context manager; does nothing in a study without
    `early_stopping`.

    `base` returns the base model's outputs, or None while there are none. `kept` holds the rungs of
    a lost attempt and where they are stored.
    """

    def __init__(
        self, job: Job, study: Study, progress_actor: Any, suite: Any, base: Base, kept: RungFiles
    ) -> None:
        self._job, self._study, self._progress_actor = job, study, progress_actor
        self._suite, self._read_base, self._kept = suite, base, kept
        self._base_outputs: Sequence[Output] | None = None
        self._rule = study.early_stopping
        self._curve: dict[int, Rung] = {}
        self._later: list[RungQuestion] = []
        self._over = threading.Event()
        self._thread = threading.Thread(
            target=self._answer_all, daemon=True, name="rung evaluation"
        )

    def __enter__(self) -> RungEvaluator:
        if self._rule is not None and self._job.recipe.parallel_size:
            self._know_again()
            self._thread.start()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._over.set()
        if kind is None and self._thread.is_alive():
            self._thread.join()  # the curve is part of the record

    def _know_again(self) -> None:
        assert self._rule is not None
        self._curve = self._kept.curve()
        self._later = self._kept.questions(self._suite.part(self._rule.segments))
        for rung in self._curve.values():
            if self._study.objectives.keys() <= rung.objectives.keys():
                point = Point(self._job.number, rung.objectives, self._may_end)
                self._progress_actor.know.remote({rung.rung: {point.number: point}})

    def finish(self) -> None:
        """Measure the rungs that came before the base model's outputs, which are available by
        now."""
        while self._later:
            self._measure(self._later.pop(0), waits=False)

    @property
    def curve(self) -> tuple[Rung, ...]:
        """The rungs measured so far."""
        return tuple(self._curve[rung] for rung in sorted(self._curve))

    def _base(self) -> Sequence[Output] | None:
        if self._base_outputs is None:
            self._base_outputs = self._read_base()
        return self._base_outputs

    def _answer_all(self) -> None:
        import ray

        while True:
            question = None
            # a process that is being started again knows no question, and the worker asks again
            with suppress(ray.exceptions.RayActorError):
                question = ray.get(self._progress_actor.question.remote(self._job.number))
                if question is not None:
                    self._hear(question)
            if question is None and self._over.wait(INTERVAL):
                return

    def _hear(self, question: RungQuestion) -> None:
        import ray

        assert self._rule is not None
        rung, number = question.reached.rung, self._job.number
        self._forget_from(rung)
        self._kept.ask(question, self._suite.part(self._rule.segments))
        others = len(ray.get(self._progress_actor.others.remote(rung, number)))
        ready = self._base() is not None
        waits = ready and can_end(self._rule, rung, self._may_end, others)
        if not waits:
            self._progress_actor.answer.remote(number, rung, False)
        if ready:
            self._measure(question, waits)
        else:
            self._later.append(question)

    def _forget_from(self, rung: int) -> None:
        """Delete what a lost attempt measured at this rung and later ones; the new attempt starts
        anew."""
        self._curve = {index: found for index, found in self._curve.items() if index < rung}
        self._later = [waits for waits in self._later if waits.reached.rung < rung]
        self._kept.drop_from(rung)

    @property
    def _may_end(self) -> bool:
        # ending a replicate because of a bad draw would bias the mean over seeds upwards
        return self._job.role == "search" and not self._job.replicate

    def _measure(self, question: RungQuestion, waits: bool) -> None:
        """Score, compare and store one rung. An answer is sent whatever happens."""
        start = time.perf_counter()
        found: dict[str, Estimate] = {}
        left_out: tuple[str, ...] = ()
        try:
            found, left_out, decision = self._judge(question)
        except Exception as error:  # a rung is optional: without it the trial runs to its end
            decision = Decision(False, f"not measured: {type(error).__name__}: {error}")
        if waits:
            self._progress_actor.answer.remote(
                self._job.number, question.reached.rung, decision.stop
            )
        elif decision.stop:
            decision = Decision(
                False,
                f"continued, since it was measured too late: {decision.reason}",
                decision.dominated_by,
            )
        spent = question.seconds + time.perf_counter() - start
        rung = Rung(
            **question.reached._asdict(),
            objectives=found,
            decision=decision.reason,
            dominated_by=decision.dominated_by,
            left_out=left_out,
            seconds=spent,
        )
        self._curve[rung.rung] = rung
        self._kept.measured(rung)

    def _judge(
        self, question: RungQuestion
    ) -> tuple[dict[str, Estimate], tuple[str, ...], Decision]:
        import ray

        assert self._rule is not None
        rung, objectives = question.reached.rung, self._study.objectives
        part = self._suite.part(self._rule.segments)
        base = self._suite.outputs_of(part, self._base() or ())
        found, left_out = estimates(self._study, part, question.outputs, base)
        point = Point(self._job.number, found, self._may_end)
        others = ray.get(self._progress_actor.others.remote(rung, self._job.number))
        self._progress_actor.know.remote({rung: {point.number: point}})
        return found, left_out, decide(self._rule, rung, point, others, objectives)
