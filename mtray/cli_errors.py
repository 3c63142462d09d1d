"""What a user sees of an error: one message and an exit code, without a traceback unless asked
for."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from mtray.errors import MtrayError


@dataclass
class ExitCode:
    code: int = 0


@contextlib.contextmanager
def report_errors(debug: bool = False) -> Iterator[ExitCode]:
    """Turn a MtrayError into its message on stderr and its exit code; other errors are bugs and
    keep their traceback."""
    outcome = ExitCode()
    try:
        yield outcome
    except MtrayError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        outcome.code = error.exit_code
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        outcome.code = 130
