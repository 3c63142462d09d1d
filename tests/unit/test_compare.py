"""The front beside the baselines: gains worked out by hand, and plain words when there are none."""

import pytest
from records_factory import make_record

from mtray.report import compare as module
from mtray.report.differences import joint
from mtray.report.groups import Group

BOTH = {"quality": "max", "retention": "max"}


@pytest.fixture(autouse=True)
def no_seeds(monkeypatch):
    """Intervals of the segments alone, so that they can be worked out by hand."""
    monkeypatch.setattr("mtray.report.differences.seed_draws", lambda *_: 0.0)


def compare(front, baseline, objectives=BOTH, others=0):
    """Of the front's points, and so many more recipes that were searched and are far off."""
    far = [make_record(1000 + i, 0.1, 0.1) for i in range(others)]
    groups = [Group((r,)) for r in [baseline, *front, *far]]
    together = joint(groups, list(objectives))
    searched = [r.number for r in [*front, *far]]
    return module.compare(front, [baseline], searched, objectives, together)[0]


def gains(comparison):
    return {gain.objective: gain for gain in comparison.gains}


def test_the_best_point_that_is_as_good_in_the_other_objective_is_taken():
    baseline = make_record(0, 0.60, 0.70, "parallel_only")
    front = [make_record(2, 0.70, 0.60), make_record(3, 0.65, 0.75), make_record(4, 0.62, 0.90)]
    found = compare(front, baseline)
    assert found.better
    by = gains(found)
    assert by["quality"].number == 3
    assert by["quality"].gain == pytest.approx(0.05)
    assert by["retention"].number == 4
    assert by["retention"].gain == pytest.approx(0.20)
    assert {g.matched for g in found.gains} == {"value"}


def test_a_gain_says_what_it_is_worth_to_human_raters():
    """A gain of .0035 of COMET22 and one of .0195: 70 and nearly 96 per cent (Kocmi et al. 2024).
    Nothing is said of retention, of a loss or of a metric that was never compared with people."""

    def found(gain, signature="mean:2|Unbabel/wmt22-comet-da|comet:2.2.7|weights:0|empty:0-or-min"):
        pair = [make_record(0, 0.80, 0.70, "parallel_only"), make_record(2, 0.80 + gain, 0.75)]
        for i, record in enumerate(pair):
            quality = record.objectives["quality"].model_copy(update={"signature": signature})
            changed = record.objectives | {"quality": quality}
            pair[i] = record.model_copy(update={"objectives": changed})
        return compare(pair[1:], pair[0])

    small, large = found(0.0035), found(0.0195)
    assert gains(small)["quality"].agreement == pytest.approx(0.70, abs=0.005)
    assert gains(large)["quality"].agreement == pytest.approx(0.9585, abs=0.001)
    assert gains(small)["quality"].verdict == "within noise"
    assert gains(small)["quality"].agreement_metric == "COMET22"
    assert gains(large)["retention"].agreement is None
    assert gains(found(-0.01))["quality"].agreement is None
    tiny = found(0.0195, "mtray-comet-tiny|comet:2.2.7|weights:0|empty:0-or-min")
    assert gains(tiny)["quality"].agreement is gains(tiny)["quality"].agreement_metric is None


def test_a_front_within_noise_is_said_to_be_no_better():
    baseline = make_record(0, 0.60, 0.70, "parallel_only")
    found = compare([make_record(2, 0.605, 0.705)], baseline)
    assert not found.better
    assert [g.verdict for g in found.gains] == ["within noise"] * 2


def test_the_choice_among_many_trials_widens_the_interval():
    baseline = make_record(0, 0.60, 0.70, "parallel_only")
    front = [make_record(2, 0.618, 0.75)]
    few, many = (gains(compare(front, baseline, others=c))["quality"] for c in (0, 100))
    assert few.verdict == "better" and few.low > 0 > many.low
    assert many.verdict == "within noise" and many.candidates == 101


def test_a_worse_front_is_not_better():
    baseline = make_record(0, 0.60, 0.70, "parallel_only")
    found = compare([make_record(2, 0.55, 0.80)], baseline)
    assert gains(found)["quality"].verdict == "not better"
    none = gains(found)["retention"]
    assert (none.verdict, none.number) == ("none as good", None)
    assert not found.better


def test_a_point_that_is_worse_within_noise_is_taken_when_there_is_no_other():
    baseline = make_record(0, 0.60, 0.70, "parallel_only")
    found = gains(compare([make_record(2, 0.70, 0.695)], baseline))["quality"]
    assert (found.matched, found.verdict) == ("noise", "better")


def test_an_objective_to_minimise_gains_by_falling():
    baseline, point = make_record(0, 0.60, 0.5, "parallel_only"), make_record(2, 0.65, 0.3)
    found = compare([point], baseline, {"quality": "max", "retention": "min"})
    by = gains(found)["retention"]
    assert by.gain == pytest.approx(0.2)
    assert by.low < by.gain < by.high and by.verdict == "better"
