"""The front beside the baselines: gains worked out by hand, and plain words when there are none."""

import numpy as np
import pytest
from records_factory import make_record, make_score

from mtray.report.compare import compare, score_difference
from mtray.schema import Score

BOTH = {"quality": "max", "retention": "max"}


def gains(comparison):
    return {gain.objective: gain for gain in comparison.gains}


def test_difference_of_symmetric_scores_is_the_normal_one():
    found = score_difference(make_score(0.7, 0.03), make_score(0.6, 0.04))
    assert found == pytest.approx((0.1, 0.05, 0.15))


def test_difference_keeps_lopsided_intervals_lopsided():
    near_bound = Score(value=0.98, low=0.90, high=1.0, n=9, signature="x")
    exact = Score(value=1.0, low=1.0, high=1.0, n=9, signature="x")
    assert score_difference(near_bound, exact) == pytest.approx((-0.02, -0.10, 0.0))
    assert score_difference(exact, near_bound) == pytest.approx((0.02, 0.0, 0.10))


def test_difference_covers_the_truth():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.7, 0.02, 4000), rng.normal(0.5, 0.01, 4000)
    inside = 0
    for x, y in zip(a, b, strict=True):
        _, low, high = score_difference(make_score(x, 0.0392), make_score(y, 0.0196))
        inside += low <= 0.2 <= high
    assert inside / 4000 == pytest.approx(0.95, abs=0.012)


def test_the_best_point_that_is_as_good_in_the_other_objective_is_taken():
    baseline = make_record(0, 0.60, 0.70, "parallel_only")
    front = [make_record(2, 0.70, 0.60), make_record(3, 0.65, 0.75), make_record(4, 0.62, 0.90)]
    found = compare(front, baseline, BOTH, candidates=10)
    assert found.better
    by = gains(found)
    assert by["quality"].number == 3
    assert by["quality"].gain == pytest.approx(0.05)
    assert by["retention"].number == 4
    assert by["retention"].gain == pytest.approx(0.20)
    assert {g.matched for g in found.gains} == {"value"}
    assert "trial 3" in found.text


def test_a_gain_says_what_it_is_worth_to_human_raters():
    """A gain of .0035 of COMET22 and one of .0195: 70 and nearly 96 per cent (Kocmi et al. 2024).
    Nothing is said of retention, of a loss or of a metric that was never compared with people."""

    def found(gain, signature="mean:2|Unbabel/wmt22-comet-da|comet:2.2.7|weights:0|empty:0-or-min"):
        pair = [make_record(0, 0.80, 0.70, "parallel_only"), make_record(2, 0.80 + gain, 0.75)]
        for i, record in enumerate(pair):
            quality = record.objectives["quality"].model_copy(update={"signature": signature})
            changed = record.objectives | {"quality": quality}
            pair[i] = record.model_copy(update={"objectives": changed})
        return compare(pair[1:], pair[0], BOTH, candidates=1)

    small, large = found(0.0035), found(0.0195)
    assert gains(small)["quality"].agreement == pytest.approx(0.70, abs=0.005)
    assert gains(large)["quality"].agreement == pytest.approx(0.9585, abs=0.001)
    assert "within noise; human raters agree with a difference" in small.text
    assert small.text.count("in about 70% of cases (COMET22).") == 1
    assert gains(large)["retention"].agreement is None
    assert gains(found(-0.01))["quality"].agreement is None
    tiny = found(0.0195, "mtray-comet-tiny|comet:2.2.7|weights:0|empty:0-or-min")
    assert gains(tiny)["quality"].agreement is None and "human" not in tiny.text


def test_a_front_within_noise_is_said_to_be_no_better():
    baseline = make_record(0, 0.60, 0.70, "parallel_only")
    found = compare([make_record(2, 0.605, 0.705)], baseline, BOTH, candidates=1)
    assert not found.better
    assert [g.verdict for g in found.gains] == ["within noise"] * 2
    assert "no point of the front is better beyond noise" in found.text


def test_the_choice_among_many_trials_widens_the_interval():
    baseline = make_record(0, 0.60, 0.70, "parallel_only")
    front = [make_record(2, 0.618, 0.75)]
    few, many = (gains(compare(front, baseline, BOTH, c))["quality"] for c in (1, 200))
    assert (few.low, few.high) == pytest.approx((few.low_any, few.high_any))
    assert few.verdict == "better"
    assert many.low == few.low > 0 > many.low_any
    assert many.verdict == "within noise"


def test_a_worse_front_is_not_better():
    baseline = make_record(0, 0.60, 0.70, "parallel_only")
    found = compare([make_record(2, 0.55, 0.80)], baseline, BOTH, 1)
    assert gains(found)["quality"].verdict == "not better"
    none = gains(found)["retention"]
    assert (none.verdict, none.number) == ("none as good", None)
    assert not found.better


def test_a_point_that_is_worse_within_noise_is_taken_when_there_is_no_other():
    baseline = make_record(0, 0.60, 0.70, "parallel_only")
    found = gains(compare([make_record(2, 0.70, 0.695)], baseline, BOTH, 1))["quality"]
    assert (found.matched, found.verdict) == ("noise", "better")
    assert "within noise" in found.text


def test_an_objective_to_minimise_gains_by_falling():
    baseline, point = make_record(0, 0.60, 0.5, "parallel_only"), make_record(2, 0.65, 0.3)
    found = compare([point], baseline, {"quality": "max", "retention": "min"}, 1)
    by = gains(found)["retention"]
    assert by.gain == pytest.approx(0.2)
    assert by.low < by.gain < by.high and by.verdict == "better"


def test_a_paired_difference_is_used_where_given():
    baseline, point = make_record(0, 0.60, 0.7, "parallel_only"), make_record(2, 0.605, 0.75)

    def paired(a, b, objective, z):
        gap = a.objectives[objective].value - b.objectives[objective].value
        return gap, gap - 0.001 * z, gap + 0.001 * z

    found = compare([point], baseline, BOTH, 1, paired)
    assert gains(found)["quality"].verdict == "better"


@pytest.mark.parametrize("trials", [40])
def test_the_wide_interval_holds_when_the_luckiest_is_picked(trials):
    """No trial is truly better than the baseline; the verdict is rarely `better` although the
    luckiest is shown."""
    rng = np.random.default_rng(1)
    wrong = {"plain": 0, "any": 0}
    for _ in range(300):
        baseline = make_record(0, rng.normal(0.6, 0.01), 0.5, "parallel_only", half=0.0196)
        luckiest = max(rng.normal(0.6, 0.01, trials))
        point = make_record(2, luckiest, 0.6, half=0.0196)
        gain = gains(compare([point], baseline, BOTH, trials))["quality"]
        wrong["plain"] += gain.low > 0
        wrong["any"] += gain.verdict == "better"
    assert wrong["any"] / 300 < 0.05 < wrong["plain"] / 300
