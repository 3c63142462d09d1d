"""What of a budget is kept for repeats and for the confirmation, by hand and by law."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mtray.schema import Budget
from mtray.search.strategy.reserved_trials import (
    ReservedTrials,
    SweepStart,
    reserved_trials,
    settling_total,
)

# trials, baselines, space-filling points, whether the first baseline is to be repeated
BY_HAND = [
    ((14, 4, 4, True), ReservedTrials(1, 3, 1)),
    ((14, 4, 4, False), ReservedTrials(0, 3, 1)),
    ((14, 0, 4, False), ReservedTrials(0, 3, 1)),
    ((6, 4, 4, True), ReservedTrials(0, 0, 0)),  # 2 searched are the least
    ((7, 4, 4, True), ReservedTrials(1, 1, 0)),
    ((10, 4, 4, True), ReservedTrials(1, 1, 0)),  # 5 searched, of which 4 fill the space
    ((11, 4, 4, True), ReservedTrials(1, 1, 1)),
    ((12, 4, 4, True), ReservedTrials(1, 2, 1)),  # 5 searched, one of them suggested
    ((13, 4, 4, True), ReservedTrials(1, 2, 1)),
    ((100, 4, 4, True), ReservedTrials(1, 25, 1)),
    ((2, 0, 0, True), ReservedTrials(0, 0, 0)),
    ((3, 0, 0, True), ReservedTrials(1, 1, 0)),
    ((4, 0, 0, True), ReservedTrials(1, 1, 1)),
]


@pytest.mark.parametrize("asked, found", BY_HAND)
def test_by_hand(asked, found):
    total, *begins = asked
    assert reserved_trials(Budget(), total, SweepStart(*begins)) == found


def test_each_can_be_switched_off():
    begins = SweepStart(4, 4, True)
    assert reserved_trials(Budget(replicate_share=0), 14, begins) == ReservedTrials(0, 0, 1)
    assert reserved_trials(Budget(confirm=0), 14, begins) == ReservedTrials(1, 3, 0)


@given(
    st.integers(1, 400), st.integers(0, 4), st.sampled_from([0, 4]), st.booleans(),
    st.floats(0, 0.5), st.integers(0, 1),
)  # fmt: skip
def test_a_budget_holds_what_is_kept_of_it(
    total, baselines, filling_points, repeatable, share, confirm
):
    budget = Budget(replicate_share=share, confirm=confirm)
    found = reserved_trials(budget, total, SweepStart(baselines, filling_points, repeatable))
    searched = total - baselines - found.repeats - found.confirm
    assert 0 <= found.first <= min(1, found.repeats) and 0 <= found.confirm <= confirm
    if found.repeats:
        assert searched >= 2
    if found.confirm:
        assert searched >= max(2, filling_points + 1)
    more = reserved_trials(budget, total + 1, SweepStart(baselines, filling_points, repeatable))
    assert more.first >= found.first and more.repeats >= found.repeats


# settle, ceiling, trials that the run has already -> the most in all, of a budget of 14
TOTALS = [
    (None, None, 0, 14),
    (None, None, 30, 14),
    (0.95, None, 0, 21),
    (0.95, None, 14, 21),
    (0.95, None, 15, 22),
    (0.95, None, 30, 45),
    (0.95, 40, 30, 40),
    (0.95, 14, 0, 14),
]


@pytest.mark.parametrize("settle, ceiling, already, most", TOTALS)
def test_how_far_settling_goes(settle, ceiling, already, most):
    budget = Budget(trials=14, settle=settle, ceiling=ceiling)
    assert settling_total(budget, already) == most
