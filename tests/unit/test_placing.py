"""How many trials fit, as a table of cases: no Ray, no cluster."""

import pytest

from mtray.schema import Resources
from mtray.search.execution.available_resources import AvailableResources, concurrency, shortage
from mtray.search.execution.placing import (
    Machine,
    machine_for,
    matches,
    metric_machine,
    per_worker,
    trials_that_fit,
)

A = Machine({"CPU": 8, "GPU": 2, "accelerator_type:A100": 1}, {"zone": "a"}, "a (10.0.0.1)", "a")
B = Machine({"CPU": 8, "GPU": 4, "disk": 2}, {"zone": "b", "market": "spot"}, "b (10.0.0.2)", "b")
C = Machine({"CPU": 4}, {}, "c (10.0.0.3)", "c")
ALL = (A, B, C)


@pytest.mark.parametrize(
    "wanted, machines, trials",
    [
        # fractions, which Ray counts in ten-thousandths: 1 // .1 is 9 in floating point
        ({"cpus_per_worker": 0.1}, [Machine({"CPU": 1})], 10),
        ({"gpus_per_worker": 0.1}, [A], 8),  # as many as have a CPU
        ({"gpus_per_worker": 0.1, "cpus_per_worker": 0.1}, [A], 20),
        # a part of a GPU is of one: two of .4 on each
        ({"gpus_per_worker": 0.4}, [A], 4),
        ({"gpus_per_worker": 0.6}, ALL, 6),
        ({"gpus_per_worker": 2}, ALL, 3),
        ({"gpus_per_worker": 3}, ALL, 1),
        # what only some machines have
        ({"custom_per_worker": {"disk": 1}}, ALL, 2),
        ({"custom_per_worker": {"disk": 0.5}}, ALL, 4),
        ({"custom_per_worker": {"tape": 1}}, ALL, 0),
        ({"accelerator_type": "A100"}, ALL, 8),
        ({"accelerator_type": "A100", "gpus_per_worker": 1}, ALL, 2),
        ({"accelerator_type": "H100"}, ALL, 0),
        ({"labels": {"zone": "b"}}, ALL, 8),
        ({"labels": {"zone": "in(a, b)"}}, ALL, 16),
        ({"labels": {"zone": "!in(a, b)"}}, ALL, 4),
        ({"labels": {"market": "!spot"}}, ALL, 12),
        ({"labels": {"zone": "b", "market": "!spot"}}, ALL, 0),
        # several workers
        ({"workers": 3, "cpus_per_worker": 4}, ALL, 1),
        ({"workers": 3, "cpus_per_worker": 4, "worker_placement": "spread"}, ALL, 1),
        ({"workers": 3, "cpus_per_worker": 4, "worker_placement": "strict_pack"}, ALL, 0),
        ({"workers": 3, "cpus_per_worker": 4, "worker_placement": "strict_spread"}, ALL, 1),
        ({"workers": 2, "cpus_per_worker": 4, "worker_placement": "strict_pack"}, ALL, 2),
        ({"workers": 2, "cpus_per_worker": 4, "worker_placement": "strict_spread"}, ALL, 2),
        ({"workers": 4, "worker_placement": "strict_spread"}, ALL, 0),
        ({"workers": 2, "worker_placement": "strict_spread"}, ALL, 10),
        ({"workers": 2, "worker_placement": "strict_spread"}, [Machine({"CPU": 9}), C], 4),
        # the metric's GPU is one for all trials, where it costs the fewest of them
        ({"gpus_per_worker": 1, "metric_gpus": 1}, ALL, 5),
        ({"gpus_per_worker": 1, "metric_gpus": 0.2}, ALL, 5),
        ({"gpus_per_worker": 0.4, "metric_gpus": 0.2}, [A], 4),
        ({"gpus_per_worker": 0.5, "metric_gpus": 0.2}, [A], 3),
        ({"gpus_per_worker": 2, "metric_gpus": 1}, ALL, 2),
        ({"gpus_per_worker": 2, "metric_gpus": 2}, [A], 0),
        ({"metric_gpus": 1}, ALL, 20),
        ({"metric_gpus": 1}, [C], 0),
        ({"metric_gpus": 5}, ALL, 0),
    ],
)
def test_how_many_trials_fit(wanted, machines, trials):
    assert trials_that_fit(Resources(**wanted), machines) == trials
    room = AvailableResources("the cluster", machines)
    assert bool(shortage(Resources(**wanted), room)) is (trials == 0)
    if trials:
        assert concurrency(Resources(**wanted), room) == trials


@pytest.mark.parametrize(
    "wanted, expected",
    [
        (
            {"cpus_per_worker": 16, "custom_per_worker": {"disk": 1}},
            "no machine of it has (16 CPU, 0 GPU, 1 disk):\n"
            "  a (10.0.0.1): has 8 of 16 CPU, has 0 of 1 disk\n"
            "  b (10.0.0.2): has 8 of 16 CPU\n"
            "  c (10.0.0.3): has 4 of 16 CPU, has 0 of 1 disk",
        ),
        (
            {"accelerator_type": "H100", "labels": {"zone": "a"}},
            "no machine of it has (1 CPU, 0 GPU, accelerator H100, label zone=a):\n"
            "  a (10.0.0.1): its accelerator is A100\n"
            "  b (10.0.0.2): has no accelerator whose type Ray knows, label zone is b\n"
            "  c (10.0.0.3): has no accelerator whose type Ray knows, has no label zone",
        ),
        (
            {"workers": 3, "cpus_per_worker": 4, "worker_placement": "strict_pack"},
            "with room for 5 of its 3 workers, which must be on one machine "
            "(`worker_placement: strict_pack`):\n  a (10.0.0.1) has room for 2\n  b (10.0.0.2) has "
            "room for 2\n  c (10.0.0.3) has room for 1",
        ),
        (
            {"metric_gpus": 5},
            "the shared metric needs 5 GPU (`resources.metric_gpus`), and\n  a (10.0.0.1) has 2 GPU"
            "\n  b (10.0.0.2) has 4 GPU\n  c (10.0.0.3) has 0 GPU",
        ),
    ],
)
def test_what_does_not_fit_names_the_bundle_and_every_machine(wanted, expected):
    text = shortage(Resources(**wanted), AvailableResources("the cluster", ALL))
    assert text.endswith(expected)


def test_a_large_cluster_is_not_listed_whole():
    text = shortage(Resources(cpus_per_worker=9), AvailableResources("the cluster", [A] * 64))
    assert text.count("\n") == 9 and text.endswith("\n  and 56 more")


@pytest.mark.parametrize(
    "wanted, label, fits",
    [
        ("a", "a", True), ("a", "b", False), ("a", None, False),
        ("!a", "b", True), ("!a", "a", False), ("!a", None, True),
        ("in(a,b)", "b", True), ("in( a , b )", "c", False), ("!in(a, b)", "c", True),
    ],
)  # fmt: skip
def test_labels_are_selected_as_ray_does(wanted, label, fits):
    assert matches(wanted, label) is fits


def test_a_worker_holds_what_ray_train_requests():
    wanted = Resources(gpus_per_worker=0.5, accelerator_type="T4", custom_per_worker={"disk": 2})
    assert per_worker(wanted) == {"CPU": 1, "GPU": 0.5, "disk": 2, "accelerator_type:T4": 0.001}


@pytest.mark.parametrize(
    "wanted, held, node",
    [
        ({}, [], None),
        ({"trial_placement": "spread"}, [], "a"),
        ({"trial_placement": "spread"}, ["a"], "b"),
        ({"trial_placement": "spread"}, ["a", "b"], "c"),
        ({"trial_placement": "spread", "gpus_per_worker": 1}, ["a", "a"], "b"),
        ({"trial_placement": "pack"}, [], "a"),
        ({"trial_placement": "pack"}, ["c"], "c"),
        ({"trial_placement": "pack"}, ["c"] * 4, "a"),
        ({"trial_placement": "pack", "gpus_per_worker": 1}, ["a", "a"], "b"),
        ({"trial_placement": "pack", "cpus_per_worker": 9}, [], None),
        ({"trial_placement": "pack", "workers": 5}, [], "a"),
        ({"trial_placement": "pack", "workers": 9}, [], None),
        ({"trial_placement": "spread", "workers": 2, "worker_placement": "spread"}, [], None),
    ],
)
def test_where_the_next_trial_goes(wanted, held, node):
    found = machine_for(Resources(**wanted), ALL, held)
    assert (found and found.node) == node


def test_the_metrics_part_is_not_given_to_a_trial():
    wanted = Resources(gpus_per_worker=1, metric_gpus=0.5, trial_placement="pack")
    assert metric_machine(wanted, [A, B]) in (A, B)
    assert machine_for(wanted, [A], ["a"], metric="a") is None
    assert machine_for(wanted, [A], ["a"]) is A
