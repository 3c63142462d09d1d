"""Trials that do not start, on a made-up clock and cluster."""

import pytest

from mtray.schema import Recipe, Resources
from mtray.search.execution.watchdog import (
    AGAIN_AFTER,
    PATIENCE,
    STARTS_WITHIN,
    Cluster,
    Waiting,
    Watchdog,
    waiting_line,
    waits,
    wanted_by,
)
from mtray.trial.job import Job


def test_what_a_trial_holds():
    assert wanted_by(Resources()) == {"CPU": 1}
    both = Resources(workers=2, cpus_per_worker=0.5, gpus_per_worker=1)
    assert wanted_by(both) == {"CPU": 1.0, "GPU": 2.0}


@pytest.mark.parametrize(
    "wanted, total, free, line",
    [
        ({"CPU": 1}, {"CPU": 2.0}, {"memory": 5.0},
         "trial 7 has waited 60 s to start; it needs 1 CPU, and the cluster has 2 CPU, 0 free; "
         "1 of 2 executors have started (one that is starting holds its resources)"),
        ({"CPU": 4, "GPU": 1}, {"CPU": 8.0, "GPU": 1.0}, {"CPU": 8.0},
         "trial 7 has waited 60 s to start; it needs 1 GPU, and the cluster has 1 GPU, 0 free; "
         "1 of 2 executors have started (one that is starting holds its resources)"),
        ({"CPU": 4}, {"CPU": 2.0}, {"CPU": 2.0},
         "trial 7 has waited 60 s for 4 CPU; the cluster has 2 CPU, 2 free; "
         "1 of 2 executors have started; it cannot start until there is more CPU"),
        ({"CPU": 1}, {"CPU": 2.0}, {"CPU": 2.0},
         "trial 7 has waited 60 s for its processes to start; it needs 1 CPU and the cluster has "
         "2 CPU free; 1 of 2 executors have started"),
    ],
)  # fmt: skip
def test_what_a_trial_waits_for_is_named(wanted, total, free, line):
    assert waiting_line("7", 60.4, wanted, Cluster(total, free, 1, 2)) == line


@pytest.mark.parametrize(
    "total, starting, expected",
    [
        (2.0, True, "trial 7 has waited 60 s for its processes to start, which have their 1 CPU; "
         "1 of 2 executors have started"),
        (2.0, False, "trial 7 has waited 60 s to start; it needs 1 CPU, and the cluster has 2 CPU, "
         "0 free; 1 of 2 executors have started (one that is starting holds its resources)"),
        (0.0, True, "trial 7 has waited 60 s for 1 CPU; the cluster has 0 CPU, 0 free; "
         "1 of 2 executors have started; it cannot start until there is more CPU"),
    ],
)  # fmt: skip
def test_an_executor_that_starts_waits_for_no_resource(total, starting, expected):
    """It holds its own, so that none is free."""
    cluster = Cluster({"CPU": total}, {}, 1, 2, starting)
    assert waiting_line("7", 60.4, {"CPU": 1}, cluster) == expected


def test_where_all_executors_run_none_is_starting():
    line = waiting_line("7", 60.4, {"CPU": 1}, Cluster({"CPU": 2.0}, {}, 2, 2))
    assert line == (
        "trial 7 has waited 60 s to start; it needs 1 CPU, and the cluster has 2 CPU, 0 free; "
        "2 of 2 executors have started"
    )


@pytest.mark.parametrize(
    "state, bundle, expected",
    [
        ("PENDING", {"CPU": 1.0}, True),
        ("RESCHEDULING", {"CPU": 0.0, "GPU": 0.5}, True),
        ("CREATED", {"CPU": 1.0}, False),
        ("PENDING", {"CPU": 0.0}, False),
        ("PENDING", {}, False),
    ],
)
def test_what_requests_nothing_waits_for_no_resource(state, bundle, expected):
    assert waits({"state": state, "bundles": {0: bundle}}) is expected


def test_a_trial_is_named_once_in_a_while_and_only_while_it_waits():
    waiting = Waiting()
    waiting.dispatch(7, 100.0)
    assert waiting.due({}, 100 + PATIENCE - 1) == []
    assert waiting.due({}, 100 + PATIENCE) == [(7, PATIENCE)]
    assert waiting.due({7: "starting"}, 101 + PATIENCE) == []
    assert waiting.due({7: "starting"}, 99 + PATIENCE + AGAIN_AFTER) == []
    late = 100 + PATIENCE + AGAIN_AFTER
    assert waiting.due({7: "starting"}, late) == [(7, PATIENCE + AGAIN_AFTER)]
    assert waiting.due({7: "loading"}, late + 1000) == []
    # its worker was lost, and it starts again
    assert waiting.due({7: "starting"}, late + 1000 + PATIENCE - 1) == []
    assert waiting.due({7: "starting"}, late + 1000 + PATIENCE) == [(7, PATIENCE)]
    waiting.end(7)
    assert waiting.due({}, late + 9999) == []
    assert AGAIN_AFTER > 30, "no line twice a minute"


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 50.0

    monkeypatch.setattr("mtray.search.execution.watchdog.time.monotonic", lambda: Clock.now)
    return Clock


def test_a_watchdog_looks_at_the_board_and_the_cluster(clock):
    progress_actor = {1: {"state": "training"}, 2: {"state": "starting"}}
    said = []
    dog = Watchdog(Resources(), said.append, lambda: (progress_actor, Cluster({"CPU": 2.0}, {})))
    for number in (-1, 1, 2):
        dog.started(Job(number, "search", Recipe(parallel_size=10), 1))
    dog.ended(-1)
    clock.now += PATIENCE
    assert dog.lines(clock.now) == [
        f"trial 2 has waited {PATIENCE:.0f} s to start; it needs 1 CPU, and the cluster has 2 CPU, "
        "0 free; 0 of 1 executors have started (one that is starting holds its resources)"
    ]
    assert dog.lines(clock.now + 1) == []


@pytest.mark.parametrize(
    "cluster, patience",
    [
        (Cluster({"CPU": 2.0}, {}), PATIENCE),
        (Cluster({"CPU": 2.0}, {"CPU": 2.0}), STARTS_WITHIN),
        (Cluster({"CPU": 2.0}, {}, 0, 1, starting=True), STARTS_WITHIN),
        (Cluster({}, {}, 0, 1, starting=True), PATIENCE),
    ],
)
def test_processes_that_only_start_slowly_are_no_news(clock, cluster, patience):
    dog = Watchdog(Resources(), print, lambda: ({}, cluster))
    dog.started(Job(1, "search", Recipe(parallel_size=10), 1))
    assert dog.lines(clock.now + patience - 1) == []
    assert len(dog.lines(clock.now + patience)) == 1
