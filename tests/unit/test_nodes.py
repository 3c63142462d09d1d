"""How many workers share a machine, without a cluster."""

from types import SimpleNamespace

import pytest

from mtray.schema import Resources

nodes = pytest.importorskip("mtray.search.execution.nodes", reason="needs Ray")
HERE = {"NodeID": "a", "Resources": {"CPU": 8.0, "GPU": 4.0}}
OTHER = {"NodeID": "b", "Resources": {"CPU": 64.0, "GPU": 16.0}}


@pytest.mark.parametrize(
    "resources, workers",
    [
        ({}, 8),
        ({"gpus_per_worker": 1}, 4),
        ({"workers": 2, "gpus_per_worker": 0.5}, 8),
        ({"workers": 4, "concurrent_trials": 1}, 4),
        ({"workers": 2, "concurrent_trials": 3}, 6),
        ({"workers": 9, "concurrent_trials": 2}, 8),
        ({"cpus_per_worker": 16}, 1),
    ],
)
def test_workers_of_a_machine(monkeypatch, resources, workers):
    """As many as it has room for, and no more than run at a time; at least this one."""
    context = SimpleNamespace(get_node_id=lambda: "a")
    monkeypatch.setattr("ray.get_runtime_context", lambda: context)
    monkeypatch.setattr("ray.nodes", lambda: [OTHER, HERE])
    found = nodes.workers_here(Resources(**resources))
    assert found == workers and isinstance(found, int)
