"""Over which network interface the workers of a trial connect."""

import os
import socket

import pytest

groups = pytest.importorskip("mtray.search.execution.process_groups", reason="needs Ray")


@pytest.fixture
def machine(monkeypatch):
    """A machine with an interface, whose name stands for `name`."""

    def make(name, node="10.1.2.3"):
        def resolve(host):
            if name is None:
                raise OSError("unknown")
            return name

        monkeypatch.setattr(socket, "gethostbyname", resolve)
        monkeypatch.setattr("ray.util.get_node_ip_address", lambda: node)
        monkeypatch.setattr(socket, "if_nameindex", lambda: [(1, "lo"), (2, "eth0"), (3, "ib0")])
        addresses = {"lo": "127.0.0.1", "ib0": "10.1.2.3"}
        monkeypatch.setattr(groups, "_address", addresses.get)
        for variable in groups.VARIABLES:
            monkeypatch.setenv(variable, "")  # so that what the code sets is removed afterwards
            monkeypatch.delenv(variable)

    return make


@pytest.mark.parametrize(
    "name, node, expected",
    [
        ("127.0.1.1", "10.1.2.3", "ib0"),
        (None, "10.1.2.3", "ib0"),
        ("10.1.2.3", "10.1.2.3", None),
        ("127.0.1.1", "127.0.0.1", None),
        ("127.0.1.1", "10.9.9.9", None),
    ],
)
def test_the_interface_is_named_where_the_name_of_the_machine_leads_nowhere(
    machine, name, node, expected
):
    machine(name, node)
    groups.name_interface()
    assert [os.environ.get(v) for v in groups.VARIABLES] == [expected] * 2


def test_what_the_user_has_named_stays(machine, monkeypatch):
    machine("127.0.1.1")
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "eth7")
    groups.name_interface()
    assert os.environ["GLOO_SOCKET_IFNAME"] == "eth7" and os.environ["NCCL_SOCKET_IFNAME"] == "ib0"


def test_the_kernel_knows_the_address_of_an_interface():
    names = [name for _, name in socket.if_nameindex()]
    assert groups._address("lo") in ("127.0.0.1", None) and groups._address("nothere") is None
    assert "lo" in names and groups.interface_of("127.0.0.1") is None


def test_the_workers_are_told_before_they_connect(monkeypatch):
    order = []
    base = groups._AddressedBackend.__mro__[1]
    monkeypatch.setattr(base, "on_start", lambda *_: order.append("connect"))

    class Group:
        def execute(self, function):
            order.append(function.__name__)

    config = groups.AddressedTorchConfig(backend="gloo")
    config.backend_cls().on_start(Group(), config)
    assert order == ["listen", "name_interface", "connect"]
