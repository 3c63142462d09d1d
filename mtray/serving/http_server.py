"""The HTTP server: the loopback interface alone, a thread for each connection."""

from __future__ import annotations

import re
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from mtray.errors import ConfigError
from mtray.serving.app import HEADERS, Respond

LOOPBACK = "127.0.0.1"
LONGEST = 4096  # bytes of a request to a sweep
IDLE = 30.0  # seconds after which a connection without a request is closed


class Handler(BaseHTTPRequestHandler):
    """Passes a request to `Server.respond`."""

    protocol_version = "HTTP/1.1"
    timeout = IDLE
    server: Server

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):  # the browser has left
            self.close_connection = True

    def _answer(self) -> None:
        headers = cast(Mapping[str, str], self.headers)  # which reads names in any case
        found = self.server.respond(self.command, self.path, headers, self._body())
        self.send_response(found.status)
        for name, value in {**HEADERS, **found.headers}.items():
            self.send_header(name, value)
        if found.status != 304:
            self.send_header("Content-Type", found.content_type)
            self.send_header("Content-Length", str(len(found.body)))
        if self.command != "GET":  # its body, if any, may not have been read
            self.send_header("Connection", "close")
        self.end_headers()
        if found.status != 304 and self.command != "HEAD":
            self.wfile.write(found.body)

    def _body(self) -> bytes:
        """The body of a POST; empty if it is long, or its length is not said."""
        length = self.headers.get("Content-Length", "")
        short = re.fullmatch("[0-9]{1,6}", length)  # Python reads no number of thousands of digits
        if self.command != "POST" or not short or int(length) > LONGEST:
            return b""
        return self.rfile.read(int(length))

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = _answer

    def version_string(self) -> str:
        return "mtray"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a request's path may hold a token."""


class Server(ThreadingHTTPServer):
    """Listens on a port of the loopback interface. `respond` must be set before it serves."""

    daemon_threads = True
    respond: Respond

    @property
    def port(self) -> int:
        return int(self.server_address[1])


def listen(port: int) -> Server:
    """A server that is bound to `port`, or to a free one with 0. Raises ConfigError if the port is
    in use or not allowed."""
    try:
        return Server((LOOPBACK, port), Handler)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"--port {port}: cannot be listened on ({why}); give another one, or 0 for any free one"
        ) from None
