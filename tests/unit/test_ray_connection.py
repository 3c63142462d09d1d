"""When a sweep leaves its cluster, and its process ends."""

import os
import threading

import pytest

from mtray.errors import RunError
from mtray.search.execution import ray_connection


@pytest.fixture
def ended(monkeypatch):
    """What was called, in order."""
    ray = pytest.importorskip("ray")
    calls = []
    monkeypatch.setattr(ray_connection, "_busy", [])
    monkeypatch.setattr(ray, "shutdown", lambda: calls.append("shutdown"))
    monkeypatch.setattr(os, "_exit", calls.append)
    return calls


@pytest.mark.parametrize("alive, expected", [(False, ["shutdown"]), (True, [143])])
def test_ray_is_not_shut_down_under_a_thread_that_uses_it(ended, alive, expected):
    """It would end the process there, with an exit code of its own."""
    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    if not alive:
        over.set()
        thread.join()
    ray_connection.stay_connected_for([thread])
    ray_connection.disconnect()
    ray_connection.end_process(143)
    assert ended == expected
    over.set()
    thread.join()


@pytest.mark.parametrize("failures", [0, 1, 2])
def test_a_busy_machine_gets_a_second_attempt_and_then_a_message(monkeypatch, failures):
    """Ray raises a plain Exception, and its attempt is undone before the next one."""
    ray, calls = pytest.importorskip("ray"), []

    def init(**settings):
        calls.append("init")
        if calls.count("init") <= failures:
            raise Exception("The current node timed out during startup.")
        return settings["address"]

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: calls.append("shutdown"))
    if failures < 2:
        assert ray_connection.start_ray(None) == "local"
    else:
        with pytest.raises(RunError, match=r"(?s)2 attempts\): The current node.*doctor.*again"):
            ray_connection.start_ray(None)
    assert calls[:4] == ["init", "shutdown", "init", "shutdown"][: len(calls)]
    assert calls.count("init") == min(2, failures + 1) and calls.count("shutdown") == failures


@pytest.mark.parametrize("kind", ["RayError", "AuthenticationError", "ConnectionError"])
def test_what_ray_itself_says_of_a_cluster_is_no_traceback(monkeypatch, kind):
    ray = pytest.importorskip("ray")
    error = getattr(ray.exceptions, kind, ConnectionError)

    def init(**_):
        raise error("no token was found")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(RunError, match=r"(?s)--address h:1: .*no token was found.*ray start"):
        ray_connection.start_ray("h:1")


def test_a_full_disk_is_no_busy_machine(monkeypatch):
    ray = pytest.importorskip("ray")

    def init(**_):
        raise OSError(28, "No space left on device", "/tmp/ray")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(OSError, match="No space"):
        ray_connection.start_ray(None)
