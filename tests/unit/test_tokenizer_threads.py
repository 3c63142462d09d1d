"""Who decides on how many cores the tokenizers of a process encode."""

import os
from collections import Counter

import pytest
from tiny_models import byte_level

from mtray.data import shards, tokenizer_threads
from mtray.data.filter_counts import FilterCounts
from mtray.data.shards import ShardWork
from mtray.data.store_builder import StoreBuilder
from mtray.data.token_makers import DrawMaker, ExampleMaker
from mtray.data.tokenizer_threads import OFF, VARIABLE, switched_off
from mtray.schema import Resources
from mtray.search.execution import ray_environment


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Without the variable, and with what a test sets of the environment undone."""
    monkeypatch.setattr(tokenizer_threads, "_ours", False)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    os.environ.pop(VARIABLE, None)


# the user's value, whether the environment of a sweep is set, and the value while a store is built
MEANWHILE = [
    (None, False, "true"), (None, True, "true"),
    ("false", False, "false"), ("false", True, "false"),
    ("true", True, "true"), ("0", True, "0"), ("", True, ""),
]  # fmt: skip


@pytest.mark.parametrize("users, sweep, meanwhile", MEANWHILE)
def test_only_the_default_of_a_sweep_is_changed_while_a_store_is_built(users, sweep, meanwhile):
    if users is not None:
        os.environ[VARIABLE] = users
    for _ in range(2 if sweep else 0):  # as `check_first` and then `start_ray` do
        ray_environment.apply()
    before = os.environ.get(VARIABLE)
    assert before == ("false" if sweep and users is None else users)
    with tokenizer_threads.tokenizer_threads():
        assert os.environ[VARIABLE] == meanwhile
        assert ray_environment.of_workers()[VARIABLE] == ("false" if users is None else users)
    assert os.environ.get(VARIABLE) == before


@pytest.mark.parametrize("users, workers", [(None, "false"), ("true", "true"), ("off", "off")])
def test_workers_have_the_users_value(users, workers):
    if users:
        os.environ[VARIABLE] = users
    ray_environment.apply()
    assert ray_environment.of_workers()[VARIABLE] == workers
    pytest.importorskip("ray")
    wanted = Resources(environment={VARIABLE: "1"})
    assert ray_environment.runtime_env(wanted)["env_vars"][VARIABLE] == "1", (
        "the study's comes first"
    )


class Kept(list):
    """What a store is written to."""

    add = list.append


@pytest.mark.parametrize("value", [*OFF, "False", None, "true", "1"])
def test_a_store_that_takes_long_names_the_users_setting(value, monkeypatch):
    monkeypatch.setattr(shards, "ALONE", 0.0)
    if value is not None:
        os.environ[VARIABLE] = value
    off = value is not None and value.lower() in OFF
    assert bool(switched_off()) is off
    for maker, reads in (
        (ExampleMaker(None, byte_level(), 9), True),
        (DrawMaker("k", True), False),
    ):
        said = []
        builder = StoreBuilder("pairs", said.append)
        rows = [{"source": "a", "target": "b"}] if not reads else [("a", "b")]
        built = builder.write(ShardWork(None, maker), rows, {}, Kept(), FilterCounts(), Counter())
        assert built["builders"]["shards"] == 1
        line = (
            f"store of pairs: the tokenizer's own threads are off, since {VARIABLE}={value} is "
            "set; unset it to use all cores"
        )
        assert said == ([line] if off and reads else [])


def test_the_default_of_a_sweep_is_not_called_the_users():
    ray_environment.apply()
    assert os.environ[VARIABLE] == "false" and switched_off() == ""
