"""Opens the page of a sweep in a browser, where a person sits before one."""

from __future__ import annotations

import os
import re
import sys
import threading
import webbrowser
from collections.abc import Mapping

ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/\?token=[\w-]+")
# set where nobody looks: over ssh, and by services that run tests
NOBODY = ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY", "CI")
DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")


def somebody_looks(environment: Mapping[str, str], terminal: bool) -> bool:
    """Whether the sweep was started at a `terminal` of a desktop on this machine."""
    return (
        terminal
        and any(environment.get(name) for name in DISPLAYS)
        and not any(environment.get(name) for name in NOBODY)
    )


def open_page(line: str) -> None:
    """Open the address in a line that was printed, if there is one, and somebody looks. Does not
    wait for the browser, and nothing depends on it."""
    found = ADDRESS.search(line)
    if found and somebody_looks(os.environ, sys.stdin is not None and sys.stdin.isatty()):
        threading.Thread(target=_open, args=(found[0],), daemon=True).start()


def _open(address: str) -> None:
    try:
        # a browser of the terminal, such as w3m, would take the terminal from the sweep
        browser = webbrowser.get()
        if not isinstance(browser, webbrowser.GenericBrowser) or isinstance(
            browser, webbrowser.BackgroundBrowser
        ):
            browser.open(address)
    except (webbrowser.Error, OSError):  # the address is on the screen
        pass
