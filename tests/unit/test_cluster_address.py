"""Joining a cluster, as far as it needs none: what is asked of its head before Ray is."""

import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mtray.cli import main
from mtray.compat import ray as compat
from mtray.compat.ray import cluster_of_auto, head_answer, runs_node_of
from mtray.errors import RunError
from mtray.paths import shipped
from mtray.search.execution import cluster_address, ray_environment
from mtray.search.execution.cluster_address import check_address

grpc = pytest.importorskip("grpc", reason="needs Ray's packages")
RIGHT = "0123456789abcdef"


@pytest.fixture(autouse=True)
def quick(monkeypatch, tmp_path):
    """Short waits, a home without a token, no variable of Ray, and this machine in every cluster;
    what is set of the environment is undone."""
    monkeypatch.setattr(os, "environ", {k: v for k, v in os.environ.items() if k[:4] != "RAY_"})
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(cluster_address, "ANSWER_WITHIN", 0.3)
    monkeypatch.setattr(cluster_address, "NODE_WITHIN", 0.05)
    monkeypatch.setattr(cluster_address, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(cluster_address, "runs_node_of", lambda head, seconds: True)


class Head(grpc.GenericRpcHandler):
    """Of a cluster; asks for a token if it has one."""

    token = ""

    def service(self, details):
        if not details.method.endswith("/GetClusterId"):
            return None
        sent = dict(details.invocation_metadata).get("authorization")

        def answer(request, context):
            if self.token and sent != f"Bearer {self.token}":
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "missing or incorrect")
            return b"an id"

        return grpc.unary_unary_rpc_method_handler(answer)


@pytest.fixture
def head():
    """HOST:PORT of a `Head`, and the head itself."""
    server, found = grpc.server(ThreadPoolExecutor(1)), Head()
    server.add_generic_rpc_handlers([found])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}", found
    server.stop(None).wait()


NO_ADDRESSES = (
    "ray://host:10001", "host", "host:", ":6379", "host:six", "host:²", "host:٣", "host:0",
    "127.0.0.1:65536", "host:99999999999999999999", "::1:6379", "[]:6379", "[::1:6379", "::1",
    " host:6379", "host :6379", "ho\nst:6379", "local", " ", "http://127.0.0.1:8265",
)  # fmt: skip


@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_an_address_that_is_none_names_what_is_allowed(address):
    """Ports beyond 65535 count from 0 again for the kernel."""
    with pytest.raises(RunError) as caught:
        check_address(address)
    assert str(caught.value).startswith(f"--address {address}: expected auto or HOST:PORT")


@pytest.mark.parametrize("address", NO_ADDRESSES)
def test_a_variable_that_is_no_address_names_itself(address):
    """Ray raises ValueError, or takes it for a client's."""
    os.environ["RAY_ADDRESS"] = address
    with pytest.raises(RunError) as caught:
        check_address("auto")
    found = str(caught.value)
    assert found.startswith(f"--address auto: RAY_ADDRESS={address} is set: expected auto or HOST")
    assert "`unset RAY_ADDRESS`" in found


@pytest.mark.parametrize("host", ["a..b", "x" * 70 + ".example", "[fe80::zz]", "no-such.invalid"])
def test_a_host_that_is_none(host):
    with pytest.raises(RunError, match="nothing answers there"):
        check_address(f"{host}:6379")


def test_an_ipv6_address_has_brackets():
    server = grpc.server(ThreadPoolExecutor(1), handlers=[Head()])
    try:
        port = server.add_insecure_port("[::1]:0")
    except RuntimeError:
        pytest.skip("this machine has no IPv6")
    server.start()
    check_address(f"[::1]:{port}")
    server.stop(None).wait()


def test_nothing_answers():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused at once
        port = taken.getsockname()[1]
        with pytest.raises(RunError, match=f"--address 127.0.0.1:{port}: nothing answers there"):
            check_address(f"127.0.0.1:{port}")


def test_what_listens_and_is_no_head():
    """Such as the dashboard. Ray itself would try for minutes."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(RunError, match=f"{address}: something listens there, but no head"):
            check_address(address)


def test_a_server_of_another_kind_is_no_head(monkeypatch):
    """Such as Ray Client's, whose port is shown beside the head's. Ray itself tries for minutes;
    without its name of the request only Ray knows."""
    server = grpc.server(ThreadPoolExecutor(1))
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    with pytest.raises(RunError, match=f"{address}: something listens there, but no head"):
        check_address(address)
    monkeypatch.setattr(compat, "import_module", lambda name: None)
    check_address(address)
    server.stop(None).wait()


FIRST = "the Ray cluster there "
NONE = "asks for a token, and this machine has none; `ray get-auth-token` on a machine"
# the environment, the token in the home folder, and what is said; empty: nothing
TOKENS = {
    "none": ({}, "", NONE),
    "none, and the mode": ({"RAY_AUTH_MODE": "token"}, "", NONE),
    "no mode": (
        {"RAY_AUTH_TOKEN": RIGHT},
        "",
        "asks for a token, and none is sent, since RAY_AUTH_MODE is not `token` here; run "
        "`export RAY_AUTH_MODE=token` (the token is taken from RAY_AUTH_TOKEN) and the same ",
    ),
    "another mode": ({"RAY_AUTH_MODE": "disabled"}, RIGHT, "asks for a token, and none is sent"),
    "wrong": (
        {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "other"},
        RIGHT,
        "refuses the token of RAY_AUTH_TOKEN; ",
    ),
    "wrong file": ({"RAY_AUTH_MODE": "token"}, "other", "refuses the token of HOME/.ray/auth_tok"),
    "right": ({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": RIGHT}, "", ""),
    "right file": ({"RAY_AUTH_MODE": "Token"}, f"{RIGHT}\n", ""),
    "of Kubernetes": ({"RAY_AUTH_MODE": "token", "RAY_ENABLE_K8S_TOKEN_AUTH": "true"}, "", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", TOKENS)
def test_a_cluster_that_asks_for_a_token(case, head, monkeypatch, tmp_path):
    variables, kept, message = TOKENS[case]
    address, server = head
    server.token = RIGHT
    os.environ |= variables
    if kept:
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray/auth_token").write_text(kept)
    if not message:
        check_address(address)
        return
    with pytest.raises(RunError) as caught:
        check_address(address)
    expected = f"--address {address}: {FIRST}{message.replace('HOME', str(tmp_path))}"
    assert str(caught.value).startswith(expected)
    assert ("export RAY_AUTH_MODE" in str(caught.value)) is (
        variables.get("RAY_AUTH_MODE") != "token"
    )


@pytest.mark.parametrize("variable", [None, "", "auto"])
@pytest.mark.parametrize("kept, message", [("", NONE), ("other", "refuses the token"), (RIGHT, "")])
def test_the_cluster_of_this_machine_gets_the_token_without_a_mode(
    kept, message, variable, head, monkeypatch, tmp_path
):
    """As Ray does for `auto`."""
    address, server = head
    server.token = RIGHT
    monkeypatch.setattr(cluster_address, "cluster_of_auto", lambda: address)
    os.environ |= {"RAY_AUTH_TOKEN": kept} | ({} if variable is None else {"RAY_ADDRESS": variable})
    if message:
        with pytest.raises(RunError) as caught:
            check_address("auto")
        assert str(caught.value).startswith(f"--address auto ({address}): {FIRST}{message}")
        assert "export" not in str(caught.value)
    else:
        check_address("auto")


@pytest.mark.parametrize("answer, message", [(True, "and none is sent"), (False, "no node of")])
def test_an_address_in_the_environment_is_one_that_was_named(answer, message, head, monkeypatch):
    """To Ray, too."""
    address, server = head
    server.token = RIGHT if answer else ""
    os.environ |= {"RAY_AUTH_TOKEN": RIGHT, "RAY_ADDRESS": address}
    monkeypatch.setattr(cluster_address, "cluster_of_auto", lambda: address)
    monkeypatch.setattr(cluster_address, "runs_node_of", lambda head, seconds: answer)
    with pytest.raises(RunError) as caught:
        check_address("auto")
    assert str(caught.value).startswith(f"--address auto (RAY_ADDRESS={address}): ")
    assert message in str(caught.value)


def test_a_named_file_without_a_token(head, tmp_path):
    """Ray would end the process."""
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(tmp_path / "none")}
    with pytest.raises(RunError, match=r"RAY_AUTH_TOKEN_PATH=.*none: holds no token"):
        check_address(head[0])
    (tmp_path / "none").write_text(RIGHT)
    check_address(head[0])


def test_without_a_cluster_auto_says_so_at_once(monkeypatch):
    for found, raises in (("", True), (None, False)):
        monkeypatch.setattr(cluster_address, "cluster_of_auto", lambda found=found: found)
        if raises:
            with pytest.raises(
                RunError, match="--address auto: no Ray cluster runs on this machine"
            ):
                check_address("auto")
        else:
            check_address("auto")


@pytest.mark.parametrize(
    "answers, fails", [([False] * 99, True), ([False, True], False), ([None], False)]
)
def test_a_machine_that_is_none_of_the_clusters(answers, fails, head, monkeypatch):
    """Ray itself would look for a minute."""
    left = iter(answers)
    monkeypatch.setattr(cluster_address, "runs_node_of", lambda head, seconds: next(left))
    began = time.monotonic()
    if fails:
        with pytest.raises(RunError, match=r"(?s)no node of the Ray .*ray start --address"):
            check_address(head[0])
        assert time.monotonic() - began < 5
    else:
        check_address(head[0])


COMMANDS = {
    "data build": ["data", "build", "STUDY"],
    "check": ["check", "--study", "STUDY"],
    "sweep": ["sweep", "--study", "STUDY", "--runs-dir", "RUNS", "--page", "off"],
}


@pytest.mark.timeout(60)  # without the check, Ray would try for minutes
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_so_before_a_corpus_is_read(command, head, tmp_path, capsys):
    address, server = head
    server.token = RIGHT
    given = {"STUDY": str(shipped("sweeps") / "default.yaml"), "RUNS": str(tmp_path / "runs")}
    argv = [given.get(word, word) for word in COMMANDS[command]]
    assert main([*argv, "--address", address]) == 2
    assert NONE in capsys.readouterr().err and not (tmp_path / "runs").exists()


def test_doctor_names_it_too(head, tmp_path):
    from mtray.commands import doctor_ray

    address, server = head
    server.token = RIGHT
    (found,) = doctor_ray.cluster(address, tmp_path / "runs")
    assert found.level == "MISSING" and NONE in found.text


def test_with_encryption_only_ray_can_ask(head):
    address, server = head
    assert head_answer(address, "", 5) == "OK"
    server.token = RIGHT
    assert head_answer(address, "x", 5) == "UNAUTHENTICATED"
    os.environ["RAY_USE_TLS"] = "1"
    assert head_answer(address, "x", 5) == ""


def test_ray_still_finds_its_nodes_in_this_way(monkeypatch):
    ray_environment.apply()
    services = pytest.importorskip("ray._private.services")
    clients = pytest.importorskip("ray._raylet")
    assert callable(services.canonicalize_bootstrap_address) and clients.GcsClient
    if not hasattr(services, "find_node_ids"):
        assert runs_node_of("127.0.0.1:1", 1) is None, "a version that looks otherwise"
        return

    class Node(str):
        hex = str.__str__

    class Client:
        def __init__(self, address):
            pass

        def get_all_node_info(self, timeout):
            return {Node("a"): 1, Node("b"): 2}

    monkeypatch.setattr(clients, "GcsClient", Client)
    for here, expected in ((set(), False), ({"c"}, False), ({"b", "c"}, True)):
        monkeypatch.setattr(services, "find_node_ids", lambda here=here: here)
        assert runs_node_of("127.0.0.1:1", 1) is expected
    monkeypatch.setattr(clients, "GcsClient", None)
    assert runs_node_of("127.0.0.1:1", 1) is None


@pytest.mark.parametrize(
    "variable, expected", [("10.0.0.1:6379", "10.0.0.1:6379"), ("nothing", None)]
)
def test_which_cluster_auto_is(variable, expected, monkeypatch):
    pytest.importorskip("ray")
    os.environ["RAY_ADDRESS"] = variable
    assert cluster_of_auto() == expected
