"""Whether fast tokenizers encode on all cores: TOKENIZERS_PARALLELISM, which the user may set."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

VARIABLE = "TOKENIZERS_PARALLELISM"  # read by the tokenizer at every call
# as the tokenizers read it, in small letters; any other value means on, and so does none
OFF = ("", "off", "false", "f", "no", "n", "0")
_ours = False  # whether the value in this process's environment was set here


def of_workers() -> str:
    """The value for the workers of a sweep: the user's, by default off, since each worker has its
    own cores."""
    return "false" if _ours else os.environ.get(VARIABLE, "false")


def set_default() -> None:
    """Give this process, and those that it starts, the value of `of_workers`."""
    global _ours
    _ours = _ours or VARIABLE not in os.environ
    os.environ[VARIABLE] = of_workers()


def switched_off() -> str:
    """`NAME=value` of the environment if the user has switched the threads off; else empty."""
    value = os.environ.get(VARIABLE)
    if _ours or value is None or value.lower() not in OFF:
        return ""
    return f"{VARIABLE}={value}"


@contextlib.contextmanager
def tokenizer_threads() -> Iterator[None]:
    """Let fast tokenizers of this process encode on all cores unless the user has set the variable;
    `set_default` has switched them off."""
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
