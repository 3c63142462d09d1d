"""What a sweep is estimated to take."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ledger_factory import REFERENCES, SOURCES, SPACE
from records_factory import make_study

from mtray.data.tables import TokenTable
from mtray.errors import EvaluationError
from mtray.schema import Budget, EarlyStopping, Mix, Recipe, Resources, Source, Training
from mtray.search.execution import time_estimate
from mtray.search.execution.time_estimate import (
    Estimate,
    Pace,
    RungCost,
    estimated,
    rung_cost,
    trained_seconds,
)
from mtray.search.strategy.budget_allocation import BudgetAllocation

PACE = Pace(fixed=10.0, tokens_per_second=20.0, answering=100.0, scoring=4.0)


class Suite:
    """Of as many requests; a part has its share of them, and scoring them takes a second each."""

    def __init__(self, count, clock):
        self.requests, self._clock = list(range(count)), clock

    def part(self, share):
        return Suite(max(8, round(share * len(self.requests))), self._clock)

    def outputs_of(self, part, outputs):
        return outputs[: len(part.requests)]

    def score(self, outputs, base, resamples, seed):
        assert len(outputs) == len(self.requests) and base is None
        self._clock.now += len(outputs)
        raise EvaluationError("six steps have cost all abilities")


@pytest.mark.parametrize(("cpus", "threads"), [(0.5, 1), (1, 1), (3, 3)])
def test_a_few_steps_and_answers_tell_the_pace_with_a_worker_s_threads(monkeypatch, cpus, threads):
    """Of 1,300 requests 130 are answered in 10 s and scored in 130; the trial took 18 s, of which 5
    were neither training nor answering."""
    seen, clock = [], SimpleNamespace(now=0.0)

    def run(job, study, store, requests, how):
        seen.append((torch.get_num_threads(), study.training.max_steps, len(requests), how.engine))
        assert not study.evaluation.further_points, (
            "measured once, and counted as often as there are"
        )
        clock.now += 18
        seconds = {"training": 3.0, "generation": 10.0}
        training = SimpleNamespace(tokens_per_second=12.0)
        return SimpleNamespace(training=training, seconds=seconds, outputs=list(requests))

    monkeypatch.setattr(time_estimate, "run_trial", run)
    monkeypatch.setattr(time_estimate.time, "perf_counter", lambda: clock.now)
    study = make_study(resources=Resources(cpus_per_worker=cpus))
    further = {"reversion": (0.5,), "intermediate_checkpoints": (0.5,)}
    changed = study.evaluation.model_copy(update=further)
    study = study.model_copy(update={"evaluation": changed})
    before = torch.get_num_threads()
    found = time_estimate.measure(study, {}, Suite(1300, clock), Recipe(parallel_size=5))
    assert found == Pace(7 + 18 - 3 - 10, 12.0, 100.0, 1300.0)
    assert seen == [(threads, 6, 130, "torch")]
    assert torch.get_num_threads() == before


def mix_of(tokens, examples=10):
    share = {"source": "a", "kind": "parallel", "requested": examples, "realised": examples,
             "available": examples, "tokens": tokens, "repeats": 1}  # fmt: skip
    return Mix.model_validate({"shares": [share]})


REVERTED = {"reversion": (0.25, 0.5)}
RUNGS = EarlyStopping(rungs=(0.25, 0.5), segments=0.5)
# 10 s, 200 tokens at 20 a second, 104 s of evaluation
SECONDS = [
    ({}, {}, 10 + 10 + 104),
    ({"training": Training(epochs=3)}, {}, 10 + 30 + 104),
    ({"training": Training(max_steps=1, batch_examples=4)}, {}, 10 + 4 + 104),
    ({"training": Training(max_steps=9, batch_examples=4)}, {}, 10 + 10 + 104),
    ({"training": Training(max_steps=1, batch_tokens=256)}, {}, 10 + 10 + 104),
    ({"training": Training(max_steps=1, batch_tokens=60, max_length=60)}, {}, 10 + 3 + 104),
    ({"resources": Resources(workers=2)}, {}, 10 + 5 + 54),
    ({}, REVERTED, 10 + 10 + 3 * 104),
    ({}, REVERTED | {"intermediate_checkpoints": (0.5,)}, 10 + 10 + 4 * 104),
    ({"early_stopping": RUNGS}, {}, 10 + 10 + 2 * 104),
]


WHOLE = Recipe(parallel_size=200)
# a recipe's own settings -> seconds of training, where the study has one epoch
OWN = [
    ({"epochs": 2.5}, {}, 25),
    ({"epochs": 0.5}, {}, 5),
    ({"epochs": 0.5, "stop_after": 0.5}, {}, 2.5),
    ({"batch_examples": 4}, {"max_steps": 1}, 4),
    ({"epochs": 1.0, "warmup": 0.5, "weight_decay": 0.1, "schedule": "linear"}, {}, 10),
]


@pytest.mark.parametrize("own, training, seconds", OWN)
def test_settings_of_the_recipe_count(own, training, seconds):
    study = make_study(training=Training(**training))
    recipe = WHOLE.model_copy(update=own)
    assert trained_seconds(PACE, study, mix_of(200), recipe) == pytest.approx(114 + seconds)


@pytest.mark.parametrize("changes, evaluation, seconds", SECONDS)
def test_a_trial_by_hand(changes, evaluation, seconds):
    study = make_study(**changes)
    changed = study.evaluation.model_copy(update=evaluation)
    study = study.model_copy(update={"evaluation": changed})
    assert trained_seconds(PACE, study, mix_of(200), WHOLE) == pytest.approx(seconds)


# an evaluation takes 104 s, half of it a rung; 300 s of training
RUNG_COSTS = [
    ({}, {}, 10 + 300 + 104, None),
    ({"early_stopping": RUNGS}, {}, 10 + 300 + 2 * 104, RungCost(104, 150 + 104, 518)),
    ({"early_stopping": EarlyStopping(rungs=(0.1, 0.2, 0.9), segments=1)}, {},
     10 + 300 + 4 * 104, RungCost(3 * 104, 30 + 104, 726)),
    ({"early_stopping": RUNGS}, REVERTED, 10 + 300 + 4 * 104, RungCost(104, 150 + 3 * 104, 726)),
]  # fmt: skip


@pytest.mark.parametrize("changes, evaluation, whole, expected", RUNG_COSTS)
def test_what_rungs_cost_and_a_trial_saves_by_ending_at_the_last(
    changes, evaluation, whole, expected
):
    study = make_study(**changes)
    changed = study.evaluation.model_copy(update=evaluation)
    study = study.model_copy(update={"evaluation": changed})
    found = rung_cost(PACE, study, whole)
    assert (found is None) == (expected is None)
    if found and expected:
        assert vars(found) == pytest.approx(vars(expected))


RUNG_LINES = [
    (RungCost(5, 20, 35),
     "  rungs: about 5.0 s of a searched recipe, 17% more; early stopping pays off if it ends more "
     "than 25% of them (docs/search.md: how many it ended in measurements)"),
    (RungCost(20, 20, 40),
     "  rungs: about 20.0 s of a searched recipe, 100% more: they cost more than a "
     "trial saves by ending at the last one"),
]  # fmt: skip


@pytest.mark.parametrize("cost, line", RUNG_LINES)
def test_the_estimate_says_when_rungs_pay(cost, line):
    division = BudgetAllocation(Budget(trials=2), (), None)
    assert line in Estimate(60.0, (), (35.0,), cost).lines(division, 1)
    assert not any("rung" in x for x in Estimate(60.0, (), (35.0,)).lines(division, 1))


def test_a_trial_that_stops_early_by_hand():
    early = WHOLE.model_copy(update={"stop_after": 0.25})
    assert trained_seconds(PACE, make_study(), mix_of(200), early) == pytest.approx(10 + 2.5 + 104)


def test_the_base_model_baselines_and_repeats_are_counted():
    found = Estimate(base=60.0, baselines=(100.0, 140.0), searched=(20.0, 40.0))
    division = BudgetAllocation(Budget(trials=14), ("parallel_only", "uniform"), "parallel_only")
    assert (division.searched, division.repeats, division.confirm) == (8, 3, 1)
    assert found.total(division, 1) == 60 + 240 + 100 + (8 + 2 + 1) * 30, "the first one twice"
    assert found.lines(division, 2) == [
        "  about 60 s for the base model, 120 s (100 to 140) for a baseline, 30 s (20 to 40) for a "
        "searched recipe, as measured here",
        "  about 6m05s for the base model and 14 trials, 2 at a time",
    ]
    assert found.lines(division, 2, further=7)[2:] == [
        "  at most about 1m45s more for 7 further trials that settle the answer"
    ]
    alone = Estimate(60.0, (), (20.0, 40.0)).lines(BudgetAllocation(Budget(trials=1), (), None), 1)
    assert "baseline" not in alone[0] and alone[1].endswith(
        "1m30s for the base model and 1 trial, one after another"
    )


def table_of(rows, tokens):
    ends = np.arange(1, rows + 1) * tokens
    none = np.zeros(rows, np.int32)
    return TokenTable(np.zeros(ends[-1], np.int32), ends, none, 0, rows)


def test_every_baseline_has_its_own_size_and_the_searched_their_mean():
    """A pair has 6 tokens and a line 3; the space goes from 256 to 8,192 pairs and 0 to 2 lines a
    pair."""
    sources = (*SOURCES, Source(name="replay", kind="replay", path="r"))
    study = make_study(sources=sources, budget=Budget(trials=14))

    store = {s.name: table_of(8192 * 2, 6 if s.kind == "parallel" else 3) for s in sources}
    pace = Pace(0.0, 1.0, 0.0, 0.0)
    found = estimated(pace, study, SPACE, store)
    pairs = 8192
    expected = {
        "parallel_only": pairs * 6,
        "mono_one_to_one": pairs * (6 + 3),
        "mono_two_to_one": pairs * (6 + 6),
        "uniform": pairs // 3 * (6 + 3 + 3),
    }
    assert found.base == 0.0
    assert found.baselines == pytest.approx([expected[r] for r in REFERENCES], rel=2e-3)
    assert len(found.searched) == time_estimate.POINTS and found.rungs is None
    watched = estimated(pace, study.model_copy(update={"early_stopping": RUNGS}), SPACE, store)
    assert watched.rungs == RungCost(0.0, pytest.approx(np.mean(found.searched) / 2),
                                     pytest.approx(np.mean(found.searched)))  # fmt: skip
    # on a log scale the middle of the pairs is 1,448, their mean 2,290; a tenth is replay
    mean = sum(found.searched) / len(found.searched)
    assert mean == pytest.approx(2290 * (6 + 3 + 2 / 9 * 3), rel=0.1)
