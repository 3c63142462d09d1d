"""The token that Ray sends, as far as it needs no cluster."""

import os

import pytest

from mtray.errors import RunError
from mtray.preparation import check_machine
from mtray.search.execution import ray_connection
from mtray.search.execution.ray_token import LONGEST, Token, found_token, token_is_sent

RIGHT = "0123456789abcdef"
READ, SENT = "holds no token that can be read", "holds no token that can be sent"
# bytes of the file, and the token as Ray reads it, or what is said
FILES = {
    "a line": (b"0123456789abcdef\n", RIGHT),
    "of Windows": (b" 0123456789abcdef\r\n", RIGHT),
    "a comment below": (b"0123456789abcdef\nof the lab\n", RIGHT),
    "empty": (b"", READ),
    "an empty line first": (b"\n0123456789abcdef", READ),
    "no ASCII": ("0123é".encode(), SENT),
    "not UTF-8": (b"\x80\xff", SENT),
    "a byte order mark": (b"\xef\xbb\xbf0123", SENT),
    "a tab": (b"01\t23", SENT),
    "another file": (b"x" * (LONGEST + 1), SENT),
}


@pytest.fixture(autouse=True)
def environment(monkeypatch, tmp_path):
    """No variable of Ray, and a home without a token; what is set is undone."""
    monkeypatch.setattr(os, "environ", {k: v for k, v in os.environ.items() if k[:4] != "RAY_"})
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


def checked(message, where):
    with pytest.raises(RunError) as caught:
        found_token(sent=True)
    assert str(caught.value).startswith(f"{where}: {message}")
    assert "`ray get-auth-token`" in str(caught.value)


@pytest.mark.parametrize("case", FILES)
@pytest.mark.parametrize("named", [True, False])
def test_a_file_is_read_as_ray_does(case, named, tmp_path):
    content, expected = FILES[case]
    file = tmp_path / ("token" if named else "home/.ray/auth_token")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    os.environ |= {"RAY_AUTH_TOKEN_PATH": str(file)} if named else {}
    if expected == RIGHT:
        assert found_token(sent=True) == Token(RIGHT, str(file))
    elif expected == READ and not named:
        assert found_token(sent=True) == Token()
    else:
        checked(expected, f"RAY_AUTH_TOKEN_PATH={file}" if named else str(file))
    found_token(sent=False)


@pytest.mark.parametrize("kind", ["folder", "missing", "pipe"])
@pytest.mark.timeout(20)
def test_what_is_no_file_holds_no_token(kind, tmp_path):
    path = tmp_path / "token"
    if kind == "folder":
        path.mkdir()
    if kind == "pipe":
        os.mkfifo(path)
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(path)
    checked(READ, f"RAY_AUTH_TOKEN_PATH={path}")


@pytest.mark.parametrize("value", ["01\n23", "é", "\udcff", "0" * (LONGEST + 1), "01\x0023"])
def test_a_variable_that_cannot_be_sent(value):
    """Ray ends the process."""
    os.environ["RAY_AUTH_TOKEN"] = value
    checked(SENT, "RAY_AUTH_TOKEN")


def test_a_blank_variable_is_no_token(tmp_path):
    os.environ |= {"RAY_AUTH_TOKEN": " ", "RAY_AUTH_TOKEN_PATH": str(tmp_path)}
    assert found_token(sent=True) == Token()


@pytest.mark.parametrize(
    "mode, own, sent",
    [(None, True, True), (None, False, False), ("Token", False, True), ("disabled", True, False)],
)
def test_when_a_token_is_sent(mode, own, sent):
    os.environ |= {} if mode is None else {"RAY_AUTH_MODE": mode}
    assert token_is_sent(own) is sent


def test_a_sweep_of_this_machine_says_so_before_ray_starts(monkeypatch):
    monkeypatch.setattr(ray_connection, "_init", lambda *args, **more: pytest.fail("Ray starts"))
    os.environ["RAY_AUTH_TOKEN"] = "01\n23"
    with pytest.raises(RunError, match=SENT):
        check_machine(print)
    with pytest.raises(RunError, match=SENT):
        ray_connection.start_ray(None)
