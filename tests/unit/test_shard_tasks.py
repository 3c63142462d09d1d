"""When shards are built in tasks, on which machines, and what is said of it. Ray itself is tested
in tests/integration/test_store_transport.py."""

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest

from mtray.data import content_hashes
from mtray.data.content_hashes import differences
from mtray.data.shards import Shard, ShardWork
from mtray.data.token_makers import ExampleMaker
from mtray.errors import ConfigError, RunError
from mtray.runtime import version_of
from mtray.schema import Resources
from mtray.search.execution import (
    available_resources,
    cluster_probe,
    ray_connection,
    ray_environment,
    shard_tasks,
)
from mtray.search.execution.placing import Machine
from mtray.search.execution.shard_tasks import Needs, ShardTasks

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


NOT_STARTED = {
    "Ray": (RunError("Ray did not start\nmore"), RunError, "Ray did not start"),
    "settings": (ConfigError("a variable has no value"), ConfigError, "a variable has no value"),
    "disk": (
        OSError(28, "disk full"),
        RunError,
        "Ray cannot write its files: [Errno 28] disk full",
    ),
}


@pytest.mark.parametrize("case", NOT_STARTED)
def test_a_machine_on_which_ray_does_not_start_builds_alone(case, monkeypatch):
    """An OSError would be taken for one of the store's folder."""
    raised, expected, said_of = NOT_STARTED[case]

    def fails(*_, **__):
        raise raised

    monkeypatch.setattr(ray_connection, "start_ray", fails)
    monkeypatch.setattr(ray_environment, "apply", lambda: None)
    monkeypatch.setattr(shard_tasks.os, "cpu_count", lambda: 8)
    for address in (None, "auto"):
        said = []
        tasks = ShardTasks(address, Resources(), said.append)
        if address:
            with pytest.raises(expected) as caught:
                tasks.runner("pairs", WORK, INPUTS)
            assert str(caught.value).startswith(said_of)
        else:
            assert [tasks.runner("pairs", WORK, INPUTS) for _ in range(2)] == [None, None]
            assert said == [f"stores are built by this process alone: {said_of}"]


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
    runner = shard_tasks.TaskRunner("pairs", WORK, Needs("c", {}), nodes, print)
    assert runner.window == 12
    for number in range(12):
        runner.submit(shard_tasks.Shard(number, []))
    assert Counter(sent) == {"a" * 56: 8, "b" * 56: 4}
    assert (
        shard_tasks.TaskRunner("pairs", WORK, Needs("c", {}), {"c" * 56: 512}, print).window == 128
    )


class Doubled:
    """Makes nothing; knows how many rows it was given."""

    def made(self, rows):
        return len(list(rows)), Counter()


LOST = {
    "put": ({"put": 1}, "its task did not begin (disk full)", None),
    "answer": ({"wait": 1}, "its task failed (disk full)", None),
    "rows": (
        {"wait": 1, "get": 1},
        None,
        "store of pairs: Ray has lost a part of the rows (disk full); ",
    ),
}


@pytest.mark.parametrize("case", LOST)
def test_a_shard_that_ray_loses_is_built_here(case, monkeypatch):
    ray = pytest.importorskip("ray")
    failing, why, message = LOST[case]

    def fails_or(name, found):
        def call(*given, **_):
            if failing.get(name):
                raise ray.exceptions.RayError("disk full")
            return found(*given)

        return call

    task = SimpleNamespace(options=lambda **_: task, remote=lambda *_: "answer")
    monkeypatch.setattr(ray, "remote", lambda **_: lambda function: task)
    monkeypatch.setattr(ray, "put", lambda found: found)
    said, work = [], ShardWork(None, Doubled())
    runner = shard_tasks.TaskRunner("pairs", work, Needs("c", {}), {"a" * 56: 4}, said.append)
    for name, found in (("put", lambda x: x), ("get", lambda x: x), ("wait", lambda x: (x, []))):
        monkeypatch.setattr(ray, name, fails_or(name, found))
    wait = runner.submit(Shard(0, [1, 2, 3]))
    if message:
        with pytest.raises(RunError) as caught:
            wait()
        assert str(caught.value).startswith(message)
    else:
        assert wait().tokens == 3
        assert said == [f"store of pairs: a shard was built by this process, since {why}"]
    assert runner._begun["a" * 56] == 0


@pytest.mark.parametrize("tokenizer, fails", [("here", False), ("other", True), ("", False)])
def test_a_task_has_the_tokenizer_of_the_store(tokenizer, fails, monkeypatch):
    """Some tokenizers are sent without their files, and read those of the machine at that path."""
    ray = pytest.importorskip("ray")
    work = ShardWork(None, Doubled())
    context = SimpleNamespace(get_node_id=lambda: "node")
    monkeypatch.setattr(ray, "get", lambda _: work)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: context)
    monkeypatch.setattr(shard_tasks, "differences", lambda *_: "")
    monkeypatch.setattr(shard_tasks, "tokenizer_hash", lambda _: "here")
    monkeypatch.setattr(shard_tasks, "_KNOWN", {})
    given = "key", [None], Needs("c", {}, tokenizer), Shard(0, [1, 2])
    if fails:
        with pytest.raises(RuntimeError, match="another tokenizer at the same path"):
            shard_tasks.build_in_task(*given)
        assert shard_tasks._KNOWN == {}
    else:
        assert shard_tasks.build_in_task(*given).builder[0] == "node"
