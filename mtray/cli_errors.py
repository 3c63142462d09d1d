"""How errors are shown to the user: one message and an exit code, with a traceback only if
requested."""

from __future__ import annotations

import contextlib
import errno
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from mtray.errors import MtrayError


@dataclass
class ExitCode:
    code: int = 0


@contextlib.contextmanager
def report_errors(debug: bool = False) -> Iterator[ExitCode]:
    """Turn a MtrayError, or a full disk, into a message on stderr and an exit code; other errors
    are bugs and keep their traceback."""
    outcome = ExitCode()
    try:
        yield outcome
    except MtrayError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        outcome.code = error.exit_code
    except OSError as error:
        if debug or error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}no space left there; free some and try again", file=sys.stderr)
        outcome.code = 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        outcome.code = 130
