"""Where the page of a sweep opens by itself."""

import threading

import pytest

from mtray import page_opening
from mtray.page_opening import open_page, somebody_looks

LINE = "page: http://127.0.0.1:40907/?token=abc-_9  (the token in it works once)"


@pytest.mark.parametrize(
    "environment, terminal, looks",
    [
        ({"DISPLAY": ":0"}, True, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, True, True),
        ({"DISPLAY": ":0"}, False, False),
        ({"DISPLAY": ""}, True, False),
        ({}, True, False),
        ({"DISPLAY": "localhost:10.0", "SSH_CONNECTION": "a"}, True, False),
        ({"DISPLAY": ":0", "SSH_TTY": "/dev/pts/1"}, True, False),
        ({"DISPLAY": ":99", "CI": "true"}, True, False),
    ],
)
def test_where_somebody_looks(environment, terminal, looks):
    assert somebody_looks(environment, terminal) is looks


@pytest.mark.parametrize("line, opened", [(LINE, 1), ("page: not started: no room", 0)])
def test_an_address_is_opened_once(monkeypatch, line, opened):
    seen, done = [], threading.Event()
    monkeypatch.setattr(page_opening, "somebody_looks", lambda *_: True)
    monkeypatch.setattr(page_opening, "_open", lambda a: (seen.append(a), done.set()))
    open_page(line)
    assert done.wait(5 if opened else 0.1) is bool(opened)
    assert seen == ["http://127.0.0.1:40907/?token=abc-_9"] * opened


def test_no_browser_is_no_error(monkeypatch):
    def none():
        raise page_opening.webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(page_opening.webbrowser, "get", none)
    page_opening._open("http://127.0.0.1:1/")
