"""Recipes that a study gives (`budget.recipes`): how they are written, checked, and trained."""

import pytest
from ledger_factory import SPACE, run
from pydantic import ValidationError

from mtray.errors import ConfigError
from mtray.schema import Budget, Recipe
from mtray.search.strategy.budget_allocation import BudgetAllocation
from mtray.search_space.given_recipes import given_points

FIXED = {"baselines": "none", "replicate_share": 0, "confirm": 0}
GRID = {"parallel_size": [256, 512], "mono_ratio": [0.0, 1.0], "learning_rate": 0.001}
FOUR = [
    {"parallel_size": size, "mono_ratio": ratio, "learning_rate": 0.001}
    for size in (256, 512)
    for ratio in (0.0, 1.0)
]


def test_a_list_of_values_stands_for_each_of_them():
    budget = Budget(recipes=[GRID, FOUR[0]])
    assert list(budget.recipes) == [*FOUR, FOUR[0]]
    assert budget.trials == 5
    assert Budget.model_validate(budget.model_dump()) == budget
    assert Budget(recipes=[GRID], trials=9).trials == 9
    assert Budget(recipes=[]).trials == Budget().trials == 14


def test_what_is_no_recipe_is_refused_with_its_place():
    with pytest.raises(ValidationError) as caught:
        Budget(recipes=[GRID, 7])
    assert ("recipes", 1) in [error["loc"][:2] for error in caught.value.errors()]


def test_exactly_the_given_recipes_are_trained_in_their_order(tmp_path):
    budget = Budget(recipes=[GRID], **FIXED)
    jobs = run(tmp_path, budget.trials, budget=budget)
    assert [j.recipe for j in jobs] == [Recipe(replay_fraction=0.1, **given) for given in FOUR]
    assert [j.role for j in jobs] == ["search"] * 4
    (tmp_path / "again").mkdir()
    resumed = run(tmp_path / "again", budget.trials, reopen=True, budget=budget)
    assert [j.recipe for j in resumed] == [j.recipe for j in jobs]


def test_a_recipe_that_stands_twice_is_trained_with_another_seed(tmp_path):
    budget = Budget(recipes=[*FOUR[:2], *FOUR[:2]], **FIXED)
    for reopen in (False, True):
        (tmp_path / str(reopen)).mkdir()
        jobs = run(tmp_path / str(reopen), 4, reopen=reopen, budget=budget)
        assert [(j.of, j.replicate, j.seed) for j in jobs] == [
            (None, 0, 1), (None, 0, 1), (0, 1, 2), (1, 1, 2),
        ]  # fmt: skip


def test_a_longer_list_continues_a_run(tmp_path):
    run(tmp_path, 2, budget=Budget(recipes=FOUR[:2], **FIXED))
    jobs = run(tmp_path, 4, budget=Budget(recipes=FOUR, **FIXED))
    assert [j.number for j in jobs] == [2, 3]
    assert [j.recipe.parallel_size for j in jobs] == [512, 512]


def test_with_a_larger_budget_the_search_goes_on(tmp_path):
    jobs = run(tmp_path, 7, budget=Budget(recipes=[GRID], trials=7, **FIXED))
    later = [j.recipe for j in jobs[4:]]
    assert len({*later, *(j.recipe for j in jobs)}) == 7


def test_the_allocation_says_how_many_are_given():
    budget = Budget(recipes=[GRID], trials=6, **FIXED)
    found = BudgetAllocation(budget, (), None, 4)
    assert "6 recipes searched (4 of them given)" in found.text()


CASES = {
    "misspelt": ({"mono": 1.0}, "unknown parameter 'mono'"),
    "fixed": ({"replay_fraction": 0.2}, "replay_fraction is 0.2, but it is fixed at 0.1"),
    "absent": ({"frozen_layers": 2}, "frozen_layers is 2, but it is not in the space"),
    "beyond": ({"parallel_size": 9000}, "parallel_size is 9000; the space has 256 to 8192"),
    "missing": ({"learning_rate": None}, "learning_rate is missing; the space has 0.0002 to"),
    "invalid": ({"mono_ratio": -1.0}, "mono_ratio: Input should be greater than or equal to 0"),
}


@pytest.mark.parametrize(("change", "text"), CASES.values(), ids=CASES)
def test_a_recipe_that_the_space_does_not_contain_is_refused(change, text):
    given = {k: v for k, v in (FOUR[1] | change).items() if v is not None}
    with pytest.raises(ConfigError, match=r"`budget.recipes` 2: ") as caught:
        given_points(SPACE, [FOUR[0], given])
    assert text in str(caught.value)


def test_a_parameter_with_a_default_may_be_left_out():
    given = {"parallel_size": 256, "learning_rate": 0.001, "replay_fraction": 0.1}
    assert given_points(SPACE, [given]) == [
        {"parallel_size": 256, "mono_ratio": 0.0, "learning_rate": 0.001}
    ]
