"""Requests to responses, without a socket: the page's own files, and a run's parts as JSON."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from mtray.errors import MtrayError
from mtray.report.web_page import live_files
from mtray.serving.access import Access, is_own_host, is_own_page, may_ask

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
CONTROL = "/control"  # below a run's address
HTML = "text/html; charset=utf-8"
JSON = "application/json"
TYPES = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}


@dataclass(frozen=True)
class Response:
    """An HTTP response; `headers` come in addition to `HEADERS`."""

    status: int
    body: bytes = b""
    content_type: str = HTML
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """A run's part as JSON: its body, and a tag that changes with it."""

    tag: str
    body: bytes


class View(Protocol):
    """A run as served."""

    name: str

    def ask(self, what: str, value: str | None) -> str:
        """Ask the run's sweep (`mtray.commands.control`); returns what it did. Raises MtrayError
        where it did not."""
        ...

    def part(self, name: str, query: Mapping[str, str]) -> Part | None:
        """A part, or None where there is none of this name. Raises MtrayError where it cannot be
        made."""
        ...


class App:
    """Answers requests of a browser that holds a session's cookie: for the page and a run's parts,
    and to the run's sweep (POST)."""

    def __init__(self, views: Sequence[View], access: Access) -> None:
        self._views, self._access = views, access
        self._files = live_files()

    def respond(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
    ) -> Response:
        """The response to a request. `target`: path and query, as sent."""
        if not is_own_host(headers.get("Host")):
            return _text(421, "This address serves requests to localhost only.")
        if method != "GET" and not (method == "POST" and target.endswith(CONTROL)):
            return Response(405, headers={"Allow": "GET"})
        try:
            url = urlsplit(target)
            query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        except ValueError:
            return _text(400, "This is no address of this page.")
        if method == "GET" and url.path == "/" and "token" in query:
            return self._enter(query["token"])
        if not self._access.allowed(headers):
            return _text(
                401,
                "Open the address that was printed with its token. It works once; "
                "python -m mtray serve RUN prints a new one.",
            )
        if not is_own_page(headers):
            return _text(403, "This request comes from another page.")
        if method == "POST":
            return self._ask(url.path, headers, body)
        return self._content(url.path, query, headers)

    def _ask(self, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        """Pass a request to a run's sweep."""
        view = self._view(path.removesuffix(CONTROL))
        if view is None:
            return _text(404, "There is nothing at this address.")
        if not may_ask(headers):
            return _text(403, "This request comes from another page.")
        try:
            asked = json.loads(body)
            what, value = asked["what"], asked.get("value")
            if not isinstance(what, str) or not (value is None or isinstance(value, str)):
                raise TypeError
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return _json(400, {"error": "expected what and value, two texts"})
        try:
            return _json(200, {"text": view.ask(what, value)})
        except MtrayError as error:
            return _json(409, {"error": str(error)})

    def _enter(self, token: str) -> Response:
        """Exchange a token. The next page is requested by this one and not by a redirect, whose
        request would count as cross-site where the link was followed from elsewhere, and lack the
        cookie."""
        cookie = self._access.exchange(token)
        if cookie is None:
            return _text(403, "This token is unknown, or was used already.")
        icon = '<link rel="icon" href="data:,">'  # else the browser asks for one
        go = '<meta http-equiv="refresh" content="0;url=/">'
        body = f"<!doctype html>{icon}{go}<title>mtray</title>"
        return Response(200, body.encode(), headers={"Set-Cookie": cookie})

    def _content(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Response:
        if path == "/":
            return Response(200, self._files["index.html"].encode())
        if path.startswith("/page/") and (text := self._files.get(path.removeprefix("/page/"))):
            kind = TYPES.get(path.rpartition(".")[2], HTML)
            return Response(200, text.encode(), kind)
        if path == "/api/runs":
            return _json(200, [view.name for view in self._views])
        above, _, name = path.rpartition("/")
        view = self._view(above)
        if view is not None:
            return self._part(view, name, query, headers)
        return _text(404, "There is nothing at this address.")

    def _view(self, path: str) -> View | None:
        """The run at `/api/NUMBER`."""
        known = {f"/api/{i}": view for i, view in enumerate(self._views)}
        return known.get(path)

    def _part(
        self, view: View, name: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> Response:
        try:
            found = view.part(name, query)
        except MtrayError as error:
            return _json(409, {"error": str(error)})
        except Exception as error:  # a bug, or a file that no check expects; the page shows it
            return _json(500, {"error": f"{type(error).__name__}: {error}"})
        if found is None:
            return _json(404, {"error": f"no part {name!r}"})
        tag = f'"{found.tag}"'
        if headers.get("If-None-Match") == tag:
            return Response(304, headers={"ETag": tag})
        return Response(200, found.body, JSON, {"ETag": tag})


def _text(status: int, text: str) -> Response:
    body = f"<!doctype html><meta charset=utf-8><title>mtray</title><p>{html.escape(text)}</p>"
    return Response(status, body.encode())


def _json(status: int, value: Any) -> Response:
    return Response(status, json_body(value), JSON)


def json_body(value: Any) -> bytes:
    """Compact JSON. Raises ValueError for NaN and infinity."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "replace")


Respond = Callable[[str, str, Mapping[str, str], bytes], Response]
