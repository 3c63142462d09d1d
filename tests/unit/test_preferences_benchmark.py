"""The benchmark of preferences: regret by hand, and a row of its table."""

import numpy as np
import pytest
import search_factory  # noqa: F401  (finds the benchmark's modules)
from preferences import FLOORS, Case, Regret, _row, arguments, preferences
from search_tables import from_rows

from mtray.analysis.preference import Utility

FLOOR = Utility(np.ones(2), np.ones(2), np.array([-np.inf, 0.5]))
ROWS = [
    {"config": i, "fidelity": 1, "cost": 1, "p_x": x, "max_quality": x, "max_retention": 1 - x}
    for i, x in enumerate((0.1, 0.4, 0.9))
]


@pytest.mark.parametrize(
    "values, regret",
    [([1.0, 0.5], 0), ([0.4, 0.6], 0.5), ([2.0, 0.4], 0.1), ([0.5, 0.3], 0.7 + 0.2)],
)
def test_a_regret_by_hand(values, regret):
    """The best that reaches the floor is worth 1.5; what misses it is not better for being worth
    more."""
    assert Regret(FLOOR, np.ones(2), 1.5)(np.array([values])) == pytest.approx([regret])


def test_the_best_of_the_front_that_reaches_the_floor():
    case = Case(from_rows("made up", ROWS), np.array([0.0, 1.0]))
    assert case.anchors.tolist() == [[0.0, 1.0]]
    found = Regret.of(case, Utility(np.ones(2), np.ones(2), np.array([-np.inf, 0.5])))
    assert found.scale == pytest.approx([0.9, 0.9])
    assert found(np.array([[0.1, 0.9], [0.4, 0.6]])) == pytest.approx([0, 0])
    # 4:1 are weights of 1.6 and .4, and .4 of quality the most that keeps .5
    sharp = Regret.of(case, Utility(*np.array([[4.0, 1.0]] * 2), FLOOR.floors))
    assert sharp(np.array([[0.1, 0.9]])) == pytest.approx([(1.6 * 0.3 - 0.4 * 0.3) / 0.9])


def test_the_preferences_are_of_the_problem():
    for name in FLOORS:
        assert len(preferences(name)) == 3
    assert arguments([]).seeds == 20


def test_a_row_is_paired():
    found = {("a", 10.0, False): [(1.0, 0.5), (3.0, 0.5)], ("a", 10.0, True): [(0.5, 0.5)] * 2}
    row = _row("a", 10.0, found)
    assert (row["without"][0], row["with"][0], row["gain"][0]) == (2, 0.5, 1.5)
    assert row["tried_gain"] == (0, 0, 0)
