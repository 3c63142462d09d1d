"""Whether fast tokenizers use threads of their own, one for each core: the variable
TOKENIZERS_PARALLELISM. A value that the user has set always holds."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

VARIABLE = "TOKENIZERS_PARALLELISM"  # read by the tokenizer at every call
# what the `tokenizers` library reads as off, in lower case; any other value, or none, means on
OFF = ("", "off", "false", "f", "no", "n", "0")
_ours = False  # whether this module has set the value in this process's environment


def of_workers() -> str:
    """The value for the workers of a sweep: the user's, by default off, since each worker has its
    own cores."""
    return "false" if _ours else os.environ.get(VARIABLE, "false")


def set_default() -> None:
    """Set the variable in this process, and so in those that it starts, to `of_workers()`."""
    global _ours
    _ours = _ours or VARIABLE not in os.environ
    os.environ[VARIABLE] = of_workers()


def switched_off() -> str:
    """`TOKENIZERS_PARALLELISM=value` if the user has switched the threads off; otherwise empty."""
    value = os.environ.get(VARIABLE)
    if _ours or value is None or value.lower() not in OFF:
        return ""
    return f"{VARIABLE}={value}"


@contextlib.contextmanager
def tokenizer_threads() -> Iterator[None]:
    """Let fast tokenizers of this process use threads within, although `set_default` has switched
    them off; a value that the user has set is left as it is."""
    global _ours
    before, were = os.environ.get(VARIABLE), _ours
    if before is not None and not were:
        yield
        return
    os.environ[VARIABLE], _ours = "true", True
    try:
        yield
    finally:
        del os.environ[VARIABLE]
        _ours = were
        if before is not None:
            os.environ[VARIABLE] = before
