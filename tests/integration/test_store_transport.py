"""Tables on their way to Ray's workers: by place, or as a copy; and tables that tasks build."""

import os
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mtray.data import shards
from mtray.data.tables import StoredTable, TokenTable
from mtray.data.token_chunks import hashed
from mtray.data.token_files import get_store
from mtray.errors import DataError
from mtray.runtime import code_hash
from mtray.schema import Resources
from mtray.search.execution import shard_tasks, store_transport

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def ray():
    import ray

    ray.init(num_cpus=1, address="local", logging_level="ERROR", include_dashboard=False)
    yield ray
    ray.shutdown()


@pytest.fixture
def table(tmp_path):
    def build(writer):
        ids = np.arange(6, dtype=np.int32)
        writer.add(hashed(ids, np.array([1, 2, 3]), np.ones(3, np.int32)))
        return {}

    return StoredTable(get_store({"made": "up"}, build, tmp_path).folder, "a", 1, 3, 0)


def reader():
    """A function of no module, which Ray sends whole: its workers cannot import this file."""

    def read(handed):
        (table,) = store_transport.receive_tables(handed).values()
        return table.origin, [table.example(i)[0].tolist() for i in range(len(table))]

    return read


def test_a_worker_maps_what_it_sees(ray, table):
    handed = store_transport.send_tables({"a": table})
    assert handed["a"].copy is None, "nothing goes into Ray's object store"
    expected = [table.example(i)[0].tolist() for i in range(3)]
    assert ray.get(ray.remote(reader()).remote(handed)) == ("mapped", expected)


def test_a_worker_that_does_not_see_it_gets_a_copy(ray, table, monkeypatch):
    expected = [table.example(i)[0].tolist() for i in range(3)]
    monkeypatch.setattr(store_transport, "visible_everywhere", lambda _: False)
    handed = store_transport.send_tables({"a": table})
    assert reader()(handed) == ("mapped", expected)
    shutil.rmtree(table.folder)
    assert ray.get(ray.remote(reader()).remote(handed)) == ("sent", expected)


def test_a_table_in_memory_is_sent(ray):
    made = TokenTable(np.arange(3, dtype=np.int32), np.array([1, 3]), np.zeros(2, np.int32), 0, 2)
    assert reader()(store_transport.send_tables({"a": made})) == ("", [[0], [1, 2]])


def test_without_a_copy_it_is_an_error(ray, table):
    handed = store_transport.send_tables({"a": table})
    shutil.rmtree(table.folder)
    with pytest.raises(DataError, match="cannot see the token store of source 'a'"):
        store_transport.receive_tables(handed)


class Numbers:
    """Makes a token of each row; the first that comes to row 20 outside the test's process kills
    its own."""

    def __init__(self, folder, here):
        self.folder, self.here = folder, here

    def made(self, rows):
        ids = np.array([int(row["text"]) for row in rows], np.int32)
        if 20 in ids and os.getpid() != self.here and not (self.folder / "killed").exists():
            (self.folder / "killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if 33 in ids:
            raise DataError("row 33 is broken")
        return hashed(ids, np.ones(len(ids), np.int64), ids * 0), Counter({"rows": len(ids)})


@pytest.fixture
def shard_runner(ray, tmp_path, monkeypatch):
    """Shards of four rows, and what was said."""
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr(shards, "ROWS", 4)
    monkeypatch.setattr(shards, "ALONE", 0.0)
    monkeypatch.setattr(shard_tasks, "MANY_CPUS", 1)
    monkeypatch.setattr(shard_tasks.os, "cpu_count", lambda: 1)
    said = []
    inputs = {
        "code": code_hash(Path(shards.__file__).parent),
        "versions": {"numpy": np.__version__},
    }
    work = shards.ShardWork(None, Numbers(tmp_path, os.getpid()))

    def build(count, store):
        tasks = shard_tasks.ShardTasks(None, Resources(), said.append)
        rows = ({"text": str(number)} for number in range(count))
        built = shards.built_shards(work, rows, lambda: tasks.runner(store, work, inputs))
        return [(shard.tokens.ids.tolist(), shard.builder) for shard in built]

    yield build, said
    ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def test_shards_are_built_in_tasks_and_a_lost_one_again(ray, shard_runner, tmp_path):
    build, said = shard_runner
    found = build(33, "numbers")
    assert [ids for ids, _ in found] == [list(range(i, min(i + 4, 33))) for i in range(0, 33, 4)]
    node = ray.get_runtime_context().get_node_id()
    assert {builder[0] for _, builder in found} == {node}
    assert (tmp_path / "killed").exists() and os.getpid() not in {pid for _, (_, pid) in found}
    assert len(said) == 1 and "the rest is built by Ray tasks on 1 machine (1 CPUs)" in said[0]


def test_an_error_in_a_task_is_that_of_the_row(shard_runner):
    build, _ = shard_runner
    with pytest.raises(DataError, match=r"^row 33 is broken$"):
        build(60, "broken")


def test_where_no_cpu_gets_free_this_process_builds(ray, shard_runner, monkeypatch):
    build, said = shard_runner
    monkeypatch.setattr(shard_tasks, "PATIENCE", 0.5)

    def sleep():
        import time

        time.sleep(600)

    holder = ray.remote(num_cpus=1)(sleep).remote()
    try:
        while ray.available_resources().get("CPU"):
            pass
        found = build(24, "alone")
    finally:
        ray.cancel(holder, force=True)
    assert [ids for ids, _ in found] == [list(range(i, i + 4)) for i in range(0, 24, 4)]
    assert {builder for _, builder in found} == {shards.HERE}
    assert said[-1] == (
        "store of alone: a shard was built by this process, since no CPU was free for its task "
        "within 0.5 s"
    )
