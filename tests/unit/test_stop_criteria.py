"""When a sweep has had enough."""

import pytest
from records_factory import make_failed, make_record, make_run, make_study

from mtray.schema import Budget, Preference, Recipe, Resources
from mtray.search.strategy.stop_criteria import (
    device_hours,
    enough,
    hypervolume_course,
    hypervolume_now,
    last_gain,
    outer,
    stalled,
)

BASELINES = [
    make_record(-1, 0.4, 1.0, "base"),
    make_record(0, 0.6, 0.5, "parallel_only"),
]


def searched(*points):
    return [
        make_record(n, quality, retention, finished=f"2026-01-01T00:{n:02d}:00+0000")
        for n, (quality, retention) in enumerate(points, 1)
    ]


def test_the_course_never_falls_and_does_not_hang_on_the_order_of_rows():
    records = BASELINES + searched((0.5, 0.9), (0.45, 0.6), (0.58, 0.8), (0.5, 0.9))
    course = hypervolume_course(records, make_study())
    assert len(course) == 5
    assert course == sorted(course) and course[0] < course[1] == course[2] < course[3] == course[4]
    assert hypervolume_course(records[::-1], make_study()) == course
    assert hypervolume_course([make_failed(3)], make_study()) == []


@pytest.mark.parametrize(
    "course, patience, expected",
    [([1.0, 1.0, 1.0], 2, True), ([1.0, 1.0], 2, False), ([1.0, 1.1, 1.1, 1.1], 2, True),
     ([1.0, 1.0, 1.1], 2, False), ([], 2, False), ([1.0, 1.0, 1.0005], 2, True)],
)  # fmt: skip
def test_stalled(course, patience, expected):
    assert stalled(course, patience) is expected


def test_device_hours_count_the_devices_that_a_trial_holds():
    records = [make_record(0, seconds={"total": 1800.0}), make_record(1, seconds={"load": 900.0})]
    assert device_hours(records, Resources()) == pytest.approx(0.75)
    assert device_hours(records, Resources(workers=2, gpus_per_worker=4)) == pytest.approx(6)


@pytest.mark.parametrize(
    "seconds, hours",
    [
        ({"training": 1800.0, "waiting": 7200.0}, 0.5),
        ({"training": 1800.0, "waiting": 7200.0, "total": 3600.0}, 1),
        ({"training": 1800.0, "lost": 1800.0, "total": 3600.0}, 1),  # that was spent, too
    ],
)
def test_device_hours_do_not_count_what_a_trial_waits_for_them(seconds, hours):
    failed = make_failed(1).model_copy(update={"seconds": seconds})
    for record in (make_record(0, seconds=seconds), failed):
        assert device_hours([record], Resources()) == pytest.approx(hours)


def test_enough_says_why():
    records = BASELINES + searched((0.5, 0.9), (0.45, 0.6), (0.45, 0.6))
    assert enough(records, make_study()) is None
    patient = make_study(budget=Budget(patience=2))
    assert "the last 2 trials gained no hypervolume" in enough(records, patient)
    assert enough(records[:-1], patient) is None
    spent = sum(r.total_seconds for r in records) / 3600
    assert enough(records, make_study(budget=Budget(device_hours=spent * 1.01))) is None
    assert "budget.device_hours" in enough(records, make_study(budget=Budget(device_hours=spent)))


PATIENT = Budget(patience=2)
NEAR, FAR = (0.55, 0.7), (0.5, 0.6)


@pytest.mark.parametrize(
    "floor, points, ends",
    [
        (None, [NEAR, (0.59, 0.55), FAR], False),  # a gain of the whole front
        (0.8, [(0.5, 0.85), (0.59, 0.55), FAR], True),  # but of no part that is preferred
        (0.8, [(0.5, 0.85), (0.53, 0.82), FAR], False),
        (0.8, [(0.5, 0.85), (0.45, 0.9), FAR], False),
        (0.99, [NEAR, (0.5, 0.75), FAR], False),  # nearer to a limit that none reaches
        (0.99, [NEAR, (0.59, 0.65), FAR], True),
        (0.8, [NEAR, (0.5, 0.8), FAR], False),  # the first on it
    ],
)
def test_patience_is_for_the_preferred_part_of_the_front(floor, points, ends):
    records = BASELINES + searched(*points)
    prefer = {} if floor is None else {"retention": Preference(at_least=floor)}
    said = enough(records, make_study(budget=PATIENT, prefer=prefer))
    assert (said is not None) is ends, said
    assert said is None or "in what `prefer` asks for" in said


def test_a_model_at_another_alpha_is_no_trial():
    """It took no training of its own, and is no trial without gain either."""
    records = BASELINES + searched((0.5, 0.9))
    half = Recipe(parallel_size=2000, reversion_alpha=0.5)
    other = make_record(1_000_001, 0.9, 0.9, recipe=half, trained_as=1, seconds={"total": 9e9})
    assert hypervolume_course([*records, other], make_study()) == hypervolume_course(
        records, make_study()
    )
    assert device_hours([*records, other], Resources()) == device_hours(records, Resources())


@pytest.mark.parametrize("patience", [1, 2, 3, 4])
def test_the_last_gain_is_that_of_the_whole_course(patience):
    records = BASELINES + searched((0.5, 0.9), (0.45, 0.6), (0.58, 0.8))
    course = hypervolume_course(records, make_study())
    expected = (course[-patience - 1], course[-1]) if len(course) > patience else None
    assert last_gain(records, make_study(), patience) == expected
    assert last_gain([], make_study(), patience) is None


def test_the_outer_records_have_the_hypervolume_of_all():
    study, kept = make_study(), []
    for record in [*make_run(60, seed=4), make_record(3, 0.1, 0.1, replicate=1, of=2)]:
        kept = outer([*kept, record], study)
    found = hypervolume_now(make_run(60, seed=4), study)
    assert hypervolume_now(kept, study) == pytest.approx(found) and len(kept) < 30
    without = [r for r in make_run(20) if r.role == "search"]
    assert outer(without, study) == [r for r in without if r.state == "complete"]
