"""Whether an address answers, asked before something waits for it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

REACH_SECONDS = 5.0


def why_unreachable(url: str) -> str | None:
    """None when the server answers within `REACH_SECONDS`, whatever it answers; else the reason."""
    import requests

    try:
        requests.head(url, timeout=REACH_SECONDS)
    except requests.RequestException as error:
        return type(error).__name__
    return None


@contextlib.contextmanager
def short_timeouts(seconds: float = 30.0) -> Iterator[None]:
    """A silent connection that is opened meanwhile is given up: urllib's default is to wait for
    ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
