"""What we take of Ray beyond its interface is still there."""

import pytest

from mtray.compat.ray import (
    WRAPPED,
    draining_nodes,
    found_no_room,
    leave_out,
    node_name,
    selects_labels,
    wrapped_errors,
)
from mtray.search.execution import ray_environment
from mtray.search.ledger.trial_failures import FOREIGN


def holding(name, error):
    wrapper = RuntimeError("a wrapper")
    setattr(wrapper, name, error)
    return wrapper


INNER = ValueError("inner")


@pytest.mark.parametrize("name", WRAPPED)
def test_what_an_error_holds_is_found(name):
    assert wrapped_errors(holding(name, INNER)) == [INNER]


@pytest.mark.parametrize("error", [INNER, holding("cause", "a text"), holding("other", INNER)])
def test_nothing_else_is(error):
    assert wrapped_errors(error) == []


@pytest.fixture(scope="module")
def internal():
    ray_environment.apply()
    return pytest.importorskip("ray.train.v2._internal.exceptions")


@pytest.fixture(scope="module")
def public():
    ray_environment.apply()
    return pytest.importorskip("ray.train.v2.api.exceptions")


def test_ray_still_holds_what_it_wraps_under_these_names(internal, public):
    inner = ValueError("inner")
    assert inner in wrapped_errors(public.ControllerError(inner))
    assert inner in wrapped_errors(internal.WorkerHealthCheckFailedError("poll failed", inner))


def test_a_run_without_room_is_still_called_so(internal, public):
    assert found_no_room(public.ControllerError(internal.WorkerGroupStartupTimeoutError(1)))
    assert not found_no_room(public.ControllerError(ValueError("x")))
    assert not found_no_room(ValueError("x"))


def test_the_classes_of_failures_have_rays_names(internal):
    import ray.exceptions

    missing = [n for n in FOREIGN if not hasattr(internal, n) and not hasattr(ray.exceptions, n)]
    assert not missing


def test_ray_still_tells_which_machines_are_drained(internal, monkeypatch):
    import ray

    assert callable(ray._private.state.state.get_draining_nodes)
    assert draining_nodes() == {}, "not connected"
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray._private.state.state, "get_draining_nodes", lambda: {"a": 1500})
    assert draining_nodes() == {"a": 1.5}
    monkeypatch.setattr(ray._private.state.state, "get_draining_nodes", None)
    assert draining_nodes() == {}, "a version without it"


def test_a_message_of_ray_is_left_out(internal, monkeypatch, capsys):
    import ray

    worker = ray._private.worker
    assert callable(worker.print_to_stdstream) and callable(worker.listen_error_messages)
    monkeypatch.setattr(worker, "print_to_stdstream", lambda data, ignore_prefix: print(data))
    for _ in range(2):
        leave_out("processes have been started")
    once = worker.print_to_stdstream
    leave_out("processes have been started")
    assert worker.print_to_stdstream is once, "wrapped once"
    for line in ("7 PYTHON processes have been started on node: 1", "a node is dead"):
        worker.print_to_stdstream({"lines": [line], "pid": "raylet"}, ignore_prefix=False)
    out = capsys.readouterr().out
    assert "dead" in out and "PYTHON" not in out
    monkeypatch.delattr(worker, "print_to_stdstream")
    leave_out("a version without it")


def test_whether_ray_selects_labels_is_known(internal):
    assert selects_labels() in (True, False)


@pytest.mark.parametrize(
    "host, address, name",
    [("h", "1.2.3.4", "h (1.2.3.4)"), ("", "1.2.3.4", "1.2.3.4"), ("", "", "a machine")],
)
def test_how_a_machine_is_named(host, address, name):
    assert node_name({"NodeManagerHostname": host, "NodeManagerAddress": address}) == name
