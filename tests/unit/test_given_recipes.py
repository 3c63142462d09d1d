"""Recipes that a study gives (`budget.recipes`): how they are written, checked, and trained."""

import pytest
from ledger_factory import SPACE, run
from pydantic import ValidationError
from weights_factory import NAMED, space_of

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


def test_the_allocation_says_which_given_recipes_have_no_trial():
    given = Budget(recipes=[GRID], trials=3, **FIXED)
    lines = BudgetAllocation(given, (), None, 4).lines()
    assert "3 recipes searched (3 of them given)" in lines[0]
    assert lines[1].startswith("1 of the 4 recipes of `budget.recipes` are not trained")
    whole = BudgetAllocation(Budget(recipes=[GRID], **FIXED), (), None, 4)
    assert len(whole.lines()) == 1


WRONG_VALUES = {
    "none": ({"parallel_size": []}, r"`recipes` 2: parallel_size has no value"),
    "a truth value": ({"parallel_size": True}, r"`recipes` 2: parallel_size is true or false"),
    "one in a list": ({"mono_ratio": [0.5, False]}, r"`recipes` 2: mono_ratio is true or false"),
    "too many": (
        {name: list(range(1, 101)) for name in ("parallel_size", "mono_ratio", "learning_rate")},
        r"`recipes` 2: its lists of values stand for more than 10,000 recipes",
    ),
}


@pytest.mark.parametrize(("given", "text"), WRONG_VALUES.values(), ids=WRONG_VALUES)
def test_lists_that_stand_for_no_recipes_or_too_many(given, text):
    with pytest.raises(ValidationError, match=text):
        Budget(recipes=[FOUR[0], given], trials=3)


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


SHARE_CASES = {
    "the rest is 0": ({"web": 1.0}, (1.0, 0.0, 0.0)),
    "by hand": ({"web": 0.33, "news": 0.33, "books": 0.34}, (0.33, 0.33, 0.34)),
    "in proportion": ({"web": 3, "news": 1, "books": 0}, (0.75, 0.25, 0.0)),
    "some, not all": ({"web": 0.5, "news": 0.2}, r"together 0.7, .*\(weight.books\), .* must be 1"),
    "all 0": ({"web": 0, "news": 0, "books": 0}, "all are 0; one must be above 0"),
    "one, 0": ({"web": 0}, "all are 0"),
}


@pytest.mark.parametrize(("given", "expected"), SHARE_CASES.values(), ids=SHARE_CASES)
def test_shares_of_a_given_recipe(tmp_path, given, expected):
    space = space_of(tmp_path)
    weights = {f"weight.{name}": value for name, value in given.items()}
    recipe = {"parallel_size": 100, "mono_ratio": 1.0, **weights}
    if isinstance(expected, str):
        with pytest.raises(ConfigError, match=f"`budget.recipes` 1: .*{expected}"):
            given_points(space, [recipe])
        return
    (found,) = given_points(space, [recipe])
    assert tuple(found[name] for name in NAMED) == pytest.approx(expected)
