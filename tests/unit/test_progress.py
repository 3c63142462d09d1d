"""What goes on, written and read without Ray."""

import pytest

from mtray.search.execution.progress import ProgressActor, Reporter


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

    monkeypatch.setattr("mtray.search.execution.progress.time.time", lambda: Clock.now)
    monkeypatch.setattr("mtray.search.execution.progress.time.monotonic", lambda: Clock.now)
    return Clock


class Method:
    def __init__(self, function):
        self.function, self.calls = function, 0

    def remote(self, *args):
        self.calls += 1
        return self.function(*args)


class Handle:
    """As Ray's handle of an actor: every method has a `remote`."""

    def __init__(self, progress_actor):
        self.update, self.stopping = Method(progress_actor.update), Method(progress_actor.stopping)


@pytest.fixture
def answers(monkeypatch):
    """Stands in for `ray.wait` and `ray.get`; `ready` says whether an answer has come."""
    ray = pytest.importorskip("ray")

    class Answers:
        ready = True

    monkeypatch.setattr(
        ray, "wait", lambda refs, timeout: (refs, []) if Answers.ready else ([], refs)
    )
    monkeypatch.setattr(ray, "get", lambda ref, timeout=None: ref)
    return Answers


def test_a_board_holds_the_latest_of_every_trial(clock):
    progress_actor = ProgressActor()
    progress_actor.update(3, {"state": "training", "step": 1})
    clock.now += 5
    progress_actor.update(3, {"step": 2, "steps": 9})
    progress_actor.update(4, {"state": "loading"})
    assert progress_actor.snapshot() == {
        3: {"state": "training", "step": 2, "steps": 9, "since": 100.0},
        4: {"state": "loading", "since": 105.0},
    }
    progress_actor.remove(3)
    progress_actor.remove(7)
    assert list(progress_actor.snapshot()) == [4]


def test_a_new_state_starts_its_own_clock_and_steps(clock):
    progress_actor = ProgressActor()
    progress_actor.update(1, {"state": "training", "step": 8})
    clock.now += 5
    progress_actor.update(1, {"state": "training"})
    assert progress_actor.snapshot()[1] == {"state": "training", "step": 8, "since": 100.0}
    progress_actor.update(1, {"state": "evaluating"})
    assert progress_actor.snapshot()[1] == {"state": "evaluating", "since": 105.0}


def test_stopping():
    progress_actor = ProgressActor()
    assert progress_actor.stopping() is False
    progress_actor.stop()
    assert progress_actor.stopping() is True


def test_one_job_stops_and_the_others_go_on(clock, answers):
    """Also when its trial runs again, with another ticket."""
    progress_actor = ProgressActor()
    old, new = (Reporter(Handle(progress_actor), 1, ticket=ticket) for ticket in (7, 8))
    progress_actor.cancel(7)
    assert (
        progress_actor.stopping(7)
        and not progress_actor.stopping(8)
        and not progress_actor.stopping()
    )
    assert old.stopping() and not new.stopping()
    progress_actor.stop()
    assert new.stopping()


def test_a_reporter_writes_seldom_and_loses_nothing(clock):
    progress_actor = ProgressActor()
    handle = Handle(progress_actor)
    reporter = Reporter(handle, 1, interval=0.5)
    reporter.progress({"state": "training"})
    reporter.progress({"step": 1, "loss": 3.0})
    reporter.progress({"step": 2})
    assert handle.update.calls == 1
    clock.now += 0.6
    reporter.progress({"step": 3})
    assert handle.update.calls == 2
    entry = progress_actor.snapshot()[1]
    assert (entry["step"], entry["loss"]) == (3, 3.0)
    reporter.progress({"step": 4})
    reporter.progress({"state": "evaluating"})
    assert handle.update.calls == 3, "a new state is told at once"
    assert progress_actor.snapshot()[1]["state"] == "evaluating"


def test_only_rank_0_reports(clock):
    handle = Handle(ProgressActor())
    Reporter(handle, 1, rank=1).progress({"state": "training"})
    assert handle.update.calls == 0


def test_what_all_workers_answered_is_summed(clock):
    progress_actor = ProgressActor()
    handle = Handle(progress_actor)
    first, second = (Reporter(handle, 1, rank=rank, interval=0) for rank in (0, 1))
    first.progress({"state": "evaluating"})
    first.progress({"answered": 10, "steps": 40})
    second.progress({"answered": 7, "steps": 40})
    second.progress({"answered": 14, "steps": 40})
    entry = progress_actor.snapshot()[1]
    assert (entry["step"], entry["steps"]) == (24, 40)
    first.progress({"state": "training"})
    assert "step" not in progress_actor.snapshot()[1]
    second.progress({"answered": 30, "steps": 40})  # late
    first.progress({"step": 5, "steps": 9})
    assert (progress_actor.snapshot()[1]["step"], progress_actor.snapshot()[1]["steps"]) == (5, 9)


def test_a_stop_reaches_the_worker_without_waiting(clock, answers):
    progress_actor = ProgressActor()
    handle = Handle(progress_actor)
    reporter = Reporter(handle, 1, rank=1, interval=0.5)
    progress_actor.stop()
    answers.ready = False
    assert [reporter.should_stop() for _ in range(4)] == [False] * 4
    assert handle.stopping.calls == 1, "one question at a time"
    answers.ready = True
    assert reporter.should_stop() is True
    assert reporter.should_stop() is True, "it stays so"


def test_who_must_know_now_waits_for_the_answer(clock, answers, monkeypatch):
    import ray

    progress_actor = ProgressActor()
    reporter = Reporter(Handle(progress_actor), 1)
    assert reporter.stopping() is False
    progress_actor.stop()
    assert reporter.stopping() is True

    def gone(ref, timeout):
        raise ray.exceptions.GetTimeoutError("no answer")

    monkeypatch.setattr(ray, "get", gone)
    assert reporter.stopping() is True, "it stays so"
    assert Reporter(Handle(progress_actor), 1).stopping() is False, "no answer is none"


def test_whose_progress_actor_is_gone_stops(clock, answers, monkeypatch):
    """Nobody else would stop it, and the sweep ends."""
    import ray

    def ask(error):
        def get(ref, timeout=None):
            raise error

        monkeypatch.setattr(ray, "get", get)
        polling, waiting = (Reporter(Handle(ProgressActor()), 1) for _ in range(2))
        polling.should_stop()
        return polling.should_stop(), waiting.stopping()

    assert ask(ray.exceptions.ActorDiedError()) == (True, True)
    assert ask(ray.exceptions.ActorUnavailableError("busy", b"0" * 16)) == (False, False)


def test_the_board_is_asked_at_most_a_few_times_a_second(clock, answers):
    progress_actor = ProgressActor()
    handle = Handle(progress_actor)
    reporter = Reporter(handle, 1, interval=0.5)
    for _ in range(100):
        assert reporter.should_stop() is False
    assert handle.stopping.calls == 1
    clock.now += 0.6
    progress_actor.stop()
    assert not reporter.should_stop() and reporter.should_stop()
    assert handle.stopping.calls == 2


@pytest.mark.parametrize("stop", [False, True])
def test_an_actor_that_was_started_again_is_told_whether_the_sweep_stops(stop):
    fresh = ProgressActor()
    assert not fresh.restored() and not fresh.stopping(3)
    fresh.restore({0: {7: "point"}}, stop)
    assert fresh.restored() and fresh.stopping() is stop
    assert fresh.others(0, 1) == ["point"]


def test_a_machine_that_is_drained_stops_its_jobs_alone(clock, answers):
    progress_actor = ProgressActor()
    here, there = (
        Reporter(Handle(progress_actor), number, node=node) for number, node in ((1, "a"), (2, "b"))
    )
    progress_actor.drain(["a"])
    assert here.stopping() and not there.stopping()
    assert progress_actor.drains("a") and not progress_actor.drains("b")
    progress_actor.drain([])
    assert not progress_actor.stopping(None, 3, "a")


def test_why_a_process_left_is_told_once():
    progress_actor = ProgressActor()
    assert progress_actor.left(3) == ""
    progress_actor.leave(3, "its machine is being drained")
    assert progress_actor.left(3) == "its machine is being drained" and not progress_actor.left(3)
