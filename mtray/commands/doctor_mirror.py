"""Whether a run can be copied to a place, for `doctor`."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable

from mtray.commands.finding import Finding
from mtray.errors import ConfigError

FOLDER = "doctor"


def mirror_findings(address: str) -> Iterable[Finding]:
    """Write, read, list and delete an object of a random name at `address`."""
    from mtray.mirror.address import error_text, opened, shown

    began, step = time.monotonic(), "open"
    try:
        bucket = opened(address)
        name, content = f"{FOLDER}/{secrets.token_hex(8)}", secrets.token_bytes(64)
        step = "write"
        bucket.write(name, [content])
        step = "read"
        if bucket.read(name) != content:
            raise OSError("what is read is not what was written")
        step = "list"
        if name not in bucket.listed(FOLDER):
            raise OSError("an object that was written is not listed")
        step = "delete"
        bucket.remove(name)
        if name in bucket.listed(FOLDER):
            raise OSError("an object that was deleted is still listed")
    except ConfigError as error:
        yield Finding("MISSING", "mirror", str(error))
        return
    # whatever a file system raises
    except Exception as error:
        text = f"{shown(address)}: cannot {step} ({error_text(error)}): {HINT}"
        yield Finding("MISSING", "mirror", text)
        return
    seconds = time.monotonic() - began
    text = f"{bucket.shown}: an object written, read, listed and deleted in {seconds:.1f} s"
    yield Finding("ok", "mirror", text)


HINT = (
    "check the address and that the place exists, and the credentials in the environment, which "
    "need the rights to read, write, list and delete there"
)
