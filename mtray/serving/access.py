"""Access to the page: a one-time token is exchanged for the cookie of a session."""

from __future__ import annotations

import hmac
import secrets
import threading
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

# names of the loopback interface. A page of another host whose name is made to resolve to it (DNS
# rebinding) sends its own name.
HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
OWN_HEADER = "X-Mtray"
BYTES = 32  # of a token's and a session's randomness


class Access:
    """Tokens that were issued and not used, and the sessions for which others were exchanged.

    Browsers send a cookie to every port of a host, so its name contains this server's `port`.
    """

    def __init__(self, port: int) -> None:
        self.cookie = f"mtray-{port}"
        self._tokens: set[str] = set()
        self._sessions: set[str] = set()
        self._lock = threading.Lock()

    def issue(self) -> str:
        """A token that `exchange` accepts once."""
        token = secrets.token_urlsafe(BYTES)
        with self._lock:
            self._tokens.add(token)
        return token

    def exchange(self, token: str) -> str | None:
        """A new session's cookie for a token, which is then void; None: it is unknown or void."""
        with self._lock:
            found = _same(token, self._tokens)
            if found is None:
                return None
            self._tokens.discard(found)
            session = secrets.token_urlsafe(BYTES)
            self._sessions.add(session)
        return f"{self.cookie}={session}; HttpOnly; SameSite=Strict; Path=/"

    def allowed(self, headers: Mapping[str, str]) -> bool:
        """Whether a request has a session's cookie."""
        try:
            sent = SimpleCookie(headers.get("Cookie", "")).get(self.cookie)
        except CookieError:
            return False
        with self._lock:
            return sent is not None and _same(sent.value, self._sessions) is not None


def _same(text: str, known: set[str]) -> str | None:
    """The known text that is equal, found in a time that does not depend on the text."""
    given = text.encode("utf-8", "surrogateescape")
    return next((k for k in known if hmac.compare_digest(k.encode(), given)), None)


def is_own_host(host: str | None) -> bool:
    """Whether the Host header names the loopback interface, at any port, since the
    other end of a tunnel may have another one."""
    if not host:
        return False
    try:
        found = urlsplit(f"//{host}")
        port_is_valid = found.port is None or found.port >= 0
    except ValueError:
        return False
    plain = found.username is None and found.password is None and not found.path
    return plain and port_is_valid and (found.hostname or "") in HOSTS


def may_ask(headers: Mapping[str, str]) -> bool:
    """Whether a request that changes something comes from the server's own page. The cookie alone
    does not say so, since pages at other ports of this host are sent it: a browser names the page
    in `Origin`, and lets another one's scripts set neither this content type nor our own header."""
    host = headers.get("Host", "")
    return (
        headers.get("Origin", "") in (f"http://{host}", f"https://{host}")
        and headers.get("Content-Type", "").partition(";")[0].strip() == "application/json"
        and headers.get(OWN_HEADER) == "control"
    )


def is_own_page(headers: Mapping[str, str]) -> bool:
    """Whether a request comes from the server's own page or the address bar, as far as the browser
    says: pages at other ports of this host would be sent the cookie, too."""
    return headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin")
