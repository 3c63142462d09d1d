"""What a trial's record says beside what the suite measured."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from records_factory import make_score, make_study

from mtray.data.store import build_table
from mtray.errors import ConfigError, EvaluationError
from mtray.evaluation.costs import cost_scores
from mtray.schema import Limit, Mix, Recipe, Resources
from mtray.training.models import load_tokenizer
from mtray.training.worker import Worker
from mtray.trial.job import Job, Outcome, RunOptions
from mtray.trial.phase_timer import PhaseTimer
from mtray.trial.record import record_trial
from mtray.trial.run import _Trial, run_trial


def test_costs_are_those_of_training_and_not_of_evaluation():
    seconds = {"load": 2.0, "mix": 1.0, "training": 33.0, "generation": 500.0, "scoring": 9.0}
    found = cost_scores(seconds, Resources(workers=2, gpus_per_worker=4))
    assert found["cost.seconds"].value == 36.0
    assert found["cost.device_hours"].value == pytest.approx(8 * 36 / 3600)
    assert all(s.low == s.value == s.high for s in found.values())
    assert cost_scores({"load": 1.5}, Resources(cpus_per_worker=2))["cost.seconds"].value == 1.5


def test_a_trial_that_goes_on_from_a_checkpoint_costs_as_one_that_was_not_interrupted():
    """It loads anew, and that counts once."""
    trial = _Trial(JOB, make_study(), RunOptions(), Worker())
    trial._seconds.add({"imports": 1.0, "load": 5.0, "mix": 0.5})
    trial._restore({"imports": 9.0, "load": 7.0, "mix": 0.1, "training": 40.0, "rungs": 3.0})
    trial._seconds.add({"training": 20.0})
    outcome = trial.pruned(None)
    assert outcome.seconds == {
        "imports": 1.0, "load": 5.0, "mix": 0.5, "training": 60.0, "rungs": 3.0
    }  # fmt: skip
    assert outcome.restored == 43.0
    assert cost_scores(outcome.seconds, Resources())["cost.seconds"].value == 65.5


def recorded(job, study, scores=(), left_out=None):
    """The record of a trial with quality 0.6 and retention 0.8."""
    objectives = {"quality": make_score(0.6), "retention": make_score(0.8)}
    result = SimpleNamespace(
        scores=dict(scores), objectives=objectives, counts={}, draws={}, left_out=left_out or {}
    )
    suite = SimpleNamespace(score=lambda *_: result, sample=lambda outputs, count: [])
    return record_trial(job, study, suite, Outcome([], Mix(), None, {}, {}), None)[0]


JOB = Job(7, "search", Recipe(parallel_size=100), 3)


def test_a_broken_constraint_makes_a_trial_infeasible_and_keeps_its_values():
    limits = {"formality": Limit(at_least=0.6), "retention": Limit(at_most=0.9)}
    record = recorded(JOB, make_study(constraints=limits), {"formality": make_score(0.41)})
    assert record.state == "infeasible" and record.objectives["quality"].value == 0.6
    assert record.constraints == pytest.approx({"formality": 0.19, "retention": -0.1})
    assert record.reason == "breaks a constraint: formality is 0.41, not at least 0.6"


def test_who_keeps_to_the_constraints_is_complete_and_so_is_the_base_model():
    study = make_study(constraints={"quality": Limit(at_least=0.6)})
    kept = recorded(JOB, study)
    assert (kept.state, kept.reason, kept.constraints) == ("complete", None, {"quality": 0.0})
    strict = make_study(constraints={"quality": Limit(at_least=0.7)})
    assert recorded(replace(JOB, role="base"), strict).state == "complete"
    with pytest.raises(EvaluationError, match="constraint 'formality' was not measured"):
        recorded(JOB, make_study(constraints={"formality": Limit(at_least=0.6)}))


def test_an_objective_that_is_left_out_of_retention_says_why():
    study = make_study(objectives={"quality": "max", "retention.spanish": "max"})
    with pytest.raises(EvaluationError, match=r"'retention.spanish' was not measured; measured"):
        recorded(JOB, study)
    why = r"'retention.spanish' was not measured, since the base model is weak; measured: cost"
    with pytest.raises(EvaluationError, match=why):
        recorded(JOB, study, left_out={"spanish": "the base model is weak"})


def test_a_replicate_says_so_in_its_record():
    record = recorded(replace(JOB, replicate=2, of=4), make_study())
    assert (record.number, record.seed, record.replicate, record.of) == (7, 3, 2, 4)


def test_phases_add_up_over_attempts_and_one_that_is_not_over_counts(monkeypatch):
    clock = iter([10.0, 12.5, 20.0, 23.0, 24.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    seconds = PhaseTimer()
    with seconds.phase("load"):
        pass
    seconds.add({"load": 1.0, "training": 40.0})
    with seconds.phase("training"):
        assert seconds.so_far() == {"load": 3.5, "training": 43.0}
    assert seconds.phases == seconds.so_far() == {"load": 3.5, "training": 44.0}


def test_a_recipe_without_a_learning_rate_is_not_trained():
    """None stands in for it; records of earlier versions, which had a default, still load."""
    job = Job(0, "search", Recipe(parallel_size=1), 1)
    study = make_study(training={"max_steps": 1})
    table = build_table([("a", " b")], load_tokenizer("embedded"), 32)
    with pytest.raises(ConfigError, match="the recipe has no `learning_rate`"):
        run_trial(job, study, {"pairs": table}, [], RunOptions("torch"))
    old = Recipe.model_validate_json('{"parallel_size": 0, "learning_rate": 0.001}')
    assert old.learning_rate == 0.001
