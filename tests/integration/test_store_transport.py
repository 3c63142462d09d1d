"""Tables on their way to Ray's workers: by place, or as a copy."""

import shutil

import numpy as np
import pytest

from mtray.data.tables import StoredTable, TokenTable
from mtray.data.token_files import get_store, hashed
from mtray.errors import DataError
from mtray.search.execution import store_transport

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
