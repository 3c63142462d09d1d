"""When a sweep leaves its cluster, and its process ends."""

import os
import threading

import pytest

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
