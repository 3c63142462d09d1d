"""What a study may ask of the cluster, and what is kept of it."""

import json
import os

import pytest
from pydantic import ValidationError
from records_factory import make_study

from mtray.compat import ray as compat
from mtray.errors import ConfigError
from mtray.paths import own_code
from mtray.schema import RESERVED_VARIABLES, Resources
from mtray.search.execution import ray_environment
from mtray.study import load_study

SECRET = "hf_do-not-write-me"
JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"


@pytest.mark.parametrize(
    "given, message",
    [
        ({"gpus_per_worker": 1.5}, "whole GPUs or a part of one"),
        ({"metric_gpus": 2.5}, "whole GPUs or a part of one"),
        ({"gpus_per_worker": 1e-5}, "the smallest part of a GPU is 0.0001"),
        ({"gpus_per_worker": 0.5, "workers": 2}, "could share a GPU, which NCCL refuses"),
        ({"custom_per_worker": {"GPU": 1}}, "it is set by gpus_per_worker"),
        ({"custom_per_worker": {"accelerator_type:A100": 1}}, "use `accelerator_type: A100`"),
        ({"custom_per_worker": {"a b": 1}}, "'a b' is no name of a resource"),
        ({"custom_per_worker": {"disk": 0}}, "greater than or equal to 0.0001"),
        ({"cpus_per_worker": 1e-8}, "greater than or equal to 0.0001"),
        ({"labels": {"": "a"}}, "'' is no name of a label"),
        ({"labels": {"my zone": "a"}}, "'my zone' is no name of a label"),
        ({"labels": {"zone": "in("}}, "allowed: a value, !value, in"),
        ({"worker_placement": "PACK"}, "'pack', 'spread', 'strict_pack' or 'strict_spread'"),
        ({"environment": {"RANK": "1"}}, "RANK cannot be set: Ray Train sets it"),
        ({"environment": {"PYTHONPATH": "/x"}}, "PYTHONPATH cannot be set: workers import"),
        ({"environment": {"CUDA_VISIBLE_DEVICES": "0"}}, "request them by `gpus_per_worker`"),
        ({"environment": {"A": 4}}, "the value of A is not text; quote it"),
        ({"environment": {"A": "x\0y"}}, "the value of A has a NUL byte"),
        ({"environment": {"A=B": "x"}}, "'A=B' is no name of an environment variable"),
        ({"environment": ["A"]}, "a mapping of names to values is needed"),
        ({"runtime_env": {"env_vars": {}}}, "by `resources.environment`"),
        ({"runtime_env": {"workdir": "."}}, "unknown key 'workdir'; allowed: working_dir, "),
    ],
)
def test_what_cannot_be_requested_is_told_by_name(given, message):
    with pytest.raises(ValidationError) as caught:
        Resources(**given)
    assert message in str(caught.value)


def test_workers_on_a_machine_each_may_have_parts_of_gpus():
    Resources(gpus_per_worker=0.5, workers=2, worker_placement="strict_spread")
    Resources(gpus_per_worker=2, workers=2, metric_gpus=0.25)


def test_no_variable_that_a_sweep_sets_can_be_set():
    ours = {*ray_environment.TRAIN, *ray_environment.TUNE, *own_code()}
    assert ours <= RESERVED_VARIABLES.keys(), "and each with the reason"
    assert all(RESERVED_VARIABLES.values())


def test_values_of_variables_are_written_nowhere():
    study = make_study(resources={"environment": {"HF_TOKEN": SECRET, "NCCL_DEBUG": None}})
    assert study.resources.environment["HF_TOKEN"] == SECRET
    for text in (
        study.model_dump_json(),
        str(study.model_dump()),
        str(study.resources.model_dump()),
    ):
        assert SECRET not in text and "HF_TOKEN" in text
    again = Resources.model_validate_json(study.resources.model_dump_json())
    assert again.environment == {"HF_TOKEN": None, "NCCL_DEBUG": None}


def test_a_mistake_beside_a_secret_does_not_print_it(tmp_path):
    text = f"name: x\nresources:\n  environment: {{HF_TOKEN: {SECRET}, RANK: '1'}}\n"
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(ConfigError, match="RANK cannot be set") as caught:
        load_study(tmp_path / "study.yaml")
    assert SECRET not in str(caught.value)


def test_a_variable_without_a_value_is_that_of_the_command(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", SECRET)
    wanted = Resources(environment={"HF_TOKEN": None, "A": "b"})
    assert ray_environment.of_study(wanted) == {"HF_TOKEN": SECRET, "A": "b"}
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(ConfigError, match=r"HF_TOKEN without a value.*`export HF_TOKEN=\.\.\.`"):
        ray_environment.of_study(wanted)


@pytest.mark.parametrize(
    "job, wanted, message",
    [
        ({"env_vars": {"A": SECRET}}, {"environment": {"A": "b"}}, "sets A, and so does the job"),
        ({"pip": ["x"]}, {"runtime_env": {"pip": ["y"]}}, "sets pip, and so does the job"),
    ],
)
def test_what_the_job_sets_as_well_is_refused(monkeypatch, job, wanted, message):
    monkeypatch.setenv(JOB, json.dumps({"runtime_env": job}))
    assert compat.job_environment() == job
    with pytest.raises(ConfigError, match=message) as caught:
        ray_environment.runtime_env(Resources(**wanted))
    assert SECRET not in str(caught.value)


def test_the_environment_of_the_sweeps_processes(monkeypatch, tmp_path):
    pytest.importorskip("ray")
    wanted = Resources(
        environment={"A": "b"}, runtime_env={"working_dir": str(tmp_path), "excludes": ["*.bin"]}
    )
    found = ray_environment.runtime_env(wanted)
    assert found["working_dir"] == str(tmp_path) and found["excludes"] == ["*.bin"]
    assert found["env_vars"]["A"] == "b" and found["env_vars"]["RAY_TRAIN_V2_ENABLED"] == "1"
    assert ray_environment.runtime_env(Resources()).keys() == {"env_vars"}


@pytest.mark.parametrize(
    "given, message",
    [
        ({"working_dir": "/nowhere/at/all"}, "'/nowhere/at/all', which does not exist here"),
        ({"pip": 5}, "`resources.runtime_env`: "),
        ({"pip": ["a"], "conda": "b"}, "`resources.runtime_env`: .*pip.*conda"),
    ],
)
def test_an_environment_that_ray_refuses_is_told_before_anything_starts(given, message):
    pytest.importorskip("ray")
    with pytest.raises(ConfigError, match=message):
        ray_environment.runtime_env(Resources(runtime_env=given))


def test_paths_of_the_environment_are_relative_to_the_study(tmp_path):
    from mtray.study import _resolve_runtime_env

    raw = {"resources": {"runtime_env": {
        "working_dir": "./code", "py_modules": ["../more", "s3://b/x.zip"], "pip": ["./a", "b"],
        "excludes": ["./data"],
    }}}  # fmt: skip
    _resolve_runtime_env(raw, tmp_path / "studies")
    assert raw["resources"]["runtime_env"] == {
        "working_dir": str(tmp_path / "studies/code"),
        "py_modules": [str(tmp_path / "more"), "s3://b/x.zip"],
        "pip": [str(tmp_path / "studies/a"), "b"],
        "excludes": ["./data"],
    }
    assert os.sep in raw["resources"]["runtime_env"]["working_dir"]
