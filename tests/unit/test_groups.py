"""Trials of one recipe as one point."""

from pathlib import Path

import numpy as np
import pytest
from records_factory import make_baselines, make_failed, make_record, make_score, make_study

from mtray.analysis.pareto import Z95
from mtray.analysis.seeds import SeedVariance
from mtray.report.draws import write_draws
from mtray.report.export import front_rows, read_front
from mtray.report.front import build_front
from mtray.report.groups import add_luck, group_trials, mean_records, mean_score, segment_draws
from mtray.report.records import write_record
from mtray.schema import Recipe

A, B, C = (Recipe(parallel_size=n) for n in (100, 200, 400))


def repeat(original, number, replicate, quality, retention=None):
    """A replicate of a record."""
    kept = original.objectives["retention"].value if retention is None else retention
    return make_record(
        number, quality, kept, original.role, recipe=original.recipe, seed=1 + replicate,
        replicate=replicate, of=original.number,
    )  # fmt: skip


def test_trials_of_a_recipe_are_one_group_by_their_role():
    first = make_record(2, recipe=A)
    records = [repeat(first, 9, 1, 0.5), make_record(3, recipe=B), first, repeat(first, 7, 2, 0.5)]
    groups = group_trials([*records, make_record(0, recipe=A, role="parallel_only")])
    assert [[t.number for t in g.trials] for g in groups] == [[0], [2, 7, 9], [3]]
    assert [g.original.number for g in groups] == [0, 2, 3]


def test_a_replicate_whose_original_failed_stands_for_it():
    first = make_record(2, recipe=A)
    groups = group_trials([repeat(first, 7, 1, 0.5), repeat(first, 9, 2, 0.7)])
    assert groups[0].original.number == 7
    assert mean_records(groups)[0].objectives["quality"].value == pytest.approx(0.6)


def test_a_trial_run_twice_with_one_seed_is_no_second_sample():
    one, again = make_record(2, 0.6, recipe=A), make_record(5, 0.6, recipe=A)
    other = repeat(one, 7, 1, 0.7)
    (group,) = group_trials([one, again, other])
    assert [t.number for t in group.seeds] == [2, 7]
    front = build_front([one, again, other], make_study(), Path("run"))
    assert (front.points[0].trials, front.points[0].replicates) == ((2, 5, 7), 2)
    assert front.points[0].objectives["quality"].value == pytest.approx(0.65)


def test_a_mean_by_hand():
    # segments' half widths of 0.02 on average, the seeds' of one trial 0.06, the mean of two
    scores = [make_score(0.60, 0.01), make_score(0.62, 0.03)]
    found = mean_score("quality", scores, 0.06)
    half = (0.02**2 + 0.06**2 / 2) ** 0.5
    assert found.value == pytest.approx(0.61)
    assert (found.low, found.high) == pytest.approx((0.61 - half, 0.61 + half))
    assert found.n == 200 and found.signature == "made-up|1|seeds:2"


def test_without_replicates_nothing_changes():
    records = [*make_baselines(), make_record(2, recipe=A), make_record(3, recipe=B)]
    means = mean_records(group_trials(records))
    assert [m.objectives for m in means] == [r.objectives for r in records]
    assert [m.scores for m in means] == [r.scores for r in records]
    front = build_front(records, make_study(), Path("run"))
    assert {p.replicates for p in front.points} == {1}
    assert front.objectives[0].seed_deviation is None
    assert "No recipe was trained with a second seed" in " ".join(front.notes)


def test_one_repeated_recipe_widens_all_intervals_but_the_untouched_models():
    records = [*make_baselines(), make_record(2, 0.6, recipe=A), make_record(3, 0.6, recipe=B)]
    plain = build_front(records, make_study(), Path("run"))
    repeated = [*records, repeat(records[3], 9, 1, 0.63), repeat(records[3], 10, 2, 0.60)]
    front = build_front(repeated, make_study(), Path("run"))
    assert front.point(2).trials == (2, 9, 10) and front.point(2).replicates == 3
    assert front.point(2).objectives["quality"].value == pytest.approx(0.61)

    def width(found, number, name="quality"):
        score = found.point(number).objectives[name]
        return score.high - score.low

    assert front.point(-1).objectives == plain.point(-1).objectives
    assert front.point(-1).scores == plain.point(-1).scores
    for number in (0, 1, 3):
        assert width(front, number) > width(plain, number)
    assert width(front, 2) < width(front, 3), "its mean is surer than a single trial"
    assert front.objectives[0].seed_deviation == pytest.approx(0.03 / 3**0.5)
    note = next(n for n in front.notes if "more than one seed" in n)
    assert "1 of 5 recipes" in note and "2 degrees of freedom" in note


def test_retention_is_never_above_1():
    first = make_record(2, 0.6, 0.99, recipe=A)
    front = build_front([first, repeat(first, 3, 1, 0.6, 0.95)], make_study(), Path("run"))
    point = front.points[0]
    assert point.objectives["retention"].high == point.scores["retention.animacy"].high == 1.0
    moved = add_luck(
        np.full((400, 1, 2), 0.99), group_trials([first]),
        SeedVariance(np.array([0.1, 0.1]) ** 2, 5), ["quality", "retention"],
    )  # fmt: skip
    assert moved[:, 0, 0].max() > 1 and moved[:, 0, 1].max() == 1


def test_the_front_is_of_means_and_not_of_the_luckiest():
    lucky = make_record(2, 0.70, 0.7, recipe=A)
    sound = make_record(3, 0.66, 0.7, recipe=B)
    assert build_front([lucky, sound], make_study(), Path("run")).front == (2,)
    unlucky = repeat(lucky, 4, 1, 0.60)
    front = build_front([lucky, sound, unlucky], make_study(), Path("run"))
    assert front.front == (3,)
    assert [p.number for p in front.points] == [2, 3]
    assert (front.searched, front.trials) == (2, 3)


def test_rows_name_the_trials():
    first = make_record(2, recipe=A)
    records = [first, repeat(first, 7, 1, 0.5), make_record(3, recipe=B), make_failed(8)]
    rows = front_rows(build_front(records, make_study(), Path("run")))
    found = [(r["number"], r["replicates"], r["trials"]) for r in rows]
    assert found == [(2, 2, "2 7"), (3, 1, "3")]


def test_the_order_of_records_does_not_matter():
    first = make_record(2, recipe=A)
    records = [*make_baselines(), first, make_record(3, recipe=B), repeat(first, 7, 1, 0.5)]
    records += [repeat(records[1], 8, 1, 0.6), repeat(first, 9, 2, 0.55)]
    forward = build_front(records, make_study(), Path("run"))
    assert forward == build_front(records[::-1], make_study(), Path("run"))


def test_segments_are_averaged_over_seeds():
    first = make_record(2, recipe=A)
    complete = [first, make_record(3, recipe=B), repeat(first, 7, 1, 0.5)]
    draws = np.arange(24, dtype=float).reshape(4, 3, 2)
    found = segment_draws(draws, complete, group_trials(complete))
    np.testing.assert_array_equal(found[:, 0], (draws[:, 0] + draws[:, 2]) / 2)
    np.testing.assert_array_equal(found[:, 1], draws[:, 1])


def write_sampled(run_dir, record, segments, rng):
    """A record and its paired draws, whose spread over segments all trials share."""
    write_record(run_dir, record)
    draws = {
        name: record.objectives[name].value + segments + rng.normal(0, 0.0005, len(segments))
        for name in ("quality", "retention")
    }
    write_draws(run_dir, record.number, draws)


def test_luck_blurs_the_front_where_draws_are_paired(tmp_path):
    """On the same segments C is sure to be better than B in all; over seeds it is not."""
    rng = np.random.default_rng(0)
    segments = rng.normal(0, 0.01, 500)
    b, c = make_record(2, 0.600, 0.700, recipe=B), make_record(3, 0.606, 0.706, recipe=C)
    for record in (b, c):
        write_sampled(tmp_path, record, segments, rng)
    sure = read_front(tmp_path, make_study())
    assert [p.p_front for p in sure.points] == [0.0, 1.0]
    other = make_record(4, 0.5, 0.5, recipe=A)
    for record in (other, repeat(other, 5, 1, 0.52, 0.48), repeat(other, 6, 2, 0.48, 0.52)):
        write_sampled(tmp_path, record, segments, rng)
    blurred = read_front(tmp_path, make_study())
    assert 0.2 < blurred.point(2).p_front < 0.8
    assert blurred.point(4).p_front < 0.1


def test_intervals_of_points_cover_segments_and_seeds():
    """True values known: the share of 95 % intervals that hold them, of points with one seed and of
    means over three."""
    rng, held = np.random.default_rng(1), {1: [], 3: []}
    for _ in range(300):
        test_set = rng.normal(0, 0.01)
        records, number = [], 0
        for recipe, count in ((A, 3), (B, 3), (C, 1)):
            for k in range(count):
                value = 0.6 + test_set + rng.normal(0, 0.01)
                records.append(
                    make_record(number, value, 0.7, half=Z95 * 0.01, recipe=recipe, seed=k)
                )
                number += 1
        for mean, count in zip(mean_records(group_trials(records)), (3, 3, 1), strict=True):
            score = mean.objectives["quality"]
            held[count].append(score.low <= 0.6 <= score.high)
    assert np.mean(held[1]) == pytest.approx(0.96, abs=0.03)
    assert np.mean(held[3]) == pytest.approx(0.96, abs=0.03)
