"""Whether the cluster at an address can be joined from this machine. It is checked before anything
else, since Ray tries for up to several minutes before it says what is missing."""

from __future__ import annotations

import os
import socket
import time

from mtray.compat.ray import cluster_of_auto, head_answer, runs_node_of
from mtray.errors import RunError
from mtray.search.execution import ray_environment
from mtray.search.execution.ray_token import GET_TOKEN, Token, found_token, token_is_sent

CONNECT_WITHIN = 4  # seconds
ANSWER_WITHIN = 10.0  # seconds; a head on a busy machine answers within one
NODE_WITHIN = 10.0  # seconds that a node of this machine may take to appear after `ray start`
LOOK_EVERY = 1.0  # seconds
AUTO = "auto"
EXPECTED = (
    "expected auto or HOST:PORT of the cluster's head (a port from 1 to 65535, and an IPv6 address "
    "in brackets)"
)
NO_HEAD = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "UNIMPLEMENTED")  # answers
MUST_JOIN = (
    "This machine must be one of the cluster's (run `ray start --address=HEAD:PORT` here); from a "
    "machine outside of it, submit the command with `ray job submit`"
)


def check_address(address: str) -> None:
    """Raise RunError, within seconds, if no cluster answers at `address` (HOST:PORT or auto), if it
    asks for a token that this process does not send or refuses the one sent, or if this machine
    runs none of its nodes."""
    ray_environment.apply()  # before Ray is imported
    if address == AUTO:
        _check_auto()
        return
    if "://" in address:
        raise RunError(
            f"--address {address}: expected auto or HOST:PORT of the cluster's head; the sweep "
            "must run on a machine of the cluster (`ray job submit` starts it there)"
        )
    if _host_and_port(address) is None:
        raise RunError(f"--address {address}: {EXPECTED}")
    _check_head(address, address)
    _check_node(address, address)


def _host_and_port(address: str) -> tuple[str, int] | None:
    """As Ray reads HOST:PORT; None for another text. An IPv6 address has brackets."""
    host, _, port = address.rpartition(":")
    if host[:1] + host[-1:] == "[]":
        host = host[1:-1]
    elif ":" in host:
        return None
    readable = host.isprintable() and not set(host) & set(" []") and port.isascii()
    if not host or not readable or not port.isdigit() or not 1 <= int(port[:9]) <= 65535:
        return None
    return host, int(port)


def _check_auto() -> None:
    named = os.environ.get("RAY_ADDRESS", "")
    if named not in ("", AUTO) and _host_and_port(named) is None:
        raise RunError(
            f"--address {AUTO}: RAY_ADDRESS={named} is set: {EXPECTED}; `unset RAY_ADDRESS` for "
            "the cluster of this machine"
        )
    head = cluster_of_auto()
    if head == "":
        raise RunError(
            "--address auto: no Ray cluster runs on this machine; `ray start --head` starts one, "
            "`ray start --address=HEAD:PORT` joins one, and without --address none is needed"
        )
    if head is None:
        return
    if named not in ("", AUTO):  # which Ray then treats as HOST:PORT, not as auto
        address = f"{AUTO} (RAY_ADDRESS={named})"
        _check_head(address, head)
        _check_node(address, head)
        return
    _check_head(f"{AUTO} ({head})", head, found=True)


def _check_head(address: str, head: str, found: bool = False) -> None:
    """Raise RunError if `head` (HOST:PORT) does not answer, or refuses this driver.

    - `address`: what messages call it.
    - `found`: whether `auto` has found the head on this machine: Ray then decides by itself
      whether to send the token that it finds here.
    """
    try:
        place = _host_and_port(head) or head.rpartition(":")[::2]
        socket.create_connection(place, timeout=CONNECT_WITHIN).close()
    except (OSError, ValueError) as error:  # ValueError: of a host that is no name of one
        raise RunError(
            f"--address {address}: nothing answers there ({error}); start a cluster with "
            "`ray start --head`, or leave --address out"
        ) from None
    sends = token_is_sent(own=found)
    token = found_token(sends)
    answer = head_answer(head, token.value if sends else "", ANSWER_WITHIN)
    if answer in NO_HEAD:
        raise RunError(
            f"--address {address}: something listens there, but no head of a Ray cluster answers "
            f"within {ANSWER_WITHIN:g} s; give the HOST:PORT that `ray start --head` has printed, "
            "not that of the dashboard or of Ray Client"
        )
    of_kubernetes = sends and os.environ.get("RAY_ENABLE_K8S_TOKEN_AUTH")  # Ray gets another token
    if answer == "UNAUTHENTICATED" and not of_kubernetes:
        raise RunError(f"--address {address}: the Ray cluster there {_refused(token, sends)}")


def _refused(token: Token, sends: bool) -> str:
    """Why a driver of this machine was refused, and what to do."""
    mode = "" if sends else "run `export RAY_AUTH_MODE=token`, "
    if not token.value:
        return (
            f"asks for a token, and this machine has none; {GET_TOKEN}: put it into "
            f"~/.ray/auth_token or RAY_AUTH_TOKEN, {mode}and run the same command again"
        )
    if not sends:
        return (
            "asks for a token, and none is sent, since RAY_AUTH_MODE is not `token` here; "
            f"run `export RAY_AUTH_MODE=token` (the token is taken from {token.where}) and the "
            "same command again"
        )
    return (
        f"refuses the token of {token.where}; {GET_TOKEN}: put that one there and run the same "
        "command again"
    )


def _check_node(address: str, head: str) -> None:
    """Raise RunError if no node of the cluster appears on this machine within `NODE_WITHIN`."""
    until = time.monotonic() + NODE_WITHIN
    while runs_node_of(head, ANSWER_WITHIN) is False:
        if time.monotonic() >= until:
            raise RunError(
                f"--address {address}: no node of the Ray cluster there runs on this machine "
                f"(waited {NODE_WITHIN:g} s for one)\n{MUST_JOIN}"
            )
        time.sleep(LOOK_EVERY)
