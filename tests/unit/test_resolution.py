"""Which differences can be told from none, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from records_factory import make_record, make_score
from scipy.stats import t

from mtray.analysis.resolution import (
    OF_SCORE,
    TYPICAL,
    Needed,
    Resolution,
    even_segments,
    prior_seeds,
    resolution,
)
from mtray.analysis.uncertainty import Z95
from mtray.report.groups import no_draws
from mtray.report.resolution import (
    guessed_resolution,
    measured_resolution,
    needed_text,
    resolution_lines,
)
from mtray.schema import Recipe

# segments' part, seeds' part of 400 segments -> what half of both takes
BY_HAND = [
    # 5, half of it 2.5, below either part
    ((3.0, 4.0), 5.0, Needed(None, None)),
    # 10, 25 - 9 = 16 are left to the seeds: 91 / 16 = 5.7 trainings
    ((3.0, 91**0.5), 10.0, Needed(6, None)),
    # the same with the parts exchanged: 400 * 91 / 16
    ((91**0.5, 3.0), 10.0, Needed(None, 2275)),
    ((0.0, 4.0), 4.0, Needed(4, None)),
    ((4.0, 0.0), 4.0, Needed(None, 1600)),
]


@pytest.mark.parametrize("parts, half, needed", BY_HAND)
def test_what_half_of_it_takes(parts, half, needed):
    found = Resolution(*parts, n=400)
    assert found.half == pytest.approx(half)
    assert found.needed() == needed


parts = st.floats(1e-4, 1e2)


@given(parts, parts, st.integers(10, 5000), st.floats(0.2, 0.9))
def test_what_is_needed_is_enough_and_no_more(segments, seeds, n, share):
    found = Resolution(segments, seeds, n)
    needed, goal = found.needed(share), share * found.half * (1 + 1e-6)
    if share <= 0.5:
        assert needed.trainings is None or needed.segments is None, "one part is above .7"
    assert np.hypot(segments, seeds) * share <= goal, "of both 1/share^2 times as many"
    if needed.trainings is not None:
        assert np.hypot(segments, seeds / needed.trainings**0.5) <= goal
        fewer = max(1, needed.trainings - 1)
        assert needed.trainings == 1 or np.hypot(segments, seeds / fewer**0.5) > goal * (1 - 2e-6)
    if needed.segments is not None:
        assert np.hypot(segments * (n / needed.segments) ** 0.5, seeds) <= goal
    assert (needed.trainings is None) == (segments >= share * found.half)
    assert (needed.segments is None) == (seeds >= share * found.half)


def test_a_difference_by_hand():
    """An error of 1 over segments; each training is off by up to 3."""
    pair, base = resolution(1.0, 3.0, 2, 100), resolution(1.0, 3.0, 1, 100)
    assert (pair.segments, pair.seeds) == pytest.approx((Z95, 3 * 2**0.5))
    assert (base.segments, base.seeds) == pytest.approx((Z95, 3.0))
    assert pair.half == pytest.approx((Z95**2 + 18) ** 0.5)


def test_the_prior_by_hand():
    """A standard deviation of half the error over segments, of 4 degrees of freedom."""
    assert prior_seeds(0.02) == pytest.approx(0.5 * 0.02 * t.ppf(0.975, 4))


@pytest.mark.parametrize("sizes, n", [([400], 400), ([100, 100], 200), ([100, 300], 300)])
def test_sets_of_several_sizes_by_hand(sizes, n):
    # of 100 and 300: 4 / (1/100 + 1/300) = 300
    assert even_segments(sizes) == n


def test_the_typical_segment_is_the_simulation_s():
    """`benchmarks/calibration_sweeps.py`, which has it from the default study."""
    import search_factory  # noqa: F401, which finds the benchmarks
    from calibration_sweeps import Scales

    scales = Scales()
    for side, name in enumerate(("quality", "retention")):
        recipe, seed = scales.recipe[side], scales.seed[side]
        pair, base = (2 * (recipe**2 + seed**2)) ** 0.5, (2 * recipe**2 + seed**2) ** 0.5
        assert TYPICAL[name].recipes == pytest.approx(pair, abs=6e-4)
        assert TYPICAL[name].base == pytest.approx(base, abs=6e-4)
    own = (scales.segment[0] ** 2 + scales.recipe[0] ** 2) ** 0.5
    assert OF_SCORE.recipes == pytest.approx(TYPICAL["quality"].recipes / own, abs=6e-3)
    assert OF_SCORE.base == pytest.approx(TYPICAL["quality"].base / own, abs=6e-3)


SIZES = {"quality": [400], "a": [100], "b": [300]}
BASE = make_record(-1, 0.5, 1.0, "base", half=0.0)
GUESSES = [
    ("quality", 0.204 / 20, 400),
    ("retention", 0.479 / 300**0.5, 300),
    ("retention.mean", 0.479 / 300**0.5, 300),
    ("retention.a", 0.479 / 10, 100),
]


@pytest.mark.parametrize("name, error, n", GUESSES)
def test_a_guess_before_anything_is_measured(name, error, n):
    found = guessed_resolution(None, [name], SIZES)[name]
    assert found.recipes.segments == pytest.approx(Z95 * error)
    assert found.recipes.n == found.base.n == n
    assert found.recipes.seeds == pytest.approx(2**0.5 * found.base.seeds)
    assert guessed_resolution(BASE, [name], SIZES)[name] == found, "its interval has no width"


@pytest.mark.parametrize("name", ["retention.worst", "bleu.en-uk", "cost.seconds"])
def test_where_nothing_is_known_nothing_is_guessed(name):
    assert guessed_resolution(None, [name], SIZES) == {}
    lines = resolution_lines([], ["quality", name], no_draws, SIZES)
    assert lines[-1] == f"  {name}: not known until trials have been measured"


def test_the_base_model_s_interval_is_a_better_guess():
    base = make_record(-1, 0.5, 1.0, "base", objectives={"quality": make_score(0.5, 0.02)})
    found = guessed_resolution(base, ["quality"], SIZES)["quality"]
    assert found.recipes.segments == pytest.approx(0.75 * 0.02)
    assert found.base.segments == pytest.approx(0.61 * 0.02)
    assert found.recipes.n == 200, "as the score has it"


def records(repeats=1):
    """One recipe that is trained again: +.03 in quality, as good in retention."""
    recipe = Recipe(parallel_size=10)
    first = [make_record(-1, 0.5, 1.0, "base"), make_record(0, 0.6, 0.8, recipe=recipe)]
    more = [
        make_record(k, 0.6 + 0.03 * k, 0.8, recipe=recipe, seed=1 + k, replicate=k, of=0)
        for k in range(1, repeats + 1)
    ]
    return first + more


ERRORS = np.array([-1.0, 1.0])


def draws_of(number, names):
    """Errors over segments: of base -.01 and .01, of trial 0 -.02 and .02, of 1 -.05 and .05."""
    scale = {-1: 0.01, 0: 0.02, 1: 0.05}[number]
    values = {"quality": {-1: 0.5, 0: 0.6, 1: 0.63}, "retention": {-1: 1.0, 0: 0.8, 1: 0.8}}
    return {n: values[n][number] + scale * ERRORS for n in names}


def test_a_recipe_that_was_trained_twice_by_hand():
    found = measured_resolution(records(), ["quality", "retention"], draws_of)
    # errors of the pair's difference -.03 and .03; to the base -.01, .01 and -.04, .04
    assert found["quality"].recipes.segments == pytest.approx(Z95 * 0.03)
    assert found["quality"].base.segments == pytest.approx(Z95 * 0.025)
    # variance over seeds .03^2 / 2 of 1 degree; within the bootstrap: deviations of .015 each, of
    # which two make .015^2 * 2; the prior's centre (.5 * .025)^2 + within, of 4 degrees
    within = 2 * 0.015**2
    whole = (4 * (0.0125**2 + within) + 0.03**2 / 2) / 5
    half = (t.ppf(0.975, 5) ** 2 * whole - Z95**2 * within) ** 0.5
    assert found["quality"].base.seeds == pytest.approx(half)
    assert found["quality"].recipes.seeds == pytest.approx(2**0.5 * half)
    assert found["quality"].recipes.n == 200
    assert found["retention"].recipes.seeds < found["quality"].recipes.seeds


def test_without_draws_intervals_are_taken_for_unpaired():
    found = measured_resolution(records(), ["quality"], no_draws)
    assert found["quality"].recipes.segments == pytest.approx(0.01 * 2**0.5)


@pytest.mark.parametrize("known", [[], records()[:2], records()[1:]])
def test_nothing_is_measured_before_the_base_model_and_a_repeat(known):
    assert measured_resolution(known, ["quality"], draws_of) == {}
    head = resolution_lines(known, ["quality"], draws_of, SIZES)[0]
    assert "a guess until a recipe has been trained twice" in head


def test_the_words():
    measured = resolution_lines(records(), ["quality", "retention"], draws_of, SIZES)
    assert measured[0] == (
        "smallest difference beyond noise, each recipe trained once (95 %; as measured by the "
        "trials so far):"
    )
    assert measured[1].startswith("  quality: 0.") and " between two recipes (" in measured[1]
    assert [line.split(":")[0].strip() for line in measured[1:]] == ["quality", "retention"]
    usual = resolution_lines([], ["quality"], draws_of, SIZES)[0]
    assert "a guess" in usual and "from typical values and a prior over seeds" in usual
    based = resolution_lines(records()[:1], ["quality"], draws_of, SIZES)[0]
    assert "from the base model's intervals, else typical values, and a prior" in based


NEEDS = [
    ((3.0, 4.0), "both 4 trainings of each (3 repeats) and 1,600 segments instead of 400"),
    ((3.0, 91**0.5), "6 trainings of each (5 repeats); more segments alone are not"),
    ((91**0.5, 3.0), "2,275 segments instead of 400; more trainings alone are not"),
    ((0.0, 0.0), "not possible, it has no noise"),
]


@pytest.mark.parametrize("sides, text", NEEDS)
def test_what_half_of_it_takes_in_words(sides, text):
    assert needed_text(Resolution(*sides, n=400)).startswith(text)
