"""What a trial's record says beside what the suite measured."""

import pytest

from mtray.schema import Resources
from mtray.trial import cost_scores


def test_costs_are_those_of_training_and_not_of_evaluation():
    seconds = {"load": 2.0, "mix": 1.0, "training": 33.0, "generation": 500.0, "scoring": 9.0}
    found = cost_scores(seconds, Resources(workers=2, gpus_per_worker=4))
    assert found["cost.seconds"].value == 36.0
    assert found["cost.device_hours"].value == pytest.approx(8 * 36 / 3600)
    assert all(s.low == s.value == s.high for s in found.values())
    assert cost_scores({"load": 1.5}, Resources(cpus_per_worker=2))["cost.seconds"].value == 1.5
