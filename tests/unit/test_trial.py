"""What a trial's record says beside what the suite measured."""

from types import SimpleNamespace

import pytest
from records_factory import make_score, make_study

from mtray.schema import Mix, Recipe, Resources
from mtray.trial import Job, Outcome, cost_scores, record_trial


def test_costs_are_those_of_training_and_not_of_evaluation():
    seconds = {"load": 2.0, "mix": 1.0, "training": 33.0, "generation": 500.0, "scoring": 9.0}
    found = cost_scores(seconds, Resources(workers=2, gpus_per_worker=4))
    assert found["cost.seconds"].value == 36.0
    assert found["cost.device_hours"].value == pytest.approx(8 * 36 / 3600)
    assert all(s.low == s.value == s.high for s in found.values())
    assert cost_scores({"load": 1.5}, Resources(cpus_per_worker=2))["cost.seconds"].value == 1.5


def test_a_replicate_says_so_in_its_record():
    objectives = {"quality": make_score(0.6), "retention": make_score(0.8)}
    result = SimpleNamespace(scores={}, objectives=objectives, counts={}, draws={}, left_out=[])
    suite = SimpleNamespace(score=lambda *_: result, sample=lambda outputs, count: [])
    job = Job(7, "search", Recipe(parallel_size=100), 3, replicate=2, of=4)
    record, _ = record_trial(job, make_study(), suite, Outcome([], Mix(), None, {}, {}), None)
    assert (record.number, record.seed, record.replicate, record.of) == (7, 3, 2, 4)
