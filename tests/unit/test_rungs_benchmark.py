"""The benchmark of early stopping: its rules, its problems and what it measures, on made-up
recipes."""

from dataclasses import replace

import numpy as np
import pytest
from test_search_recipes import SPACE, row, table

from mtray.schema import Estimate
from mtray.search.early_stopping.rungs import Point

import rungs  # isort: skip
from rungs_measure import Case, lost_points, measured, own, row_of  # isort: skip
from rungs_policy import Recorded, Recorder, Stopping  # isort: skip
from rungs_prediction import classes, cost_lines, hopeless_rows, prediction_lines  # isort: skip
from rungs_problems import surface_problem, table_problem  # isort: skip
from rungs_rules import BASIC, Dominated, Halving, Oracle, ParetoHalving, pareto_order  # isort: skip
from search_clock import Ended, simulate  # isort: skip
from search_policy import Policy  # isort: skip

OBJECTIVES = {"quality": "max", "retention": "max"}


def points(values, error=0.0):
    return [
        Point(i, {n: Estimate(value=v, error=error) for n, v in zip(OBJECTIVES, pair, strict=True)})
        for i, pair in enumerate(values)
    ]


LINE = [(0.1 * i, 0.1 * i) for i in range(1, 9)]  # the eighth is the best in both
TRADE = [(0.1 * i, 1 - 0.1 * i) for i in range(1, 9)]  # all are on the front
# rule, fidelity, the trial's values, the others' values and errors -> it ends
JUDGED = [
    (Dominated(), 1, (0, 0), LINE, 0.0, True),
    (Dominated(), 0, (0, 0), LINE, 0.0, False),  # the first rung never ends a trial ..
    (Dominated(first=True), 0, (0, 0), LINE, 0.0, True),  # .. unless asked to
    (Dominated(), 1, (0.45, 0.45), LINE, 0.5, False),  # within the errors
    (Dominated(BASIC.model_copy(update={"margin": 0.0})), 1, (0.35, 0.35), LINE, 0.5, True),
    (Dominated(), 1, (0.05, 1.0), TRADE, 0.0, False),  # the best retention
    (Halving(4), 0, (0.62, 9), LINE, 0.0, True),  # the quantile is .625
    (Halving(4), 0, (0.63, 0), LINE, 0.0, False),
    (Halving(4), 0, (0.95, 0), LINE, 0.0, False),
    (Halving(4, (0,)), 1, (0, 0), LINE, 0.0, False),  # only at its own rung
    (Halving(2), 1, (0.35, 9), LINE, 0.0, True),
    (Halving(2), 1, (0.35, 9), [], 0.0, False),
    (ParetoHalving(2), 0, (0.35, 9), LINE, 0.0, False),  # the best in the other
    (ParetoHalving(2), 0, (0.35, 0.35), LINE, 0.0, True),
    (ParetoHalving(4), 0, (0, 0), LINE[:2], 0.0, False),  # too few to leave out three of four
]


@pytest.mark.parametrize("rule, fidelity, mine, others, error, ends", JUDGED)
def test_what_rules_end(rule, fidelity, mine, others, error, ends):
    first, *rest = points([mine, *others], error)
    assert rule.judge(fidelity, first, rest, OBJECTIVES)[0] is ends


def test_the_order_of_fronts_and_in_a_front_the_far_ones_first():
    values = np.array([(0.0, 0.0), (1.0, 0.0), (0.9, 0.1), (0.0, 1.0), (-1.0, -1.0)])
    assert pareto_order(values) == [1, 3, 2, 0, 4]


def test_one_who_knows_the_end_ends_what_another_dominates_there_whatever_it_measures():
    ends = {0: np.array([0.5, 0.5]), 1: np.array([0.4, 0.4]), 2: np.array([0.3, 0.9])}
    oracle = Oracle(lambda number: ends[number])
    mine = points([(0, 0), (9, 9), (0, 0)])
    assert [oracle.judge(0, p, (), OBJECTIVES)[0] for p in mine] == [False, True, False]
    always = replace(mine[1], may_end=False)
    assert not oracle.judge(0, always, (), OBJECTIVES)[0], "a baseline"


COSTS = [
    # rungs 2 and 3 s, loading 1, training 10, evaluation 5: costs by fidelity; the steps' share at
    # the last rung
    ({}, [1 + 2.5 + 2, 1 + 5 + 5, 16 + 5], 0.5),
    ({"rungs": (0,)}, [1 + 2.5 + 2, 16 + 2], 0.25),
    ({"rungs": (1,)}, [1 + 5 + 3, 16 + 3], 0.5),
    ({"rungs": (1,), "fewer": 0.5}, [1 + 5 + 1.5, 16 + 1.5], None),
    ({"rung_share": 0.0}, [1 + 2.5, 1 + 5, 16], 0.5),
]


@pytest.mark.parametrize("changes, costs, share", COSTS)
def test_rungs_are_paid_for_and_the_search_s_unit_stays(changes, costs, share):
    rows = table()
    rows.append(row(50, 1000, mono=0.5))
    of = table_problem(rows, SPACE, **changes)
    assert [of.problem.cost(50, k) for k in range(len(costs))] == pytest.approx(costs)
    assert of.problem.alone(50) == 16 and of.holds(50) and not of.holds(1)
    assert of.problem.unit == pytest.approx(table_problem(rows, SPACE).problem.unit)
    assert of.key_of(of.problem.row(50)) == 50
    last = len(costs) - 1
    assert of.problem.truth(50, last) == pytest.approx([3, 2])
    if share:
        assert of.problem.truth(50, last - 1) == pytest.approx([3 * share, 5 - 3 * share])
    halved = table_problem(rows, SPACE, rung_share=0.5)
    assert halved.problem.cost(50, 2) == pytest.approx(16 + 0.5 * of.problem.unit)


def test_fewer_segments_add_the_noise_of_those_left_out():
    of = table_problem(table(), SPACE, fewer=0.5)
    draws = [of.problem.observe(2, 0, np.random.default_rng(i)) for i in range(400)]
    assert np.std(draws, axis=0) == pytest.approx([0.1, 0.1], rel=0.15), "a variance of .01 more"
    assert of.errors(2, 0) == pytest.approx([0.04**0.5 * 2**0.5] * 2)
    assert np.ptp([of.problem.observe(2, 2, np.random.default_rng(i)) for i in range(5)]) > 0


class InOrder(Policy):
    """The rows in their order; remembers what it was told."""

    def __init__(self, of):
        self._keys, self._of, self.told = [0, *range(2, 8)], of, {}

    def ask(self, number):
        return self._of.problem.row(self._keys[number % len(self._keys)])

    def tell(self, number, values, complete, cost):
        self.told[number] = values, complete, cost


class EndsLast(Dominated):
    """Ends the trial 2 at the second rung."""

    def judge(self, fidelity, mine, others, objectives):
        return mine.number in (0, 2) and fidelity == 1, (1,)


def test_an_ended_trial_is_told_what_it_would_have_come_to_and_is_counted():
    rows = table()
    of = table_problem(rows, SPACE)
    search = InOrder(of)
    policy = Stopping(of, search, EndsLast())
    ended = simulate(of.problem, policy, 1, workers=1, budget=4)
    assert [e.complete for e in ended] == [True, True, False], "a baseline never ends"
    first, gain = of.problem.truth(2, 2), of.problem.truth(2, 2) - of.problem.truth(2, 1)
    assert search.told[2][0] == pytest.approx(of.problem.truth(3, 1) + gain)
    assert search.told[1][0] == pytest.approx(first) and search.told[2][1], "as if complete"
    assert policy.spending.stopped == [3]
    alone, spent = of.problem.alone(3), of.problem.cost(3, 1)
    assert policy.spending.saved == pytest.approx(alone - spent)
    assert policy.spending.rungs == pytest.approx(5.0 * (len(ended) - 1))


def test_a_recorded_search_repeats_itself_and_then_goes_on_at_random():
    of = table_problem(table(12), SPACE)
    recorder = Recorder(InOrder(of))
    first = simulate(of.problem, recorder, 1, 2, 3)
    again = simulate(of.problem, Recorded(of.problem, recorder.suggested, 1), 1, 2, 3)
    assert [(e.key, e.cost) for e in first] == [(e.key, e.cost) for e in again]
    more = simulate(of.problem, Recorded(of.problem, recorder.suggested[:2], 1), 1, 2, 20)
    assert len(more) > 2 and len({e.key for e in more}) == len(more)


def test_points_lost_are_those_that_no_complete_trial_dominates():
    of = table_problem([*table(), row(40, 200), row(41, 200, quality=0.1, retention=0.1)], SPACE)
    values = np.zeros(2)
    ended = [Ended(0, 2, 1, values, True), Ended(1, 40, 1, values, False),
             Ended(2, 41, 1, values, False)]  # fmt: skip
    assert lost_points(of.problem, ended) == 1
    assert lost_points(of.problem, ended[:1]) == 0 and lost_points(of.problem, ended[1:]) == 2


def test_a_line_has_differences_to_the_search_without_rungs():
    of = table_problem(table(20), SPACE)
    cases = [Case("no rungs", lambda: of, how="random"),
             replace(own("rungs", lambda: of), how="random")]  # fmt: skip
    plain, other = (measured(case, (1, 2), 2, 6) for case in cases)
    assert plain["rungs"] == [0, 0] and min(other["rungs"]) > 0
    assert row_of(cases[0], plain, plain).startswith("| no rungs | 0.")
    found = row_of(cases[1], other, plain).split(" | ")
    difference = np.mean(np.subtract(other["auc"], plain["auc"]))
    assert found[1].startswith(f"{difference:+.3f} [") and len(found) == 7


def test_the_classes_of_recipes_by_their_ends():
    ends = np.array([(1.0, 1.0), (0.95, 0.95), (0.0, 0.0), (0.8, 0.8)])
    front, near, far = classes(ends, np.array([0.1, 0.1]))
    assert front.tolist() == [True, False, False, False]
    assert near.tolist() == [True, True, False, False]
    assert far.tolist() == [False, False, True, False]


def test_of_mostly_hopeless_recipes_a_third_is_near_the_front():
    bad = [row(40 + i, 500 + i, quality=-5.0, retention=-5.0) for i in range(8)]
    middle = row(60, 600, quality=2.55, retention=2.05)  # neither far from the front nor near it
    found = [r["number"] for r in hopeless_rows([*table(3), *bad, middle], SPACE)]
    assert found == [0, 2, 3, 4, *range(40, 48)]


def test_the_tables_on_prediction_and_cost():
    text = "\n".join([*prediction_lines(table(9), SPACE), *cost_lines(table(9))])
    assert "| rung 2 | 1.00 [1.00, 1.00] |" in text  # made-up rungs rank as the end does
    # the training takes 28 s on average, the evaluation 5; a rung at 50 % 3 s
    assert "the rungs 2.0 [2.0, 2.0] and 3.0 [3.0, 3.0]" in text


def test_the_wide_surface_has_the_same_shape_and_a_front_of_its_own():
    wide, narrow = surface_problem(10.0, 5.0).problem, surface_problem(1.0, 5.0).problem
    low, high = (getattr(wide.distributions["learning_rate"], n) for n in ("low", "high"))
    assert (low, high) == (pytest.approx(1e-5), pytest.approx(2e-2))
    assert wide.share_of_front(narrow.front) == pytest.approx(1, abs=0.02)
    assert wide.share_of_front(narrow.front[:1]) < 0.9
    key = tuple(wide.references[0].items())
    assert wide.cost(key, 2) - wide.alone(key) == 10, "two rungs of 5 s"
    assert wide.alone(key) == 15 + 20 + 0.1 * 4096


def test_the_command_prints_a_table(capsys):
    assert rungs.main(["--tables", "cost"]) == 0
    assert "seconds of a core, means over 302 recipes" in capsys.readouterr().out
