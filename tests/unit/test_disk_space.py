"""What checkpoints take, before anything runs."""

from types import SimpleNamespace

import pytest
from records_factory import make_study

from mtray.errors import ConfigError
from mtray.schema import Budget, Recipe, Resources, Training
from mtray.search.execution import disk_space
from mtray.search_space.parameters import Choices, IntRange
from mtray.search_space.space import Space, load_space
from mtray.training.models import load_model
from mtray.training.parameter_counts import trainable_parameter_count

SEARCH_ALONE = make_study(budget=Budget(baselines="none"))


def space(**fixed):
    return Space(parameters={}, fixed={"parallel_size": 10, **fixed})


@pytest.fixture(autouse=True)
def million(monkeypatch):
    """A model of a million parameters, of which half are in its blocks, on a disk of 100 MB."""

    def moved(name, frozen, rank, trusted):
        return rank * 1e3 if rank else 5e5 if frozen else 1e6

    monkeypatch.setattr(disk_space, "trainable_parameter_count", moved)
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=100e6))


def test_weights_and_two_moments_twice_for_each_trial(tmp_path):
    line = disk_space.check_disk(make_study(), space(), tmp_path / "runs" / "new", 4)
    assert line == (
        "  checkpoints: 0.012 GB per trial, 4 at a time and twice while one is replaced: up to "
        "0.096 GB of 0.1 GB free"
    )
    assert "0.006 GB per trial" in disk_space.check_disk(
        SEARCH_ALONE, space(frozen_layers=2), tmp_path, 1
    )
    # a baseline freezes nothing, whatever the space does
    assert "0.012 GB per trial" in disk_space.check_disk(
        make_study(), space(frozen_layers=2), tmp_path, 1
    )


def test_what_does_not_fit_is_an_error_and_what_is_replaced_counts_as_free(tmp_path):
    with pytest.raises(ConfigError, match=rf"0.12 GB, and {tmp_path} has 0.1 GB free"):
        disk_space.check_disk(make_study(), space(), tmp_path, 5)
    old = tmp_path / "trials/0003/checkpoint-00000010"
    old.mkdir(parents=True)
    (old / "worker-0000-000.safetensors").write_bytes(b"0" * 20_000_000)
    assert "of 0.12 GB free" in disk_space.check_disk(make_study(), space(), tmp_path, 5)


def test_the_limit_of_the_study_and_off(tmp_path):
    tight = make_study(resources=Resources(checkpoint_gb=0.02))
    with pytest.raises(ConfigError, match=r"`resources.checkpoint_gb` allows 0.02 GB"):
        disk_space.check_disk(tight, space(), tmp_path, 1)
    off = make_study(training=Training(checkpoints=False), resources=Resources(checkpoint_gb=1e-9))
    assert disk_space.check_disk(off, space(), tmp_path, 9) == ""


def test_parameters_are_counted_as_the_model_itself_has_them():
    model = load_model("embedded")
    assert trainable_parameter_count("embedded", 0) == sum(p.numel() for p in model.parameters())
    blocks = model.model.layers[:2].parameters()
    assert trainable_parameter_count("embedded", 2) == trainable_parameter_count(
        "embedded", 0
    ) - sum(p.numel() for p in blocks)


def test_of_adapters_the_highest_rank_counts(tmp_path):
    ranks = IntRange(type="int", low=4, high=64, log=True)
    lora = Space(parameters={"lora_rank": ranks}, fixed={"parallel_size": 10, "method": "lora"})
    assert "0.000768 GB per trial" in disk_space.check_disk(make_study(), lora, tmp_path, 1)
    both = Choices(type="categorical", choices=["lora", "full"])
    either = Space(parameters={"lora_rank": ranks, "method": both}, fixed={"parallel_size": 10})
    assert "0.012 GB per trial" in disk_space.check_disk(make_study(), either, tmp_path, 1)


EITHER = "method: {type: categorical, choices: [lora, full]}\nparallel_size: 10\n"
CONDITIONAL = {
    "blocks are frozen with adapters alone": (
        EITHER + "frozen_layers: {type: int, low: 1, high: 4, when: {method: {among: [lora]}}}\n",
        "0.012",
    ),
    "a rank that is off is the default": (
        EITHER.replace("[lora, full]", "[lora, qlora]")
        + "frozen_layers: {type: int, low: 1, high: 4}\n"
        + "lora_rank: {type: int, low: 2, high: 8, when: {frozen_layers: {above: 2}}}\n",
        "0.000192",  # 16, the default, where the condition fails
    ),
}


@pytest.mark.parametrize("name", CONDITIONAL)
def test_conditions_of_the_space_count(tmp_path, name):
    text, size = CONDITIONAL[name]
    (tmp_path / "space.yaml").write_text(text)
    found = load_space(tmp_path / "space.yaml", {"learning_rate": 0.1})
    assert f"{size} GB per trial" in disk_space.check_disk(SEARCH_ALONE, found, tmp_path, 1)


def test_adapters_are_counted_as_they_are_made():
    from mtray.training.adapters import prepare
    from mtray.training.parameter_counts import count_trainable

    recipe = Recipe(parallel_size=9, method="lora", lora_rank=8, frozen_layers=1)
    made = prepare(load_model("embedded"), recipe, Training(), 1).model
    assert trainable_parameter_count("embedded", 1, 8) == count_trainable(made)
