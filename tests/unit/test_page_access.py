"""Who may read the page: tokens, cookies, the Host header, and what every response forbids."""

import json
from dataclasses import dataclass

import pytest

from mtray.errors import RunError
from mtray.serving.access import Access, is_own_host, is_own_page
from mtray.serving.app import HEADERS, App, json_body

HOST = {"Host": "127.0.0.1:8000"}


@dataclass
class Part:
    tag: str
    body: bytes


class View:
    """A run with one part, one that cannot be made, and one with a bug."""

    name = "<b>mine"

    def __init__(self):
        self.asked = []

    def ask(self, what, value):
        if what == "no":
            raise RunError("no sweep is running")
        self.asked.append(what)
        return f"{what} {value}"

    def part(self, name, query):
        if name == "broken":
            raise RunError("trials/0003/result.json: <script>")
        if name == "bug":
            raise KeyError("<script>")
        return Part("t1", json_body({"query": query})) if name == "state" else None


@pytest.fixture
def access():
    return Access(8000)


@pytest.fixture
def app(access):
    return App([View(), View()], access)


@pytest.fixture
def session(app, access):
    """Headers of a browser that has exchanged a token."""
    answer = app.respond("GET", f"/?token={access.issue()}", HOST)
    return {**HOST, "Cookie": answer.headers["Set-Cookie"].partition(";")[0]}


def test_a_token_is_exchanged_once_for_a_strict_cookie(app, access):
    token = access.issue()
    first = app.respond("GET", f"/?token={token}", HOST)
    assert first.status == 200 and b'content="0;url=/"' in first.body
    name, *rest = first.headers["Set-Cookie"].split("; ")
    assert rest == ["HttpOnly", "SameSite=Strict", "Path=/"] and name.startswith("mtray-8000=")
    assert token not in name and token.encode() not in first.body
    second = app.respond("GET", f"/?token={token}", HOST)
    assert second.status == 403 and "Set-Cookie" not in second.headers
    assert app.respond("GET", "/", {**HOST, "Cookie": name}).status == 200


@pytest.mark.parametrize(
    "cookie",
    [None, "", "mtray-8000=", "mtray-8000=guess", "mtray-8000=ключ", "mtray-9000={}", "x={}", "=;"],
)
def test_nothing_is_read_without_the_cookie(app, session, cookie):
    good = session["Cookie"].partition("=")[2]
    headers = HOST if cookie is None else {**HOST, "Cookie": cookie.format(good)}
    for target in ("/", "/page/main.js", "/api/runs", "/api/0/state", "/nothing"):
        assert app.respond("GET", target, headers).status == 401
    assert app.respond("GET", "/api/0/state", session).status == 200


def test_a_token_is_no_cookie_and_a_wrong_token_is_refused(app, access, session):
    headers = {**HOST, "Cookie": f"mtray-8000={access.issue()}"}
    assert app.respond("GET", "/api/runs", headers).status == 401
    for token in ("", "guess", "%FF", "%ED%A0%80"):
        assert app.respond("GET", f"/?token=x{token}", HOST).status == 403


@pytest.mark.parametrize(
    "host, own",
    [
        ("127.0.0.1", True),
        ("127.0.0.1:1", True),
        ("localhost:8000", True),
        ("LOCALHOST", True),
        ("[::1]:8000", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example:8000", False),
        ("localhost.evil.example", False),
        ("evil.example:8000", False),
        ("127.0.0.1@evil.example", False),
        ("evil.example@127.0.0.1", False),
        ("localhost:x", False),
        ("localhost:99999", False),
        ("[::1", False),
        ("127.0.0.1/evil", False),
        ("", False),
        (None, False),
    ],
)
def test_requests_to_another_host_name_are_refused(app, session, host, own):
    assert is_own_host(host) is own
    headers = {**session, "Host": host} if host is not None else {"Cookie": session["Cookie"]}
    assert app.respond("GET", "/", headers).status == (200 if own else 421)


@pytest.mark.parametrize(
    "site, own",
    [
        (None, True),
        ("none", True),
        ("same-origin", True),
        ("same-site", False),
        ("cross-site", False),
    ],
)
def test_requests_of_other_pages_are_refused(app, session, site, own):
    headers = session if site is None else {**session, "Sec-Fetch-Site": site}
    assert is_own_page(headers) is own
    assert app.respond("GET", "/api/0/state", headers).status == (200 if own else 403)


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
def test_a_page_is_only_read(app, access, session, method):
    token = access.issue()
    assert app.respond(method, f"/?token={token}", session).status == 405
    assert access.exchange(token), "the token was used up"


@pytest.mark.parametrize(
    "target",
    [
        "/page/../web_page.py", "/page/%2e%2e/web_page.py", "/page//etc/passwd", "/etc/passwd",
        "/api/2/state", "/api/-1/state", "/api/x/state", "/api/0/state/more", "/api/0", "//x/page",
        "/page/", "/api/00/state",
    ],
)  # fmt: skip
def test_other_paths_lead_nowhere(app, session, target):
    assert app.respond("GET", target, session).status == 404


def test_parts_with_their_tags_and_errors(app, session):
    found = app.respond("GET", "/api/1/state?a=1&a=2&b=%3C", session)
    assert json.loads(found.body) == {"query": {"a": "2", "b": "<"}}
    assert found.headers["ETag"] == '"t1"' and found.content_type == "application/json"
    again = app.respond("GET", "/api/1/state", {**session, "If-None-Match": '"t1"'})
    assert (again.status, again.body) == (304, b"")
    assert app.respond("GET", "/api/1/state", {**session, "If-None-Match": '"t0"'}).status == 200
    broken = app.respond("GET", "/api/0/broken", session)
    assert broken.status == 409 and "result.json" in json.loads(broken.body)["error"]
    bug = app.respond("GET", "/api/0/bug", session)
    assert bug.status == 500 and json.loads(bug.body) == {"error": "KeyError: '<script>'"}
    assert bug.content_type == "application/json"
    assert app.respond("GET", "/api/0/other", session).status == 404
    assert json.loads(app.respond("GET", "/api/runs", session).body) == ["<b>mine", "<b>mine"]


def test_every_response_forbids_foreign_content():
    policy = HEADERS["Content-Security-Policy"].split("; ")
    assert "default-src 'none'" in policy and "script-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy and "base-uri 'none'" in policy
    assert "unsafe" not in HEADERS["Content-Security-Policy"]
    assert HEADERS["X-Content-Type-Options"] == "nosniff"
    assert HEADERS["Cache-Control"] == "no-store"


def test_json_of_half_a_character():
    assert json.loads(json_body({"a": "x\ud800", "b": "кіт"})) == {"a": "x?", "b": "кіт"}


OWN = {"Origin": "http://127.0.0.1:8000", "Content-Type": "application/json", "X-Mtray": "control"}
ASKED = b'{"what": "pause", "value": null}'


def test_the_own_page_asks_the_sweep(app, session):
    answer = app.respond("POST", "/api/0/control", {**session, **OWN}, ASKED)
    assert answer.status == 200 and json.loads(answer.body) == {"text": "pause None"}
    refused = app.respond("POST", "/api/0/control", {**session, **OWN}, b'{"what": "no"}')
    assert refused.status == 409 and "error" in json.loads(refused.body)


@pytest.mark.parametrize(
    "change, status",
    [
        ({"Cookie": ""}, 401),
        ({"Origin": ""}, 403),
        ({"Origin": "http://127.0.0.1:9000"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"X-Mtray": ""}, 403),
        ({"Content-Type": "text/plain"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Host": "evil.example"}, 421),
    ],
)
def test_nobody_else_asks(app, session, change, status):
    headers = {**session, **OWN, **change}
    assert app.respond("POST", "/api/0/control", headers, ASKED).status == status
    assert app._views[0].asked == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"what": 1}', b'{"what": "a", "value": 1}']
)
def test_a_body_that_asks_nothing(app, session, body):
    assert app.respond("POST", "/api/0/control", {**session, **OWN}, body).status == 400
    assert app.respond("POST", "/api/7/control", {**session, **OWN}, ASKED).status == 404
    assert app.respond("GET", "/api/0/control", session).status == 404
