"""What comes back out of Ray Train, without a cluster."""

import pytest

from mtray.errors import NodeLost, TrainError, WorkerLost

bridge = pytest.importorskip("mtray.search.bridge", reason="needs Ray")


@pytest.fixture
def nodes(monkeypatch):
    found = {"head", "other"}
    monkeypatch.setattr(bridge, "alive_nodes", lambda: set(found))
    monkeypatch.setattr(bridge, "NODE_SECONDS", 0.0)
    return found


def group_error(**failures):
    by_rank = {int(rank[1:]): error for rank, error in failures.items()}
    return bridge.ray.train.WorkerGroupError("text", by_rank)


def dead():
    from ray.exceptions import ActorDiedError
    from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

    return WorkerHealthCheckFailedError("poll failed", ActorDiedError())


def user_error(error):
    from ray.train.v2._internal.exceptions import UserExceptionWithTraceback

    return UserExceptionWithTraceback(error, "Traceback ...")


def test_what_a_worker_raised_comes_out_of_its_wrappers(nodes):
    error = KeyError("x")
    assert bridge.root_cause(group_error(r0=user_error(error)), set(nodes)) is error
    collateral = user_error(RuntimeError("Connection closed by peer"))
    assert bridge.root_cause(group_error(r0=collateral, r1=user_error(error)), nodes) is error


def test_a_worker_that_is_gone_is_lost_and_maybe_its_node(nodes):
    before = set(nodes)
    found = bridge.root_cause(group_error(r0=dead()), before)
    assert isinstance(found, WorkerLost) and not isinstance(found, NodeLost)
    nodes.discard("other")
    assert isinstance(bridge.root_cause(group_error(r0=dead()), before), NodeLost)


def test_workers_that_found_no_room_are_pending(nodes):
    from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError

    error = bridge.ray.train.ControllerError(WorkerGroupStartupTimeoutError(1))
    assert isinstance(bridge.root_cause(error, nodes), bridge.WorkersPending)
    other = bridge.root_cause(bridge.ray.train.ControllerError(ValueError("x")), nodes)
    assert isinstance(other, TrainError) and "x" in str(other)


def test_a_full_disk_is_still_one_when_the_controller_met_it(nodes):
    from mtray.search.failures import is_disk_full

    full = bridge.ray.train.ControllerError(OSError(28, "No space left on device"))
    try:
        raise bridge.root_cause(full, nodes) from full
    except TrainError as error:
        assert is_disk_full(error)


def test_a_trials_time_is_over_once_and_for_all(monkeypatch):
    class Clock:
        now = 100.0

    monkeypatch.setattr(bridge.time, "monotonic", lambda: Clock.now)
    asked = []
    clock = bridge.TrialClock(0.5, lambda: asked.append(1) or False)
    assert not clock() and not clock.over and asked
    Clock.now += 31
    assert clock() and clock.over and clock()
    unlimited = bridge.TrialClock(None, lambda: True)
    Clock.now += 1e9
    assert unlimited() and not unlimited.over, "it was the sweep that is being stopped"
