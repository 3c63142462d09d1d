"""Advice from the knee alone: once more, and which of two is trained again."""

import numpy as np
import pytest
from records_factory import make_record, make_study

from mtray.report.draws import write_draws
from mtray.report.records import read_records, write_record
from mtray.schema import Budget, Recipe
from mtray.search.confirm import Proposal
from mtray.search.knee import best_chances, knee_advice

NAMES = ("parallel_size", "mono_ratio")


def advice_of(run_dir, settle=0.95):
    return knee_advice(run_dir, make_study(budget=Budget(settle=settle)), NAMES)


def put(run_dir, values, noise=0.0, seeds=1):
    """The base model and a recipe for each pair of values, their draws independent."""
    rng = np.random.default_rng(1)
    write_record(run_dir, make_record(-1, 0.4, 1.0, "base"))
    number = 0
    for i, (quality, kept) in enumerate(values):
        first = number
        for seed in range(seeds):
            recipe = Recipe(parallel_size=100 + i)
            of = first if seed else None
            record = make_record(number, quality, kept, recipe=recipe, seed=1 + seed,
                                 replicate=seed, of=of)  # fmt: skip
            write_record(run_dir, record)
            errors = noise * rng.standard_normal((2, 400))
            found = {"quality": quality + errors[0], "retention": kept + errors[1]}
            write_draws(run_dir, number, found)
            number += 1
    return read_records(run_dir).records


CURVE = [(0.5, 0.9), (0.6, 0.85), (0.65, 0.5)]  # the second is the knee


def test_the_knee_is_recommended_once_more(tmp_path):
    found = advice_of(tmp_path).recommend(put(tmp_path, CURVE))
    assert (found.params, found.repeats_of) == ({"parallel_size": 101, "mono_ratio": 0.0}, 1)
    assert "knee" in found.why


def test_nothing_trained_nothing_recommended(tmp_path):
    advice, records = advice_of(tmp_path), put(tmp_path, [])
    assert advice.recommend(records) is None and advice.settle(records, []) is None
    one = put(tmp_path, CURVE[:1])
    assert advice.settle(one, []) is None, "there is nothing to race it with"


CLOSE = [(0.5, 0.9), (0.6, 0.851), (0.601, 0.849), (0.65, 0.5)]


def test_two_that_are_close_are_raced_until_one_is_sure(tmp_path):
    records = put(tmp_path, CLOSE, noise=0.01)
    first = advice_of(tmp_path).settle(records, [])
    assert first.repeats_of in (1, 2) and first.why.startswith(f"trial {first.repeats_of} is best")
    second = advice_of(tmp_path).settle(records, [first])
    assert {first.repeats_of, second.repeats_of} == {1, 2}, "the other, while that one runs"
    third = advice_of(tmp_path).settle(records, [first, second])
    assert third == first


def test_what_is_clear_is_settled(tmp_path):
    records = put(tmp_path, CURVE, noise=0.001, seeds=2)
    assert advice_of(tmp_path).settle(records, []) is None
    noisy = put(tmp_path, CURVE, noise=0.1, seeds=2)
    assert isinstance(advice_of(tmp_path).settle(noisy, []), Proposal)


def test_chances_by_hand():
    """Sums of two objectives, each over the front's reach of 1 and 2: 1, 1 and 0; draws in which
    the second gains .2, .2 and loses .2."""
    values = np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    errors = np.zeros((4, 3, 2))
    errors[:3, 1, 0] = 0.2, 0.2, -0.2
    assert best_chances(values, errors).tolist() == pytest.approx([0.5, 0.5, 0.0])
    errors[3, 2, 1] = 2.1
    assert best_chances(values, errors).tolist() == pytest.approx([0.25, 0.5, 0.25])
