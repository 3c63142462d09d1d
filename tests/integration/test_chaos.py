"""What a sweep survives, through the main job's own door: the quick part of `benchmarks/chaos.py`,
which does all of it. `test_sweep.py` stops and kills the driver."""

from __future__ import annotations

import pytest
from chaos import run_scenario

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]


@pytest.mark.parametrize("name", ["resumes", "failing_trials"])
def test_a_sweep_survives(name, tmp_path):
    try:
        row = run_scenario(name, tmp_path)
    except PermissionError as error:
        pytest.skip(str(error))
    assert row.sound, row
