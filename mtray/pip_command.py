"""pip, also where this environment has none: uv makes those. Standard library only."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from mtray.errors import RunError

INSTALL = (
    "this environment has no pip (uv makes such environments), and Python's ensurepip cannot make "
    "another one; install it: uv pip install pip"
)


@contextmanager
def pip_command() -> Iterator[list[str]]:
    """The beginning of a command that runs pip: this environment's, or that of a temporary
    environment, which takes seconds to make. Raises RunError if Python cannot make one either."""
    if find_spec("pip") is not None:
        yield [sys.executable, "-m", "pip"]
        return
    with tempfile.TemporaryDirectory(prefix="mtray-pip-") as folder:
        try:
            venv.create(folder, with_pip=True)
        # Debian's Python has a venv without ensurepip
        except (ImportError, OSError, subprocess.CalledProcessError):
            raise RunError(INSTALL) from None
        yield [str(Path(folder) / "bin" / "python"), "-m", "pip"]
