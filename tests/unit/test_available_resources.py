"""Whether there is room for a trial, asked before anything slow."""

import re

import pytest
from records_factory import make_study

from mtray.errors import ConfigError, MtrayError, RunError
from mtray.schema import Resources
from mtray.search.execution.available_resources import (
    AvailableResources,
    check_resources,
    concurrency,
    shortage,
    this_machine,
)
from mtray.search.execution.placing import Machine

HERE = AvailableResources("this machine", [Machine({"CPU": 8, "GPU": 2})])
FITS = [
    ({}, 8),
    ({"cpus_per_worker": 3}, 2),
    ({"workers": 4}, 2),
    ({"gpus_per_worker": 1}, 2),
    ({"gpus_per_worker": 0.5}, 4),
    ({"concurrent_trials": 3}, 3),
    ({"concurrent_trials": 30}, 8),
]


@pytest.mark.parametrize("resources, trials", FITS)
def test_how_many_trials_fit(resources, trials):
    assert concurrency(Resources(**resources), HERE) == trials


SHORT = [
    ({"gpus_per_worker": 3}, r"needs 1 x \(1 CPU, 3 GPU\) and this machine has 8 CPU, 2 GPU"),
    ({"workers": 3, "gpus_per_worker": 1}, r"needs 3 x \(1 CPU, 1 GPU\)"),
    ({"workers": 3, "cpus_per_worker": 4}, r"needs 3 x \(4 CPU, 0 GPU\)"),
]


@pytest.mark.parametrize("resources, message", SHORT)
def test_no_room_for_one_is_told_with_the_next_step(resources, message):
    with pytest.raises(RunError, match=f"(?s){message}.*[ \n]change `resources` .*`--address`"):
        concurrency(Resources(**resources), HERE)


@pytest.mark.parametrize("resources, message", SHORT)
def test_a_sweep_may_wait_for_room_and_says_what_is_missing(resources, message):
    study = make_study(resources=resources)
    assert check_resources(study, HERE, waits=True) == 1
    assert re.search(message, shortage(study.resources, HERE))
    with pytest.raises(RunError):
        check_resources(study, HERE)


@pytest.mark.parametrize("resources, trials", FITS)
def test_where_a_trial_fits_nothing_is_missing(resources, trials):
    study = make_study(resources=resources)
    assert check_resources(study, HERE, waits=True) == trials
    assert shortage(study.resources, HERE) == ""


THREE = [Machine({"CPU": 1}), Machine({"CPU": 3}), Machine({"CPU": 3, "GPU": 1}, name="c")]


@pytest.mark.parametrize(
    "resources, trials",
    [
        ({}, 7),
        ({"cpus_per_worker": 2}, 2),
        ({"cpus_per_worker": 3}, 2),
        ({"cpus_per_worker": 4}, 0),
        ({"workers": 2}, 3),
        ({"workers": 2, "cpus_per_worker": 3}, 1),
        ({"gpus_per_worker": 1, "cpus_per_worker": 3}, 1),
        ({"concurrent_trials": 2}, 2),
    ],
)
def test_a_worker_needs_a_machine_of_its_size(resources, trials):
    room = AvailableResources("the cluster", THREE)
    assert bool(shortage(Resources(**resources), room)) is (trials == 0)
    assert trials == 0 or concurrency(Resources(**resources), room) == trials


def test_a_worker_that_no_machine_has_room_for_is_told():
    text = shortage(Resources(cpus_per_worker=4), AvailableResources("the cluster", THREE))
    assert "has 7 CPU, 1 GPU, but no machine of it has (4 CPU, 0 GPU):" in text
    assert text.endswith("\n  c: has 3 of 4 CPU")


@pytest.mark.parametrize("grows, trials", [(True, 30), (False, 8)])
def test_a_cluster_may_grow_to_what_the_study_names(grows, trials):
    study = make_study(resources={"concurrent_trials": 30})
    room = AvailableResources("the cluster", [Machine({"CPU": 8})], grows)
    assert check_resources(study, room, waits=True) == trials
    nothing = AvailableResources("the cluster", [], grows)
    assert check_resources(study, nothing, waits=True) == (30 if grows else 1)


def devices(monkeypatch, count):
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    monkeypatch.setattr("os.cpu_count", lambda: 4)


@pytest.mark.parametrize("gpus, fits", [(1, 1), (2, 2), (9, 4)])
def test_the_gpus_of_this_machine_count(monkeypatch, gpus, fits):
    devices(monkeypatch, gpus)
    study = make_study(resources={"gpus_per_worker": 1})
    assert check_resources(study, this_machine(study)) == fits


def on_gpu(**evaluation):
    study = make_study()
    changed = study.evaluation.model_copy(update={"comet_device": "gpu", **evaluation})
    return study.model_copy(update={"evaluation": changed})


WITHOUT_ONE = [
    (make_study(resources={"gpus_per_worker": 1}), RunError, "this machine has 4 CPU, 0 GPU"),
    (on_gpu(), ConfigError, r"`evaluation\.comet_device` is gpu, but this machine has no GPU"),
    (on_gpu(comet="none", more_comet={"a": "b/c"}), ConfigError, "comet_device"),
]


@pytest.mark.parametrize("study, error, message", WITHOUT_ONE)
def test_a_gpu_that_is_not_there_is_told(monkeypatch, study, error, message):
    devices(monkeypatch, 0)
    with pytest.raises(error, match=message) as caught:
        check_resources(study, this_machine(study))
    assert isinstance(caught.value, MtrayError)


@pytest.mark.parametrize("study", [make_study(), on_gpu(comet="none")])
def test_no_gpu_is_looked_for_where_none_is_wanted(monkeypatch, study):
    monkeypatch.setattr("torch.cuda.device_count", lambda: pytest.fail("seconds for nothing"))
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    assert check_resources(study, this_machine(study)) == 4
