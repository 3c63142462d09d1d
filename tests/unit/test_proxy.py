"""The correlations of merged models with trained ones, by hand and on made-up runs."""

import numpy as np
import pytest
from records_factory import make_record
from test_mixture_corners import NAMED, REPLAYED, space

from mtray.errors import RunError
from mtray.report.proxy import (
    INTERPOLATED,
    LINEAR,
    MERGED,
    SIZE,
    ProxyRecords,
    compared_recipes,
    linear_prediction,
    proxy_of,
    spread_mixtures,
)
from mtray.report.proxy_correlation import correlations, spread_of
from mtray.report.proxy_text import proxy_lines
from mtray.schema import Recipe
from mtray.search_space.mixture_corners import corner_shares, corners

SENSES = {"quality": "max", "retention": "max"}
SEEDS = {"quality": 0.001, "retention": 0.001, "retention.animacy": 0.001}
# what a source is worth: the score of a mixture is the mean over its pure recipes, plus a curve
WORTH = {"web": 0.3, "news": 0.6, "books": 0.9}


def score(recipe):
    """A made-up trained score: a mean over the sources, less where a mix is pure."""
    given = {name: weight * recipe.mono_ratio for name, weight in recipe.weights.items()}
    mean = sum(WORTH[name] * amount for name, amount in given.items())
    return 0.2 * mean - 0.03 * sum(amount**2 for amount in given.values())


def record(number, recipe, **changes):
    value = score(recipe)
    return make_record(number, 0.5 + value, 0.9 - recipe.replay_fraction, recipe=recipe, **changes)


@pytest.fixture
def mixtures(tmp_path):
    return space(tmp_path, REPLAYED)


def test_the_mean_of_the_corners_scores_by_hand():
    a, b = Recipe(parallel_size=1), Recipe(parallel_size=2)
    found = linear_prediction({a: 0.25, b: 0.75}, {a: np.array([1.0, 8]), b: np.array([5.0, 0])})
    assert found.tolist() == [4.0, 2.0]


@pytest.mark.parametrize(
    "merged, other, expected, gain",
    [
        ([1, 2, 3, 4, 5], [2, 1, 4, 3, 5], (1.0, 0.8), 0.2),  # 1 - 6 * 4 / (5 * 24)
        ([5, 4, 3, 2, 1], [1, 2, 3, 4, 5], (-1.0, 1.0), -2.0),
        ([2, 1, 4, 3, 5], [7, 7, 7, 7, 7], (0.8, 0.0), 0.8),  # a constant ranks nothing
    ],
)
def test_correlations_by_hand(merged, other, expected, gain):
    trained = np.array([1.0, 2, 3, 4, 5])
    found = correlations({MERGED: np.array(merged), SIZE: np.array(other)}, trained)
    assert [c.value for c in found] == pytest.approx(expected)
    assert found[0].gain is None and found[1].gain == pytest.approx(gain)
    for one in found:
        assert -1 <= one.low <= one.value <= one.high <= 1


def test_a_predictor_has_no_gain_over_itself_and_more_recipes_say_more():
    rng = np.random.default_rng(1)
    widths = []
    for n in (8, 80):
        y = rng.normal(size=n)
        x = y + rng.normal(size=n)
        first, again = correlations({MERGED: x, LINEAR: x}, y)
        assert (again.gain, again.gain_low, again.gain_high) == (0, 0, 0)
        assert first.low < first.value < first.high
        widths.append(first.high - first.low)
    assert widths[1] < widths[0] / 2


@pytest.mark.parametrize(
    "trained, n_seeds, seeds, expected",
    [
        ([1.0, 3.0, 2.0], [1, 1, 1], 0.6, 0.8),  # variance 1, of which .36 are seeds
        ([1.0, 3.0, 2.0], [4, 4, 4], 1.2, 0.8),
        ([1.0, 3.0, 2.0], [1, 2, 2], 0.9, (1 - 0.81 * 2 / 3) ** 0.5),
        ([1.0, 3.0, 2.0], [1, 1, 1], 0.0, 1.0),
        ([1.0, 3.0, 2.0], [1, 1, 1], 1.0, None),
    ],
)
def test_what_seeds_leave_to_predict_by_hand(trained, n_seeds, seeds, expected):
    found = spread_of(np.array(trained), n_seeds, seeds)
    assert (found.recipes, found.seeds) == (1.0, seeds)
    assert found.ceiling == (expected if expected is None else pytest.approx(expected))


def test_what_is_compared(mixtures):
    inside = mixtures.recipe({"mono_ratio": 1.0, "replay_fraction": 0.1, NAMED[0]: 1, NAMED[1]: 1,
                              NAMED[2]: 1})  # fmt: skip
    records = [
        make_record(-1, role="base"),
        record(0, corners(mixtures)[0], role="parallel_only"),
        record(1, inside.with_values({"mono_ratio": 3.0}), role="mono_two_to_one"),
        record(2, inside, role="mono_one_to_one"),
        record(3, inside),
        record(4, inside, replicate=1, of=3, seed=2),
        record(5, corners(mixtures)[2]),
        record(6, corners(mixtures)[2].with_values({"mono_ratio": 1.999})),  # .9995 of that corner
        record(7, inside.with_values({"parallel_size": 7}), state="failed", reason="x"),
    ]
    found = compared_recipes(records, mixtures)
    assert found.recipes == [inside]
    assert [trial.number for group in found.groups for trial in group.trials] == [2, 3, 4]
    assert found.left_out == {
        "a pure model's recipe": (0, 5, 6), "not a mixture of the space": (1,),
    }  # fmt: skip


def test_mixtures_are_spread_and_of_the_space(mixtures):
    found = spread_mixtures(mixtures, 20)
    assert len(set(found)) == 20 and all(corner_shares(mixtures, recipe) for recipe in found)
    assert spread_mixtures(mixtures, 7) == found[:7]


def found_proxy(trials, pure, merged, mixtures, count):
    return proxy_of(ProxyRecords(trials, pure, merged), mixtures, SENSES, SEEDS, count)


def run_of(mixtures, trained=14, further=10, error=lambda recipe: 0.0):
    """Trials, pure models and merged models of a made-up run; merged models are off by `error`."""
    pure = [record(i, recipe) for i, recipe in enumerate(corners(mixtures))]
    recipes = spread_mixtures(mixtures, trained + further)
    trials = [record(i, recipe) for i, recipe in enumerate(recipes[:trained])]
    merged = [
        make_record(i, 0.5 + score(r) + error(r), 0.9 - r.replay_fraction, recipe=r)
        for i, r in enumerate(recipes)
    ]
    return trials, pure, merged


def test_a_perfect_proxy_of_a_curved_measure(mixtures):
    trials, pure, merged = run_of(mixtures)
    found = found_proxy([make_record(-1, role="base"), *trials], pure, merged, mixtures, 50)
    by = {c.predictor: c for c in found.correlations["quality"]}
    assert list(by) == [MERGED, INTERPOLATED, LINEAR, SIZE]
    assert (
        by[MERGED].value == pytest.approx(1)
        and by[LINEAR].value < 0.99
        and by[INTERPOLATED].value > 0.9
    )
    assert by[LINEAR].gain == pytest.approx(1 - by[LINEAR].value)
    assert found.trials == tuple(range(14)) and (found.pure, found.merged) == (8, 24)
    # the front: no replay costs retention, and the best mixture is not a pure one
    assert list(found.correlations) == list(found.spread) == list(SEEDS)
    assert set(found.front[0].predicted) == set(SENSES), "the front is of the objectives"
    assert found.ranked == 50 and 1 <= len(found.front) < 50
    best = max(found.front, key=lambda m: m.predicted["quality"])
    known = max(score(recipe) for recipe in spread_mixtures(mixtures, 50))
    assert score(best.recipe) > known - 0.02


def test_a_proxy_that_is_noise_shows_it(mixtures):
    rng = np.random.default_rng(0)
    trials, pure, merged = run_of(mixtures, trained=30, error=lambda r: rng.normal())
    found = found_proxy([make_record(-1, role="base"), *trials], pure, merged, mixtures, 10)
    first, *others = found.correlations["quality"]
    assert abs(first.value) < 0.5 and first.low < 0 < first.high
    linear = next(c for c in others if c.predictor == LINEAR)
    assert linear.gain < 0 and linear.value > 0.5


def test_too_few_recipes_have_no_correlation(mixtures):
    trials, pure, merged = run_of(mixtures, trained=5)
    found = found_proxy(trials, pure, merged, mixtures, 10)
    assert found.correlations == {}
    assert "5 recipes are too few for a correlation; 6 are needed" in proxy_lines(found)
    with pytest.raises(RunError, match="a surface needs 5 pure and merged models, found 2"):
        found_proxy(trials, pure[:2], [], mixtures, 10)


def test_what_is_printed(mixtures):
    trials, pure, merged = run_of(mixtures)
    trials.append(record(20, corners(mixtures)[0], role="parallel_only"))
    lines = proxy_lines(found_proxy(trials, pure, merged, mixtures, 50))
    assert lines[0].startswith("8 pure models trained (about 42s each), 24 merged models measured")
    assert lines[1] == "not compared, a pure model's recipe: trial 20"
    assert "the trained values of 14 recipes" in lines[2]
    assert "over seeds 0.0010: with other seeds a perfect prediction would have about 1" in lines[3]
    assert "+1.00 [+1.00, +1.00]" in lines[4] and lines[4].split()[:2] == ["merged", "models,"]
    assert any(line.startswith("50 mixtures ranked by interpolation, not") for line in lines)
    assert "weight.books=" in lines[-1] and "retention 0." in lines[-1]
