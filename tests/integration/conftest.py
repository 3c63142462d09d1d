"""A study in the shape of the default one, small enough for a test: the embedded model and real
text, few segments. It runs one trial at a time, since two of these tests run at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from small_study import SPACE, small_study

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def small(tmp_path_factory) -> Path:
    """A folder with `study.yaml` and `space.yaml`."""
    folder = tmp_path_factory.mktemp("small")
    study = small_study(folder)
    study["name"] = "small"
    study["budget"]["replicate_share"] = 0  # repeats: test_more_seeds.py
    study["resources"]["concurrent_trials"] = 1
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    (folder / "space.yaml").write_text(yaml.safe_dump(SPACE))
    return folder


@pytest.fixture
def sweep(small, tmp_path):
    """Start the main job as a user does; returns the running process. Its output goes to `out`."""
    started = []

    def start(*options: str) -> subprocess.Popen[str]:
        command = [
            sys.executable, str(ROOT / "sweeps" / "ratio_search.py"),
            "--study", str(small / "study.yaml"), "--space", str(small / "space.yaml"),
            "--runs-dir", str(tmp_path), "--page", "off", *options,
        ]  # fmt: skip
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(
            command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()
