"""Whether an address answers, checked before anything waits for it."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

REACH_SECONDS = 5.0


def why_unreachable(url: str) -> str | None:
    """None when the server answers within `REACH_SECONDS`, with any status; else the reason."""
    import requests

    try:
        requests.head(url, timeout=REACH_SECONDS)
    except requests.RequestException as error:
        return type(error).__name__
    return None


@contextlib.contextmanager
def short_timeouts(seconds: float = 30.0) -> Iterator[None]:
    """Inside the context, connections that stay silent time out: urllib's default is to wait
    forever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
