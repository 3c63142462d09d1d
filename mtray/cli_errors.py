"""How errors are shown to the user: one message and an exit code, with a traceback only if
requested."""

from __future__ import annotations

import contextlib
import errno
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mtray.errors import ConfigError, MtrayError
from mtray.files import READ_ONLY
from mtray.full_disk import FullDisk, is_full, no_temporary
from mtray.paths import CACHE_VARIABLE, cache_dir
from mtray.streams import printable

# ENOTDIR, where a part of the path is no folder, such as HOME
REFUSED = (*READ_ONLY, errno.ENOTDIR)
AGAIN = "free some space and run the same command again"


@dataclass
class ExitCode:
    code: int = 0


@contextlib.contextmanager
def report_errors(debug: bool = False) -> Iterator[ExitCode]:
    """Turn a MtrayError, or a place that is full or cannot be written, into a message on stderr and
    an exit code; other errors are bugs and keep their traceback."""
    outcome = ExitCode()
    try:
        yield outcome
    except MtrayError as error:
        if debug:
            raise
        _say(str(error))
        outcome.code = error.exit_code
    except OSError as error:
        text = machine_text(error)
        if debug or not text:
            raise
        _say(text)
        outcome.code = 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        outcome.code = 130


def _say(text: str) -> None:
    print(f"error: {printable(text)}", file=sys.stderr)


def machine_text(error: OSError) -> str:
    """What the user can do about an error of the machine; empty for any other error."""
    where = f"{error.filename}: " if error.filename else ""
    if isinstance(error, FullDisk):
        return f"{where}{error.strerror}; {AGAIN}"
    if is_full(error):
        return f"{where}no space left there; {AGAIN}"
    if no_temporary(error):
        return (
            f"{error.strerror}: free some space there, or set TMPDIR to a folder you may write to"
        )
    if error.errno not in REFUSED or not error.filename:
        return ""
    return f"{where}cannot be read or written ({error.strerror}); {_other_place(error.filename)}"


def _other_place(name: object) -> str:
    path = Path(str(name)).absolute()
    with contextlib.suppress(ConfigError):  # there is no cache folder
        cache = cache_dir().absolute()
        if path.is_relative_to(cache) or cache.is_relative_to(path):
            return f"set {CACHE_VARIABLE} to a folder you own"
    return "choose a folder you may write to (--runs-dir, --out), or get the permission"
