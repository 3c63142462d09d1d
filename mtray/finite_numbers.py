"""Types of the command line's options. Imports no third-party package."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from math import isfinite
from pathlib import Path

CREDENTIALS = re.compile(r"(?<=//)[^/]*@")  # of an address; not repeated in messages


def finite_number(text: str) -> float:
    """The type of every option that takes a number: `nan` and `inf` are numbers to Python, and no
    comparison with them holds. Raises ArgumentTypeError, which argparse shows with the option."""
    try:
        found = float(text)
    except ValueError:
        found = float("nan")
    if not isfinite(found):
        raise ArgumentTypeError(f"expected a finite number, found {text!r}")
    return found


def port_number(text: str) -> int:
    """The type of an option that takes a port; 0 stands for any free one. Raises ArgumentTypeError
    for anything else."""
    if not (text.isascii() and text.isdecimal()) or int(text) > 65535:
        raise ArgumentTypeError(f"expected a port from 0 to 65535, found {text!r}")
    return int(text)


def local_folder(text: str) -> Path:
    """The type of an option that takes a folder. Raises ArgumentTypeError for an address, which
    would become a folder of that name."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        address = CREDENTIALS.sub("", text)
        raise ArgumentTypeError(
            f"expected a folder of a file system that all machines see, found {address!r}; keep "
            f"the run in such a folder, and have it copied while it runs: --mirror {address}"
        )
    return Path(text)
