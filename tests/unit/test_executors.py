"""How executors start, end and start again, without a cluster."""

import errno
import pickle
import threading
from types import SimpleNamespace

import pytest
from records_factory import make_study

from mtray.errors import NodeLost, TrainError, WorkerLost
from mtray.schema import Resources
from mtray.search.execution import ray_environment
from mtray.search.execution.job_messages import Ended
from mtray.search.execution.placing import Machine
from mtray.search.ledger.trial_failures import is_disk_full

ray_environment.apply()
executors = pytest.importorskip("mtray.search.execution.executors", reason="needs Ray")
nodes_module = pytest.importorskip("mtray.search.execution.nodes")
exceptions = pytest.importorskip("ray.train.v2.api.exceptions")


@pytest.fixture
def nodes(monkeypatch):
    found = {"head", "other"}
    monkeypatch.setattr("mtray.search.execution.nodes.alive_nodes", lambda: set(found))
    monkeypatch.setattr(executors, "SEEN", nodes_module.SeenNodes())
    monkeypatch.setattr("mtray.search.execution.nodes.NODE_SECONDS", 0.0)
    return found


def named(name, *arguments):
    """An error of Ray's own, which are known by name."""
    return type(name, (Exception,), {})(*arguments)


def group_error(**failures):
    by_rank = {int(rank[1:]): error for rank, error in failures.items()}
    return exceptions.WorkerGroupError("text", by_rank)


DEAD = named("WorkerHealthCheckFailedError", "poll failed")


def test_an_executor_whose_worker_is_gone_was_lost_and_maybe_its_node(nodes):
    before = set(nodes)
    found = executors.root_cause(group_error(r0=KeyError("x"), r1=DEAD), before)
    assert isinstance(found, WorkerLost) and not isinstance(found, NodeLost)
    nodes.discard("other")
    assert isinstance(executors.root_cause(group_error(r0=DEAD), before), NodeLost)


def test_what_else_ended_an_executor(nodes):
    found = executors.root_cause(group_error(r0=named("OutOfMemoryError", "killed")), nodes)
    assert type(found).__name__ == "OutOfMemoryError"
    found = executors.root_cause(exceptions.ControllerError(ValueError("x")), nodes)
    assert type(found) is TrainError and str(found) == "ValueError: x"
    found = executors.root_cause(exceptions.ControllerError(ValueError()), nodes)
    assert str(found) == "ValueError: without a message"
    full = exceptions.ControllerError(OSError(errno.ENOSPC, "No space left on device"))
    assert is_disk_full(executors.root_cause(full, nodes))
    no_room = exceptions.ControllerError(named("WorkerGroupStartupTimeoutError", 1))
    assert executors.root_cause(no_room, nodes) is None


class Queue:
    """The actor: how many jobs each executor took, in order, and what the ends were. Closing it
    ends the executors that wait for `over`."""

    def __init__(self, jobs, over):
        self.jobs, self.over = list(jobs), over
        self.ends, self.closed, self.passed_on = [], 0, []
        self.end = SimpleNamespace(remote=self._end)
        self.close = SimpleNamespace(remote=self._close)
        self.started = SimpleNamespace(remote=lambda: 1)

    def _end(self, name, failure, passes_on):
        self.ends.append(failure and type(pickle.loads(failure).error))
        self.passed_on.append(passes_on)
        return Ended(self.jobs.pop(0), failure and str(pickle.loads(failure).error))

    def _close(self):
        self.closed += 1
        self.over.set()


@pytest.fixture
def cluster(monkeypatch, nodes):
    """Executors whose runs end as listed; the last one runs until the sweep is over, which it is
    at the end of the test at the latest: no thread outlives the stand-ins for Ray."""
    resources = {"CPU": 3.0}
    monkeypatch.setattr("ray.get", lambda ref, timeout=None: ref)
    monkeypatch.setattr(executors, "machines", lambda: [Machine(resources)])
    monkeypatch.setattr(executors, "LOOK_EVERY", 0.01)
    names, over, begun = [], threading.Event(), []

    def go(ends=(), jobs=(), trainer=None, grows=False, **wanted):
        left = list(ends)

        def fit():
            if not left:
                over.wait(20)
                return
            end = left.pop(0)
            if end is not None:
                raise end

        def listed(name, shared, node):
            names.append(name)
            return SimpleNamespace(fit=fit)

        monkeypatch.setattr(executors, "trainer", trainer or listed)
        queue = Queue(jobs, over)
        study = make_study(resources=Resources(**wanted))
        said = []
        progress = SimpleNamespace(
            stopping=SimpleNamespace(remote=lambda: False),
            restored=SimpleNamespace(remote=lambda: True),
        )
        shared = SimpleNamespace(study=study, queue=queue, progress_actor=progress, metric_node="")
        lost, restored = [], []
        found = executors.Executors(
            shared, said.append, lost.append, lambda: restored.append(1), grows
        )
        found.said, found.lost, found.progress = said, lost, progress
        found.restored = restored
        found.queue = queue
        begun.append(found)
        return found

    go.resources, go.names, go.over = resources, names, over
    yield go
    for sweep in begun:
        sweep.close()
        assert not [t.name for t in (sweep._watch, *sweep._threads) if t.is_alive()]


def gone(*_):
    import ray

    raise ray.exceptions.RayActorError


def wait_until(happened):
    until = threading.Event()
    for _ in range(2000):
        if happened():
            return
        until.wait(0.005)
    pytest.fail("it does not happen")


def test_a_sweep_whose_own_machine_is_drained_ends(cluster, monkeypatch):
    drained = []
    monkeypatch.setattr(executors.DrainWatch, "look", lambda self: bool(drained))
    sweep = cluster(concurrent_trials=1)
    wait_until(lambda: cluster.names)
    assert not sweep.lost
    drained.append("head")
    wait_until(lambda: sweep.lost)
    assert "the machine of the sweep itself is being drained" in sweep.lost[0]


@pytest.mark.parametrize("placement, expected", [("any", {""}), ("spread", {"a", "b"})])
def test_executors_are_placed_as_the_study_asks(cluster, monkeypatch, placement, expected):
    there = [Machine({"CPU": 2.0}, node="a"), Machine({"CPU": 2.0}, node="b")]
    placed = []

    def trainer(name, shared, node):
        placed.append(node)
        return SimpleNamespace(fit=lambda: cluster.over.wait(20))

    monkeypatch.setattr(executors, "machines", lambda: there)
    cluster(trainer=trainer, trial_placement=placement, concurrent_trials=2)
    wait_until(lambda: len(placed) == 2)
    assert set(placed) == expected


def test_there_are_as_many_executors_as_places_and_more_when_machines_join(cluster):
    sweep = cluster(cpus_per_worker=2)
    assert sweep.places == 1
    wait_until(lambda: len(cluster.names) == 1)
    cluster.resources["CPU"] = 8.0
    wait_until(lambda: sweep.places == 4 and len(cluster.names) == 4)
    cluster.resources["CPU"] = 2.0
    wait_until(lambda: sweep.places == 1)
    sweep.close()
    assert len(set(cluster.names)) == 4 and sweep.queue.closed == 1


def test_where_machines_may_join_there_are_as_many_executors_as_the_study_names(cluster):
    """Those without room wait, and show an autoscaler what is missing."""
    sweep = cluster(grows=True, concurrent_trials=5)
    wait_until(lambda: sweep.places == 5 and len(cluster.names) == 5)


def test_a_trial_may_wait_for_a_cluster_that_has_too_little_for_one(cluster):
    cluster.resources["CPU"] = 1.0
    sweep = cluster(cpus_per_worker=2)
    wait_until(lambda: len(cluster.names) == 1)
    assert sweep.places == 1


def test_an_executor_starts_again_whatever_ended_it(cluster):
    """By itself after its jobs, lost with a process; with a name of its own each time."""
    ends = [None, group_error(r0=DEAD), group_error(r0=KeyError("x"))]
    sweep = cluster(ends, jobs=[50, 3, 1], concurrent_trials=1)
    wait_until(lambda: len(cluster.names) == 4)
    assert sweep.queue.ends == [None, WorkerLost, TrainError]
    assert len(set(cluster.names)) == 4


def test_only_the_third_start_in_a_row_that_fails_is_the_fault_of_a_trial(cluster, monkeypatch):
    monkeypatch.setattr(executors, "LONGEST_PAUSE", 0.0)
    bad = group_error(r0=KeyError("no such file"))
    sweep = cluster([bad, bad, bad, bad, bad], jobs=[0, 0, 1, 0, 0], concurrent_trials=1)
    wait_until(lambda: len(cluster.names) == 6)
    assert sweep.queue.passed_on == [False, False, True, False, False]
    assert len(sweep.said) == 4 and "will be tried again: 'no such file'" in sweep.said[0]


def test_there_is_no_executor_without_a_place(cluster):
    """After a machine left, which took the executor with it."""
    lost = threading.Event()

    def blocking(name, shared, node):
        cluster.names.append(name.rpartition("_")[0])
        end = lost if len(cluster.names) <= 2 else cluster.over
        return SimpleNamespace(fit=lambda: end.wait(20) and None)

    cluster.resources["CPU"] = 2.0
    sweep = cluster(jobs=[3, 3], trainer=blocking)
    wait_until(lambda: len(cluster.names) == 2)
    cluster.resources["CPU"] = 1.0
    wait_until(lambda: sweep.places == 1)
    lost.set()
    wait_until(lambda: len(cluster.names) == 3 and len(sweep.queue.ends) == 2)
    assert sorted(cluster.names) == ["executor_0", "executor_0", "executor_1"]
    cluster.resources["CPU"] = 2.0
    wait_until(lambda: sorted(cluster.names)[-1] == "executor_1" and len(cluster.names) == 4)


@pytest.mark.parametrize("recently, expected", [(60.0, NodeLost), (0.0, WorkerLost)])
def test_only_a_machine_that_was_there_a_moment_ago_counts(
    cluster, nodes, monkeypatch, recently, expected
):
    monkeypatch.setattr(nodes_module, "RECENTLY", recently)
    gone = group_error(r0=DEAD)

    def lose(name, shared, node):
        nodes.discard("other")
        cluster.names.append(name)

        def fit():
            if len(cluster.names) == 1:
                raise gone
            cluster.over.wait(20)

        return SimpleNamespace(fit=fit)

    monkeypatch.setattr(executors, "LOOK_EVERY", 20.0)
    sweep = cluster([], jobs=[1], concurrent_trials=1, trainer=lose)
    wait_until(lambda: len(cluster.names) == 2)
    assert sweep.queue.ends == [expected]


def test_executors_that_end_with_the_sweep_are_no_failure(cluster):
    sweep = cluster(concurrent_trials=1)
    wait_until(lambda: cluster.names)
    sweep.close()
    assert sweep.queue.ends == [] and len(cluster.names) == 1


@pytest.mark.parametrize(
    "actor, what", [("queue", "job queue"), ("progress", "the trials' progress")]
)
def test_without_the_queue_or_the_progress_the_sweep_is_over(cluster, actor, what):
    """No trial could run: each would fail, until the budget is spent."""
    sweep = cluster(concurrent_trials=1)
    wait_until(lambda: cluster.names)
    method = "started" if actor == "queue" else "stopping"
    setattr(getattr(sweep, actor), method, SimpleNamespace(remote=gone))
    wait_until(lambda: sweep.lost)
    (reason,) = sweep.lost
    assert what in reason and reason.endswith("the same command continues")
    sweep.close()
    assert len(cluster.names) == 1, "and no executor starts any more"


def test_how_a_running_executor_ends_is_told_though_the_sweep_is_lost(cluster):
    """Its trial would wait for ever; the queue is still there."""
    ends, failure = threading.Event(), group_error(r0=DEAD)

    def trainer(name, shared, node):
        def fit():
            cluster.names.append(name)
            ends.wait(20)
            raise failure

        return SimpleNamespace(fit=fit)

    sweep = cluster(jobs=[1], trainer=trainer, concurrent_trials=1)
    wait_until(lambda: cluster.names)
    sweep.progress.stopping = SimpleNamespace(remote=gone)
    wait_until(lambda: sweep.lost)
    ends.set()
    wait_until(lambda: sweep.queue.ends)
    sweep.close()
    assert sweep.queue.ends == [WorkerLost] and len(cluster.names) == 1


def test_an_actor_that_is_out_of_reach_for_a_moment_is_not_lost(cluster):
    import ray

    asked = []

    def out_of_reach():
        asked.append(1)
        raise ray.exceptions.ActorUnavailableError("busy", b"0" * 16)

    sweep = cluster(concurrent_trials=1)
    sweep.queue.started = SimpleNamespace(remote=out_of_reach)
    wait_until(lambda: len(asked) > 2)
    assert not sweep.lost


def test_a_progress_actor_that_was_started_again_is_told_what_it_must_know(cluster):
    """And no trial is stopped."""
    sweep = cluster(concurrent_trials=1)
    sweep.progress.restored = SimpleNamespace(remote=lambda: bool(sweep.restored))
    wait_until(lambda: sweep.restored)
    sweep.check()
    assert sweep.restored == [1] and not sweep.lost
    assert "started again; no trial is stopped" in sweep.said[0]


@pytest.mark.parametrize("queue_too", [True, False])
def test_the_loss_is_known_before_it_is_asked_why_a_trial_has_no_record(
    cluster, monkeypatch, queue_too
):
    """Else the trial would count as lost itself, and a second time, and fail."""
    from mtray.search.execution import watched_run

    monkeypatch.setattr(executors, "LOOK_EVERY", 60.0)
    monkeypatch.setattr(watched_run, "after_first_repeat", lambda *_: None)
    sweep = cluster(concurrent_trials=1)
    sweep.queue.abandon = SimpleNamespace(remote=lambda number: [])
    sweep.progress.stop = sweep.progress.cancel = SimpleNamespace(remote=lambda *_: None)
    sweep.progress.stopping = SimpleNamespace(remote=gone)
    if queue_too:
        sweep.queue.started = sweep.queue.abandon = SimpleNamespace(remote=gone)
    watch = SimpleNamespace(say=print)
    shared = SimpleNamespace(
        queue=sweep.queue, progress_actor=sweep.progress, run_dir=".", study=None
    )
    events = watched_run._events(None, watch, None, shared, sweep)
    events.abandoned(3)
    assert len(sweep.lost) == 1
    events.abandoned(4)
    assert len(sweep.lost) == 1, "said once"


@pytest.mark.parametrize("state, removed", [("CREATED", 1), ("RESCHEDULING", 1), ("REMOVED", 0)])
def test_the_place_of_an_executor_that_has_ended_is_free_again(monkeypatch, state, removed):
    """Also where Ray Train does not remove it."""
    calls = []
    monkeypatch.setattr("ray.util.placement_group_table", lambda group: {"state": state})
    monkeypatch.setattr("ray.util.remove_placement_group", calls.append)
    executors.free("group")
    executors.free(None)
    assert calls == ["group"] * removed
