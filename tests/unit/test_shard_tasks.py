"""When shards are built in tasks, on which machines, and what is said of it. Ray itself is tested
in tests/integration/test_store_transport.py."""

from collections import Counter
from dataclasses import replace

import pytest

from mtray.data import content_hashes
from mtray.data.content_hashes import differences
from mtray.data.shards import ShardWork
from mtray.data.token_makers import ExampleMaker
from mtray.errors import RunError
from mtray.runtime import version_of
from mtray.schema import Resources
from mtray.search.execution import available_resources, cluster_probe, shard_tasks
from mtray.search.execution.placing import Machine
from mtray.search.execution.shard_tasks import ShardTasks

INPUTS = {"code": "c", "versions": {"tokenizers": "1"}}
WORK = ShardWork(None, ExampleMaker(None, None, 9))
A, B, C = (
    Machine({"CPU": cpus}, name=name, node=name) for name, cpus in (("a", 4), ("b", 2), ("c", 0))
)


@pytest.fixture
def on(monkeypatch):
    """What `runner` gives on these machines, and what it says; `answers`: what differs on some."""

    def given(machines, address="auto", answers=None, work=WORK, times=1, cpus=2):
        asked, said, made = [], [], []
        monkeypatch.setattr(shard_tasks.os, "cpu_count", lambda: cpus)
        monkeypatch.setattr(shard_tasks.ShardTasks, "_join", lambda self: asked.append("joined"))
        monkeypatch.setattr(available_resources, "machines", lambda: machines)

        def ask(question, *needs):
            asked.append(needs)
            known = {machine.node: "" for machine in machines} | (answers or {})
            return [(node, "address", text) for node, text in known.items() if text is not None]

        monkeypatch.setattr(cluster_probe, "ask_machines", ask)
        monkeypatch.setattr(shard_tasks, "TaskRunner", lambda *given: given[3])
        tasks = ShardTasks(address, Resources(), said.append)
        made = [tasks.runner("pairs", work, INPUTS) for _ in range(times)]
        return made, said, asked

    return given


LARGE = Machine({"CPU": 8}, name="large", node="large")
WHERE = {
    "two machines": ([A, B], {}, {"a": 4, "b": 2}),
    "one without CPUs": ([A, B, C], {}, {"a": 4, "b": 2}),
    "one": ([A], {}, None),
    "one large": ([LARGE], {}, {"large": 8}),
    "the other without CPUs": ([A, C], {}, None),
    "one with other packages": ([A, B, LARGE], {"b": "has x 2 (here 1)"}, {"a": 4, "large": 8}),
    "one silent": ([A, LARGE], {"a": None}, {"large": 8}),
    "none like this": ([A, B], {"a": "has other code", "b": "has other code"}, None),
}


@pytest.mark.parametrize("case", WHERE)
def test_tasks_run_on_machines_that_are_alike(on, case):
    machines, answers, expected = WHERE[case]
    (runner,), said, _ = on(machines, answers=answers)
    assert runner == expected
    out = [f"{node} builds no part of a store: {why or 'did not answer'}"
           for node, why in answers.items()]  # fmt: skip
    count = f"{len(expected or ())} machine{'s' * (len(expected or ()) > 1)}"
    head = [f"store of pairs: not done after 20 s, so the rest is built by Ray tasks on {count} "
            f"({sum((expected or {}).values())} CPUs)"]  # fmt: skip
    assert said == out + (head if expected else [])


def test_machines_are_asked_once_for_all_stores(on):
    made, _, asked = on([A, B], times=3)
    assert made == [{"a": 4, "b": 2}] * 3
    assert [entry for entry in asked if entry != "joined"] == [("c", {"tokenizers": "1"})]


@pytest.mark.parametrize("cpus, joins", [(2, False), (7, False), (8, True), (None, False)])
def test_a_cluster_is_not_started_for_a_few_cpus(on, cpus, joins):
    (runner,), _, asked = on([LARGE], address=None, cpus=cpus)
    assert bool(asked) == joins and (runner is not None) == joins


def test_a_machine_on_which_ray_does_not_start_builds_alone(on, monkeypatch):
    def fails(*_):
        raise RunError("Ray did not start\nmore")

    for address in (None, "auto"):
        said = []
        on([LARGE])  # its patches stay
        monkeypatch.setattr(shard_tasks.os, "cpu_count", lambda: 8)
        monkeypatch.setattr(ShardTasks, "_join", fails)
        tasks = ShardTasks(address, Resources(), said.append)
        if address:
            with pytest.raises(RunError, match="did not start"):
                tasks.runner("pairs", WORK, INPUTS)
        else:
            assert [tasks.runner("pairs", WORK, INPUTS) for _ in range(2)] == [None, None]
            assert said == ["stores are built by this process alone: Ray did not start"]


def remote_code():
    return type("Own", (), {"__module__": "transformers_modules.a.tokenization"})()


@pytest.mark.parametrize(
    "tokenizer, why",
    [(remote_code, "the tokenizer has code of its own"), (lambda: open, "")],
)
def test_work_that_cannot_be_sent_stays_here(on, tokenizer, why):
    work = ShardWork(None, replace(WORK.maker, tokenizer=tokenizer()))
    (runner,), said, asked = on([A, B], work=work)
    assert (runner is None) == bool(why)
    assert bool(asked) != bool(why)
    assert not why or said == [f"store of pairs: built by this process alone, since {why}"]
    local = ShardWork(None, replace(WORK.maker, tokenizer=lambda: 0))
    (runner,), said, _ = on([A, B], work=local)
    assert runner is None and "its tokenizer cannot be sent (" in said[0]


def test_differences_name_packages_and_both_versions(monkeypatch):
    code = content_hashes.code_hash(content_hashes.Path(content_hashes.__file__).parent)
    here = {"tokenizers": version_of("tokenizers"), "unicode": content_hashes.unidata_version}
    assert differences(code, here) == ""
    assert differences("other", here) == "has other code of mtray"
    found = here["tokenizers"]
    assert differences(code, here | {"tokenizers": "0.1"}) == f"has tokenizers {found} (here 0.1)"
    assert differences(code, {"no-such": "1"}) == "has no-such None (here 1)"
    assert differences(code, {"unicode": "1"}).startswith("has unicode ")
    ask = shard_tasks._differences()
    assert ask(code, here) == "" and ask("other", here) == "has other code of mtray"


def test_shards_go_where_there_is_room(monkeypatch):
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "put", lambda found: found)
    sent = []

    class Task:
        def options(self, scheduling_strategy):
            assert scheduling_strategy.soft
            sent.append(scheduling_strategy.node_id)
            return self

        def remote(self, *given):
            return "answer"

    monkeypatch.setattr(ray, "remote", lambda **_: lambda function: Task())
    nodes = {"a" * 56: 4, "b" * 56: 2}
    runner = shard_tasks.TaskRunner("pairs", WORK, ("c", {}), nodes, print)
    assert runner.window == 12
    for number in range(12):
        runner.submit(shard_tasks.Shard(number, []))
    assert Counter(sent) == {"a" * 56: 8, "b" * 56: 4}
    assert shard_tasks.TaskRunner("pairs", WORK, ("c", {}), {"c" * 56: 512}, print).window == 128
