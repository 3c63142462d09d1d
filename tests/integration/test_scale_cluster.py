"""The simulation of many concurrent trials, with few."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.integration


def test_the_simulated_sweep_runs_to_its_end_and_is_measured(tmp_path):
    command = [sys.executable, str(ROOT / "benchmarks" / "scale_cluster.py"), "--trials", "12",
               "--concurrent", "5", "--out", str(tmp_path / "run")]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "| trials ended | 12 |" in done.stdout
    assert len([*tmp_path.glob("run/trials/*/result.json")]) == 13  # the base model is extra
