"""What Ray needs of a machine, for `doctor`. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable

from mtray.commands.finding import Finding
from mtray.errors import RunError
from mtray.search.execution.process_limit import LEAST, process_limit
from mtray.search.execution.ray_folder import session_folder


def ray_files() -> Iterable[Finding]:
    """The folder of Ray's sockets, whose paths must be short."""
    try:
        found = session_folder()
    except RunError as error:
        yield Finding("MISSING", "Ray's files", str(error))
        return
    yield Finding("note" if found.note else "ok", "Ray's files", found.note or f"{found.path}/ray")


def processes() -> Iterable[Finding]:
    found = process_limit()
    if found is None or found.enough:
        yield Finding("ok", "processes", found.text if found else "no limit")
        return
    yield Finding("MISSING" if found.left < LEAST else "note", "processes", found.shortage)
