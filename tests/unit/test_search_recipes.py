"""The recipe table as a problem of the search benchmark, on rows that are made up."""

import json

import numpy as np
import pytest
import search_factory  # noqa: F401  (knows where the benchmarks lie)

from mtray.errors import ConfigError
from mtray.search_space.space import Space

import search  # isort: skip
from search_clock import simulate  # isort: skip
from search_policy import Mtray  # isort: skip
from search_recipes import recipe_problem, recipes  # isort: skip
from table_scores import write_table  # isort: skip

PARAMETERS = {
    "parallel_size": {"type": "int", "low": 100, "high": 10_000, "log": True},
    "mono_ratio": {"type": "float", "low": 0.0, "high": 1.0},
    "learning_rate": {"type": "float", "low": 1e-4, "high": 1e-2, "log": True, "guess": 1e-3},
}
SPACE = Space.model_validate({"parameters": PARAMETERS})


def row(number, size, mono=0.0, rate=1e-3, role="search", **more):
    """Quality rises and retention falls with the logarithm of the size; at rungs both less."""
    found = {
        "number": number, "role": role, "state": "complete", "reason": None, "seed": 1,
        "replicate": 0, "of": None, "recipe.parallel_size": size, "recipe.mono_ratio": mono,
        "recipe.learning_rate": rate, "steps": 8, "rung1/step": 2, "rung2/step": 4,
        "cpu.loading": 1.0, "cpu.training": size / 100, "cpu.rung1": 2.0, "cpu.rung2": 3.0,
        "cpu.evaluating": 5.0, "cpu.total": 11.0 + size / 100, "code": "a", "machine": "m",
    }  # fmt: skip
    for stage, share in (("", 1.0), ("rung1/", 0.25), ("rung2/", 0.5)):
        level = np.log10(max(1, size)) * share
        found |= {f"{stage}quality": level, f"{stage}retention": 5 - level}
        for name in ("quality", "retention"):
            found |= {f"{stage}{name}/variance": 0.04, f"{stage}{name}/paired": 0.01}
    return found | more


def table(points=6):
    """The base model, a baseline within the space and one outside, and points."""
    sizes = np.geomspace(100, 5000, points).round().astype(int).tolist()
    return [
        row(-1, 0, role="base"),
        row(0, 10_000, role="parallel_only"),
        row(1, 10_000, mono=2.0, role="mono_two_to_one"),
        *(row(2 + i, size, mono=0.05 * i) for i, size in enumerate(sizes)),
    ]


def again(first, number, replicate, more):
    """The same recipe with another seed, that much better in quality."""
    seed = {"number": number, "replicate": replicate, "seed": 1 + replicate, "of": first["number"]}
    gained = {f"{s}quality": first[f"{s}quality"] + more for s in ("", "rung1/", "rung2/")}
    return {**first, **seed, **gained}


def test_recipes_within_the_space_are_searched_and_their_own_values_are_true():
    rows = table()
    problem = recipe_problem([*rows, again(rows[3], 8, 1, 0.3), again(rows[1], 9, 1, 0.1)], SPACE)
    assert list(problem.distributions) == [f"p_{name}" for name in PARAMETERS]
    assert problem.distributions["p_parallel_size"].log and problem.senses == ("max", "max")
    assert problem.truth(2, 2) == pytest.approx([2, 3]) and problem.truth(2, 0)[0] == 0.5
    observed = problem.observe(2, 1, np.random.default_rng(1))
    assert observed == pytest.approx([1, 4]), "the first seed's own value at the second rung"
    # quality and retention trade against each other: all of the space is the front
    assert len(problem.front) == 7
    everywhere = {"p_parallel_size": 10_000, "p_mono_ratio": 1.0, "p_learning_rate": 1e-3}
    taken = set()
    while (key := problem.place(everywhere, taken)) is not None:
        taken.add(key)
    assert taken == {0, 2, 3, 4, 5, 6, 7}
    assert problem.references == (
        {"p_parallel_size": 10_000, "p_mono_ratio": 0.0, "p_learning_rate": 1e-3},
    )
    assert problem.guesses == {"p_learning_rate": 1e-3}
    assert problem.row(3) == {
        "p_parallel_size": rows[4]["recipe.parallel_size"],
        "p_mono_ratio": 0.05,
        "p_learning_rate": 1e-3,
    }


def test_costs_are_of_a_core_with_the_rungs_that_were_paid_for():
    problem = recipe_problem(table(), SPACE)
    # 1 s of loading, 100 s of training of which a quarter, then half
    assert [problem.cost(0, k) for k in range(3)] == [28.0, 56.0, 111.0]
    assert problem.alone(0) == 106.0
    sizes = [r["recipe.parallel_size"] for r in (table()[1], *table()[3:])]
    assert problem.unit == pytest.approx(6 + np.mean(sizes) / 100)


def test_errors_are_those_of_seeds_or_else_of_segments():
    rows = table()
    assert recipe_problem(rows, SPACE).errors == pytest.approx(np.full((3, 2), 0.2))
    repeated = [again(rows[3], 8, 1, 0.3), again(rows[3], 9, 2, 0.6), again(rows[1], 10, 1, 0.1)]
    problem = recipe_problem([*rows, *repeated], SPACE)
    # squares: .09 + 0 + .09 of three seeds, .05^2 twice of two
    wanted = np.sqrt((0.18 + 0.005) / 3)
    assert problem.errors[:, 0] == pytest.approx([wanted] * 3)
    assert problem.errors[:, 1] == pytest.approx([0] * 3)
    assert problem.tolerance == pytest.approx([wanted, 0])


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ({}, 3),
        ({"state": "failed", "quality": None}, 2),
        ({"rung1/quality": None, "rung1/step": None}, 2),
        ({"recipe.mono_ratio": 1.5}, 2),
    ],
)
def test_a_part_of_the_table_does_and_what_is_not_whole_is_left_out(change, left):
    rows = table(2)
    problem = recipe_problem([*rows[:-1], {**rows[-1], **change}], SPACE)
    taken = {problem.place(problem.references[0], set(range(k))) for k in range(left)}
    assert len(problem.front) == left and taken


def test_a_table_with_nothing_to_choose_from_is_refused():
    with pytest.raises(ConfigError, match="1 recipes within the space, two are needed"):
        recipe_problem(table()[:3], SPACE)


def test_the_search_is_told_which_recipes_ran():
    rows = table(points=12)
    problem = recipe_problem(rows, SPACE)
    policy = Mtray(problem, 1, "random")
    ended = simulate(problem, policy, 1, workers=2, budget=8)
    told = {tuple(params.values()) for _, params, _, _ in policy._suggester._points.values()}
    there = {tuple(problem.row(r["number"]).values()) for r in rows if r["number"] not in (-1, 1)}
    assert told <= there and len(told) >= len(ended)
    assert policy.params[0] == problem.references[0], "a baseline is itself"


def test_the_recipe_table_is_the_first_problem(tmp_path, capsys):
    path = tmp_path / "recipes.parquet"
    write_table(path, table(), {"space": json.dumps(PARAMETERS)})
    assert recipes(path).truth(0, 2) == pytest.approx([4, 1])
    args = search.arguments(["--recipes", str(path), "--regmix", str(tmp_path / "none")])
    assert search.sources(args) == [f"recipes:{path}", "surface"]
    assert search.problem_of(f"recipes:{path}").name == "recipes of the default study"
    capsys.readouterr()
    absent = search.arguments(["--recipes", str(tmp_path / "no"), "--problems", "recipes"])
    assert search.sources(absent) == []
    assert "the recipe table is not in" in capsys.readouterr().err
