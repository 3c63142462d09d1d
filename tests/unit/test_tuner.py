"""Joining a cluster, as far as it needs none."""

import os
import socket

import pytest

from mtray.errors import RunError
from mtray.search.tuner import prepare_address


@pytest.mark.parametrize("address", ["ray://host:10001", "host", "host:", ":6379", "host:six"])
def test_an_address_that_is_none_names_what_is_allowed(address):
    with pytest.raises(RunError, match="expected auto or HOST:PORT"):
        prepare_address(address)


def test_nothing_answers():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused at once
        port = taken.getsockname()[1]
        with pytest.raises(RunError, match=f"--address 127.0.0.1:{port}: nothing answers there"):
            prepare_address(f"127.0.0.1:{port}")
    with pytest.raises(RunError, match="nothing answers there"):
        prepare_address("127.0.0.1:99999")


@pytest.mark.parametrize("kept, mode", [(True, "token"), (False, None)])
def test_a_token_of_this_machine_is_sent(tmp_path, monkeypatch, kept, mode):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")  # so that it is put back afterwards
        monkeypatch.delenv(name)
    if kept:
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray/auth_token").write_text("secret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        prepare_address(f"127.0.0.1:{server.getsockname()[1]}")
    assert os.environ.get("RAY_AUTH_MODE") == mode
    prepare_address("auto")
