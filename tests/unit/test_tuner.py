"""Joining a cluster, as far as it needs none."""

import socket

import pytest

from mtray.errors import RunError
from mtray.search.execution.ray_connection import check_address


@pytest.mark.parametrize("address", ["ray://host:10001", "host", "host:", ":6379", "host:six"])
def test_an_address_that_is_none_names_what_is_allowed(address):
    with pytest.raises(RunError, match="expected auto or HOST:PORT"):
        check_address(address)


def test_nothing_answers():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused at once
        port = taken.getsockname()[1]
        with pytest.raises(RunError, match=f"--address 127.0.0.1:{port}: nothing answers there"):
            check_address(f"127.0.0.1:{port}")
    with pytest.raises(RunError, match="nothing answers there"):
        check_address("127.0.0.1:99999")


def test_what_answers_is_left_to_ray():
    with socket.create_server(("127.0.0.1", 0)) as server:
        check_address(f"127.0.0.1:{server.getsockname()[1]}")
    check_address("auto")
