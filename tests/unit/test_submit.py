"""A trial that has its job run, with a queue in the place of its actor."""

import pickle
from types import SimpleNamespace

import pytest
from records_factory import make_study

from mtray.errors import LossNotFinite, ProcessMoved, TimeLimitReached, TrialMoved, TrialStopped
from mtray.schema import Budget, Mix, Recipe
from mtray.search.execution import submit
from mtray.search.execution.job_messages import Done, packed_failure
from mtray.search.execution.job_queue import JobQueue
from mtray.search.ledger.stopwatch import Duration, Stopwatch
from mtray.trial.job import Job, Outcome

JOB = Job(3, "search", Recipe(parallel_size=100), 1)


class Handle:
    """The actor's; after each answer that says nothing, `meanwhile` does the next thing."""

    def __init__(self, queue, *meanwhile):
        self.queue, self.meanwhile = queue, list(meanwhile)

    def __getattr__(self, name):
        def ask(*arguments):
            found = getattr(self.queue, name)(*arguments)
            if name in ("begun", "done") and not found:
                self.meanwhile.pop(0)()
            return found

        return SimpleNamespace(remote=ask)


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setattr(submit, "_get", lambda answer: answer)
    monkeypatch.setattr(submit, "_here", lambda: ("a", "gpu-7 (10.0.0.7)"))
    drained, cancelled = [False], []
    now = [0.0]
    stopwatch = Stopwatch(tmp_path, lambda: now[0])
    queue = JobQueue()

    def passes(seconds, then=lambda: None):
        def step():
            now[0] += seconds
            then()

        return step

    def go(*meanwhile, stops=False, **budget):
        line = SimpleNamespace(stopping=lambda: stops, drained=lambda node: drained[0])
        progress = SimpleNamespace(cancel=SimpleNamespace(remote=cancelled.append))
        shared = SimpleNamespace(
            study=make_study(budget=Budget(**budget)),
            queue=Handle(queue, *meanwhile),
            progress_actor=progress,
        )
        return submit.run_in_executor(JOB, shared, stopwatch, line, 0.5)

    go.drained, go.cancelled = drained, cancelled
    go.queue, go.stopwatch, go.passes, go.now = queue, stopwatch, passes, now
    return go


def test_what_a_job_waits_for_an_executor_is_no_part_of_its_time(run):
    outcome = Outcome([], Mix(), None, {}, {})

    def take():
        taken = run.queue.take("a", 0)
        run.queue.begin(taken.ticket)
        assert (taken.work.job, taken.work.batch_share, taken.work.spent) == (JOB, 0.5, 0.0)

    found = run(
        run.passes(40),
        run.passes(2, take),
        run.passes(7),
        run.passes(1, lambda: run.queue.finish(1, pickle.dumps(Done(outcome)))),
    )
    assert found == outcome
    assert run.stopwatch.duration == Duration(running=8, waiting=42)


def test_a_failure_is_raised_with_the_workers_traceback(run):
    def fail():
        run.queue.begin(run.queue.take("a", 0).ticket)
        run.queue.end("a", packed_failure(LossNotFinite("nan")))

    with pytest.raises(LossNotFinite, match="nan") as raised:
        run(fail)
    assert "LossNotFinite: nan" in str(raised.value.__cause__)


def test_a_sweep_that_is_stopped_waits_for_no_executor(run):
    with pytest.raises(TrialStopped):
        run(run.passes(1), stops=True)
    assert run.queue.take("a", 0) is None

    def stop():
        run.queue.take("a", 0)
        run.queue.finish(2, pickle.dumps(Done()))

    with pytest.raises(TrialStopped):
        run(stop, stops=True)


def test_no_job_is_submitted_for_a_trial_whose_minutes_are_spent(run):
    run.now[0] = 60.0
    with pytest.raises(TimeLimitReached):
        run(trial_minutes=1)
    assert run.queue.take("a", 0) is None


def test_a_trial_whose_queue_is_gone_has_not_failed(monkeypatch, run):
    ray = pytest.importorskip("ray")

    def gone(_):
        raise ray.exceptions.RayActorError

    monkeypatch.undo()
    monkeypatch.setattr("ray.get", gone)
    monkeypatch.setattr(submit, "UNTIL_NOTICED", 0.0)
    with pytest.raises(TrialStopped):
        run()


def test_a_job_that_left_its_workers_is_told_with_the_reason(run):
    def move():
        run.queue.take("a", 0)
        run.queue.finish(1, pickle.dumps(Done(moved="its machine is being drained")))

    with pytest.raises(TrialMoved, match="its machine is being drained") as raised:
        run(move)
    assert not isinstance(raised.value, ProcessMoved) and not run.cancelled


def test_a_process_whose_machine_is_drained_stops_its_job_first(run):
    """It waits for the job's end, and so for its checkpoint."""

    def begin():
        run.queue.begin(run.queue.take("a", 0).ticket)
        run.drained[0] = True

    def asked():
        assert run.cancelled == [1]
        run.queue.finish(1, pickle.dumps(Done()))

    with pytest.raises(ProcessMoved, match=r"gpu-7 \(10.0.0.7\) is being drained"):
        run(begin, run.passes(2), asked)


def test_a_process_whose_machine_is_drained_waits_for_no_executor(run):
    run.drained[0] = True
    with pytest.raises(ProcessMoved):
        run(run.passes(1))
    assert run.queue.take("a", 0) is None, "withdrawn"
