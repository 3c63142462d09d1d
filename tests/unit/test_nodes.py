"""How many workers share a machine, and whether one was lost, without a cluster."""

import socket
import threading
import time
from types import SimpleNamespace

import pytest

from mtray.errors import NodeDrained, NodeLost, WorkerLost
from mtray.schema import Resources

nodes = pytest.importorskip("mtray.search.execution.nodes", reason="needs Ray")
HERE = {"NodeID": "a", "Resources": {"CPU": 8.0, "GPU": 4.0}}
OTHER = {"NodeID": "b", "Resources": {"CPU": 64.0, "GPU": 16.0}}


@pytest.mark.parametrize(
    "resources, workers",
    [
        ({}, 8),
        ({"gpus_per_worker": 1}, 4),
        ({"gpus_per_worker": 0.5}, 8),
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


class Cluster:
    """Ray's table of machines; `ports` of those that answer are open."""

    def __init__(self, monkeypatch):
        self.alive, self.servers = {}, {}
        for name in "ab":
            self.servers[name] = socket.create_server(("127.0.0.1", 0))
            self.alive[name] = self.servers[name].getsockname()[1]
        monkeypatch.setattr("ray.nodes", self.nodes)

    def nodes(self):
        return [
            {"NodeID": name, "Alive": True, "NodeManagerAddress": "127.0.0.1",
             "NodeManagerPort": port}
            for name, port in self.alive.items()
        ]  # fmt: skip

    def close(self):
        for server in self.servers.values():
            server.close()


@pytest.fixture
def cluster(monkeypatch):
    monkeypatch.setattr(nodes, "DECIDED_WITHIN", 20.0)
    found = Cluster(monkeypatch)
    yield found
    found.close()


def inquire(before):
    start = time.monotonic()
    found = nodes.LossInquiry("a worker ended", before).found()
    return type(found), time.monotonic() - start


def test_where_all_machines_answer_a_process_was_lost_alone_and_nobody_waits(cluster):
    kind, seconds = inquire({"a", "b"})
    assert kind is WorkerLost and seconds < 10


def test_ray_may_take_its_time_to_notice_that_a_machine_is_gone(cluster):
    """It does not answer, and later Ray takes it off its table."""
    cluster.servers["b"].close()
    threading.Timer(1.0, cluster.alive.pop, ["b"]).start()
    kind, seconds = inquire({"a", "b"})
    assert kind is NodeLost and 0.9 < seconds < 10


def test_the_end_of_a_drained_machine_was_announced(cluster, monkeypatch):
    monkeypatch.setattr(nodes.SEEN, "drained", {"b"})
    cluster.alive.pop("b")
    kind, _ = inquire({"a", "b"})
    assert kind is NodeDrained


def test_a_machine_that_was_cut_off_and_comes_back_is_not_lost(cluster):
    port = cluster.alive["b"]
    cluster.servers["b"].close()

    def back():
        cluster.servers["b"] = socket.create_server(("127.0.0.1", port))

    threading.Timer(1.0, back).start()
    assert inquire({"a", "b"})[0] is WorkerLost


def test_the_cause_is_asked_for_without_holding_up_who_asks(cluster, monkeypatch):
    monkeypatch.setattr(nodes, "DECIDED_WITHIN", 0.05)
    cluster.servers["b"].close()
    inquiry = nodes.LossInquiry("a worker ended", {"a", "b"})
    assert inquiry.found() is None
    del cluster.alive["b"]
    inquiry._thread.join(20)
    assert isinstance(inquiry.found(), NodeLost)


def test_machines_are_remembered_for_a_moment(cluster, monkeypatch):
    seen = nodes.SeenNodes()
    seen.look()
    between = time.monotonic()
    del cluster.alive["b"]
    seen.look()
    assert seen.recent() == {"a", "b"} and seen.recent(between) == {"a"}
    monkeypatch.setattr(nodes, "RECENTLY", -1.0)
    assert seen.recent() == set()


def test_an_actor_of_ours_is_named_and_on_this_machine_alone(monkeypatch):
    made = {}

    class Remote:
        def __init__(self, **options):
            made.update(options)

        def __call__(self, cls):
            return self

        def options(self, **options):
            made.update(options)
            return SimpleNamespace(remote=lambda: "actor")

    context = SimpleNamespace(get_node_id=lambda: "aa" * 28)
    monkeypatch.setattr("ray.get_runtime_context", lambda: context)
    monkeypatch.setattr("ray.remote", Remote)
    assert nodes.start_actor_here(object, "mtray:x queue", max_restarts=-1) == "actor"
    where = made["scheduling_strategy"]
    assert (where.node_id, where.soft) == ("aa" * 28, False)
    assert (made["name"], made["max_restarts"], made["num_cpus"]) == ("mtray:x queue", -1, 0)
