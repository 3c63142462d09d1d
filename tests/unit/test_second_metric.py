"""Gains in the optimised metric beside those in one that is built differently."""

import numpy as np
import pytest
from records_factory import make_record, make_score

from mtray.report.differences import Difference, Joint, joint
from mtray.report.groups import group_trials
from mtray.report.paired_differences import all_differences
from mtray.report.second_metric import (
    SHORTFALL,
    MetricGain,
    SecondMetric,
    disagreement,
    is_quality,
    partner,
    second_metric_notes,
    second_metrics,
    with_shortfall,
)
from mtray.schema import Recipe

LEARNED = make_score(0.5, signature="Unbabel/x|comet:2.2.7")


@pytest.mark.parametrize(
    ("objective", "measured", "expected"),
    [
        ("quality", ["comet.en-uk", "bleu.en-uk", "chrf.en-uk"], "chrf.en-uk"),
        ("quality", ["chrf.en-uk", "chrf++.en-uk"], "chrf++.en-uk"),
        ("quality", ["bleu.en-uk"], "bleu.en-uk"),
        ("quality", ["chrf.en-uk", "chrf.uk-en", "chrf.mean"], "chrf.mean"),
        ("quality", ["comet.en-uk", "retention.animacy"], None),
        ("comet.en-uk", ["chrf.en-uk", "chrf.uk-en", "chrf.mean"], "chrf.en-uk"),
        ("comet.mean", ["chrf.mean"], "chrf.mean"),
        ("xcomet.en-uk", ["chrf.en-uk"], "chrf.en-uk"),  # another learned one, by its signature
        ("chrf.en-uk", ["comet.en-uk", "bleu.en-uk"], "comet.en-uk"),
        ("bleu.mean", ["comet.mean"], "comet.mean"),
        ("bleu.en-uk", ["chrf.en-uk"], None),  # both match strings
        ("retention", ["chrf.en-uk"], None),
        ("failures.any", ["chrf.en-uk"], None),
    ],
)
def test_what_a_metric_is_held_against(objective, measured, expected):
    scores = {name: make_score(0.5) for name in measured}
    scores |= {"xcomet.en-uk": LEARNED} if objective.startswith("xcomet") else {}
    assert partner(objective, scores) == expected
    assert is_quality(objective, scores) == (objective not in ("retention", "failures.any"))


def spread(low, high):
    return Difference((low + high) / 2, low, high)


UP, DOWN, OPEN = spread(0.1, 0.3), spread(-0.3, -0.1), spread(-0.1, 0.2)


@pytest.mark.parametrize(
    ("first", "second", "beyond", "expected"),
    [
        (UP, UP, UP, None),
        (UP, UP, DOWN, "unconfirmed"),
        (UP, OPEN, DOWN, "unconfirmed"),
        (UP, OPEN, OPEN, None),
        (UP, DOWN, DOWN, "opposite"),
        (DOWN, UP, UP, "opposite"),
        (DOWN, DOWN, DOWN, None),  # both lose
        (OPEN, DOWN, DOWN, None),  # the optimised metric claims no gain
        (OPEN, UP, UP, None),
    ],
)
def test_what_counts_as_a_disagreement(first, second, beyond, expected):
    assert disagreement(first, second, beyond) == expected


def found_of(records, draws=lambda number, names: {}):
    groups = group_trials(records)
    apart = all_differences(groups, joint(groups, ["quality", "retention"], draws), [-1], draws)
    return second_metrics(groups, {"quality": "max", "retention": "max"}, apart, draws)


def test_the_part_that_is_comparable_by_hand():
    """A deviation of COMET is .01, of chrF .6: an exchange of 60. A gain of .05 makes .05 * 60 / 3
    = 1.0 comparable, so chrF's .4 falls short by .6; where less is better a loss is a gain."""
    groups = group_trials(
        [
            make_record(-1, 0.40, 1.0, "base", scores={"chrf.en-uk": make_score(40, 0.6)}),
            make_record(2, 0.45, 0.8, scores={"chrf.en-uk": make_score(40.4, 0.6)}),
        ]
    )
    known = joint(groups, ["quality", "chrf.en-uk"])
    gap = with_shortfall(known, "max", 60).difference(2, -1, SHORTFALL)
    assert gap.gap == pytest.approx(-0.6) and gap.low < -0.6 < gap.high
    assert with_shortfall(known, "min", 60).difference(2, -1, SHORTFALL).gap == pytest.approx(1.4)
    (pair,) = found_of([t for g in groups for t in g.trials])
    assert (pair.metric, pair.exchange) == ("chrf.en-uk", pytest.approx(60))
    (gain,) = pair.gains
    assert (gain.number, gain.first.gap) == (2, pytest.approx(0.05))
    assert gain.second.gap == pytest.approx(0.4)


def test_nothing_is_compared_without_base_model_training_or_interval():
    base, trial = make_record(-1, 0.4, 1.0, "base"), make_record(2)
    assert found_of([base, trial])
    assert found_of([base]) == ()
    groups = group_trials([trial])
    assert second_metrics(groups, {"quality": "max"}, {2: {}}) == ()
    exact = base.model_copy(update={"scores": {"bleu.en-uk": make_score(8, 0)}})
    assert found_of([exact, trial]) == ()


class Sweeps:
    """Sweeps of `recipes` whose true gains in both metrics are known: COMET's deviation over a
    segment is .2, chrF's 15, both of 400 segments; what a model does to a segment is half of that,
    and half of it is common to the two metrics."""

    exchange = 15 / 0.2

    def __init__(self, gains, recipes, seed):
        self.rng, self.draws_of = np.random.default_rng(seed), {}
        self.records = [self._record(-1, "base", 0.0, 0.0)]
        common = self.rng.normal(0, 1, (300, 2))
        self.draws_of[-1] = self._draws(0.6, 45, common, np.zeros((300, 2)))
        for number in range(recipes):
            first, second = gains(number, self.rng)
            off, apart = self._errors(1)[0], self._errors(300)
            truth = np.array([first, second * self.exchange])
            values = truth + off * [0.01, 0.01 * self.exchange]
            self.records.append(self._record(number, "search", values[0], values[1]))
            self.draws_of[number] = self._draws(0.6 + values[0], 45 + values[1], common, apart)

    def _errors(self, n):
        both, own = self.rng.normal(0, 0.5, (n, 1)), self.rng.normal(0, 0.5, (n, 2))
        return np.sqrt(0.5) * (both + own)

    def _draws(self, first, second, common, own):
        scale = np.array([0.01, 0.01 * self.exchange])
        drawn = np.array([first, second]) + scale * (common + own)
        retention = np.full(300, 0.8)
        return {"quality": drawn[:, 0], "chrf.en-uk": drawn[:, 1], "retention": retention}

    def _record(self, number, role, first, second):
        half = 1.96 * 0.01
        return make_record(
            number, 0.6 + first, 0.8, role, half=half,
            recipe=Recipe(parallel_size=0 if role == "base" else 100 + number),
            scores={"chrf.en-uk": make_score(45 + second, half * self.exchange)},
        )  # fmt: skip

    def draws(self, number, names):
        return {k: v for k, v in self.draws_of[number].items() if k in names}

    def disagreements(self):
        groups, objectives = group_trials(self.records), {"quality": "max", "retention": "max"}
        gaps = {-1: dict.fromkeys(("quality", "chrf.en-uk"), Difference(0, 0, 0))}  # not looked at
        apart = {group.original.number: gaps for group in groups}
        return second_metrics(groups, objectives, apart, self.draws)[0].disagreements


@pytest.fixture
def no_seeds(monkeypatch):
    """The simulated models have no error but that of the segments."""
    monkeypatch.setattr("mtray.report.differences.seed_draws", lambda *_: 0.0)


# the true gains of a recipe, in COMET and in chrF, both in deviations of COMET
def just_comparable(number, rng):
    """COMET's gain is beyond all noise, chrF's the least that is comparable: the hardest case."""
    return 0.12, 0.04


AGREEING = {
    "chrF gains just what is comparable": just_comparable,
    "none gains": lambda number, rng: (0.0, 0.0),
    "both gain or lose, by recipe": lambda number, rng: (1, 1) * rng.normal(0, 0.03, 1),
}
SWEEPS = 60
LIMIT = 7  # the 97.5 % quantile of how many of them, where each has a chance of 5 %


def said(gains, sweeps=SWEEPS):
    return sum(bool(Sweeps(gains, 20, seed).disagreements()) for seed in range(sweeps))


@pytest.mark.parametrize("gains", AGREEING.values(), ids=list(AGREEING))
def test_where_metrics_agree_it_is_rarely_said_that_they_do_not(no_seeds, gains):
    """Of any of twenty recipes, whichever were picked."""
    assert said(gains) <= LIMIT


def test_intervals_of_single_pairs_would_say_it_far_too_often(no_seeds, monkeypatch):
    monkeypatch.setattr(Joint, "stretch", lambda *_: 1.0)
    assert said(just_comparable) > 2 * LIMIT


@pytest.mark.parametrize(
    ("gamed", "reason"), [((0.08, -0.06), "opposite"), ((0.12, 0.0), "unconfirmed")]
)
def test_a_recipe_that_games_the_metric_is_found(gamed, reason):
    """Of ten recipes the third does; the others gain as much in both."""

    def gains(number, rng):
        return gamed if number == 3 else (0.03, 0.03)

    found = [Sweeps(gains, 10, seed).disagreements() for seed in range(20)]
    assert sum(one.get(3) == reason for one in found) >= 18
    assert sum(bool({*one} - {3}) for one in found) <= 3


def test_notes_name_points_of_the_front_and_metrics_that_stand_alone():
    gain = MetricGain(
        number=7,
        first=Difference(0.05, 0.03, 0.07),
        second=Difference(-1.2, -2.04, -0.4),
        disagreement="opposite",
    )
    pair = SecondMetric(objective="quality", metric="chrf.en-uk", exchange=60, gains=(gain,))
    scores = {"quality": LEARNED, "retention": make_score(0.8)}
    (note,) = second_metric_notes([pair], [7, 8], scores)
    assert note.startswith(
        "quality and chrf.en-uk disagree beyond noise about the gain over the base model: trial 7: "
        "quality +0.05 [+0.03, +0.07], chrf.en-uk -1.2 [-2.04, -0.4], in the opposite direction."
    )
    assert second_metric_notes([pair], [8], scores) == ()
    (alone,) = second_metric_notes([], [7], scores)
    assert alone.startswith("quality has no second metric") and "chrf++" in alone
