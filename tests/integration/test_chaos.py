"""What a sweep survives, through the main job's own door: the quick part of `benchmarks/chaos.py`,
which does all of it. `test_sweep.py` stops and kills the driver."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def chaos():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield importlib.import_module("chaos")
    sys.path.remove(str(ROOT / "benchmarks"))


@pytest.mark.parametrize("name", ["resumes", "failing_trials"])
def test_a_sweep_survives(chaos, name, tmp_path):
    try:
        row = chaos.run_scenario(name, tmp_path)
    except PermissionError as error:
        pytest.skip(str(error))
    assert row.sound, row
