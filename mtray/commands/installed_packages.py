"""Installed versions against required ones, without importing the packages."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def required() -> dict[str, str | None]:
    """mtray's runtime requirements, with their installed versions; empty when mtray itself is not
    installed."""
    try:
        wanted = requires("mtray") or []
    except PackageNotFoundError:
        return {}
    # packages of an extra are not required
    names = [re.split(r"[^\w.-]", w, maxsplit=1)[0] for w in wanted if "extra ==" not in w]
    return {name: installed(name) for name in names}


def outdated(constraints: Path) -> dict[str, tuple[str, str]]:
    """Packages whose installed version differs from the one pinned in the file, with both versions.

    A local version such as `+cpu` does not count as different.
    """
    from packaging.requirements import Requirement

    out = {}
    for line in constraints.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        pin = Requirement(line)
        found = installed(pin.name)
        applies = not pin.marker or pin.marker.evaluate()
        if found and applies and not pin.specifier.contains(found, prereleases=True):
            out[pin.name] = (found, str(pin.specifier).removeprefix("=="))
    return out
