"""Who has to leave, and what is said of it, without a cluster."""

import os
import signal
import threading
from types import SimpleNamespace

import pytest

from mtray.errors import NodeDrained, NodeLost, ProcessMoved, TrialMoved
from mtray.search.execution import preemption
from mtray.search.execution.preemption import DrainWatch, drained_line, why_it_moves
from mtray.search.ledger.trial_failures import attempt, classify, may_run_again


@pytest.mark.parametrize(
    "drained, ended, text",
    [
        (False, False, ""),
        (True, False, "its machine gpu-7 is being drained"),
        (False, True, "its process PID on gpu-7 received SIGTERM"),
        (True, True, "its machine gpu-7 is being drained"),
    ],
)
def test_why_a_trial_leaves(drained, ended, text):
    assert why_it_moves(drained, ended, "gpu-7") == text.replace("PID", str(os.getpid()))


def test_a_deadline_is_told_where_there_is_one():
    assert "(in 118 s)" in drained_line("gpu-7", 1118.0, 1000.0)
    assert "(in 0 s)" in drained_line("gpu-7", 900.0, 1000.0)
    assert drained_line("gpu-7", 0, 1000.0).startswith("machine gpu-7 is being drained: trials")


@pytest.fixture
def watch(monkeypatch):
    nodes = [
        {"NodeID": n, "NodeManagerHostname": f"host-{n}", "NodeManagerAddress": "10.0.0.1"}
        for n in "abc"
    ]
    monkeypatch.setattr("ray.nodes", lambda: nodes)
    monkeypatch.setattr(preemption, "this_node", lambda: "a")
    found = SimpleNamespace(said=[], told=[], drained={})
    found.watch = DrainWatch(found.said.append, found.told.append, lambda: dict(found.drained))
    return found


def test_every_drained_machine_is_said_once_and_told_as_long_as_it_is_there(watch):
    assert watch.watch.look() is False and not watch.told
    watch.drained["b"] = 0.0
    for _ in range(3):
        assert watch.watch.look() is False
    assert len(watch.said) == 1 and watch.said[0].startswith("machine host-b (10.0.0.1) is being")
    assert watch.told == [{"b"}] * 3, "the progress actor may have been started again"
    watch.drained["c"] = 1.0
    watch.watch.look()
    assert len(watch.said) == 2 and watch.told[-1] == {"b", "c"}
    watch.drained.clear()
    watch.watch.look()
    assert len(watch.told) == 4


def test_the_sweeps_own_machine_is_another_matter(watch):
    watch.drained["a"] = 0.0
    assert watch.watch.look() is True


def test_a_first_sigterm_is_noted_and_a_second_ends_as_before(monkeypatch):
    assert threading.current_thread() is threading.main_thread()
    ended = []
    kept = signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
    monkeypatch.setattr(preemption, "_terminated", threading.Event())
    try:
        preemption.listen()
        assert not preemption.terminated()
        os.kill(os.getpid(), signal.SIGTERM)
        assert preemption.terminated() and not ended
        os.kill(os.getpid(), signal.SIGTERM)
        assert ended == [1]
    finally:
        signal.signal(signal.SIGTERM, kept)


@pytest.mark.parametrize("error", [TrialMoved("x"), ProcessMoved("x"), NodeDrained("x")])
def test_a_move_is_neither_a_loss_nor_counted(error):
    assert classify(error) == "moved"
    assert classify(NodeLost("x")) == "node_lost"
    moves = [attempt("moved", "x", "again", 1.0, step=3) for _ in range(9)]
    assert may_run_again("moved", moves, step=3)
    assert may_run_again("node_lost", moves, step=3), "losses do not count moves"
    lost = [attempt("node_lost", "x", "again", 1.0, step=3) for _ in range(2)]
    assert not may_run_again("node_lost", [*lost, *moves], step=3)
    assert may_run_again("moved", lost, step=3)
