"""Runs and spaces that few have: whatever they are, every command shows them or says what is
missing, without a traceback."""

import json
import warnings

import numpy as np
import pytest
from records_factory import make_score, make_study
from surface_factory import SPACE, MadeUp, make_run, write_made_up

from mtray.cli import main
from mtray.report.bootstrap_draws import write_draws
from mtray.search_space.parameters import Choices, FloatRange, IntRange
from mtray.search_space.space import Space

SHOWN = (["front", "--json"], ["predict"], ["explain"])


def changed(run: MadeUp, **fields: object) -> MadeUp:
    """All searched recipes with these values."""
    records = [
        r.model_copy(update={"recipe": r.recipe.model_copy(update=fields)})
        if r.role == "search"
        else r
        for r in run.records
    ]
    return MadeUp(records, run.draws)


def space_with(**parameters: object) -> Space:
    return Space.model_validate({"parameters": {**SPACE.parameters, **parameters}})


LOW = FloatRange(type="float", low=0.1, high=4, log=True)
ADAPTERS = Choices(type="categorical", choices=("lora", "qlora"))
ONE = Choices(type="categorical", choices=("lora",))


@pytest.mark.parametrize(
    "space, fields",
    [
        pytest.param(space_with(mono_ratio=LOW), {"mono_ratio": 0.5}, id="0 off a log scale"),
        pytest.param(space_with(method=ADAPTERS), {"method": "lora"}, id="a choice that is none"),
        pytest.param(space_with(method=ONE), {"method": "lora"}, id="one choice"),
        pytest.param(
            space_with(frozen_layers=IntRange(type="int", low=1, high=1)),
            {"frozen_layers": 1},
            id="one whole number",
        ),
        pytest.param(
            space_with(mono_ratio=FloatRange(type="float", low=1, high=1)),
            {"mono_ratio": 1.0},
            id="one number",
        ),
    ],
)
@pytest.mark.parametrize("command", SHOWN, ids=" ".join)
def test_spaces(tmp_path, capsys, command, space, fields):
    run = write_made_up(tmp_path / "run", changed(make_run(3), **fields), space=space)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        assert main([command[0], str(run), *command[1:]]) == 0
    assert "nan" not in capsys.readouterr().out


def measured_as(run: MadeUp, name: str, base: float, others: float) -> MadeUp:
    """Quality beside an objective that is the same in all trained recipes, without any error."""
    found = [
        r.model_copy(
            update={
                "objectives": {
                    "quality": r.objectives["quality"],
                    name: make_score(base if r.role == "base" else others, 0),
                }
            }
        )
        for r in run.records
    ]

    def draws(number, names):
        value = base if number < 0 else others
        own = {name: np.full(200, value)} if name in names else {}
        return {**run.draws(number, names), **own}

    return MadeUp(found, draws)


@pytest.mark.parametrize("base, others", [(0.0, 0.0), (1.0, 1.0), (0.4, 0.5), (0.3, 0.1)])
def test_an_objective_that_is_the_same_everywhere(tmp_path, capsys, base, others):
    study = make_study(objectives={"quality": "max", "failures.any": "min"})
    run = measured_as(make_run(4), "failures.any", base, others)
    folder = write_made_up(tmp_path / "run", run, study)
    assert main(["front", str(folder)]) == 0
    printed = capsys.readouterr().out
    gain = base - others
    # nothing is unsure about it, and no recipe is better in it than another
    assert f"{gain:+.3f} [{gain:+.3f}, {gain:+.3f}]".replace("-0.000", "+0.000") in (
        printed.replace("-0.000", "+0.000")
    )
    assert main(["predict", str(folder), "--json"]) == 0


def test_a_space_whose_recipes_are_all_trained_has_none_that_is_not(tmp_path, capsys):
    sizes, ratios = (1000, 4000, 10_000), (0.0, 1.0)
    space = Space(
        parameters={
            "parallel_size": Choices(type="categorical", choices=sizes),
            "mono_ratio": Choices(type="categorical", choices=ratios),
        },
        fixed={"learning_rate": 1e-4},
    )
    recipes = (space.recipe({"parallel_size": s, "mono_ratio": m}) for s in sizes for m in ratios)
    run = make_run(6)
    records = [
        r.model_copy(update={"recipe": next(recipes)}) if r.role == "search" else r
        for r in run.records
    ]
    folder = write_made_up(tmp_path / "run", MadeUp(records, run.draws), space=space)
    assert main(["front", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["answer"]["untried"] is None
    assert None not in [point["number"] for point in found["modelled"]]


def test_damaged_draws_are_said(tmp_path, capsys):
    folder = write_made_up(tmp_path / "run", make_run(4))
    (folder / "trials/0003/draws.parquet").write_bytes(b"PAR1 no table")
    assert main(["front", str(folder)]) == 2
    assert "0003/draws.parquet: damaged" in capsys.readouterr().err


@pytest.mark.parametrize("values", [np.full(200, np.nan), np.full(50, 0.6)], ids=["nan", "short"])
def test_draws_that_cannot_be_paired(tmp_path, capsys, values):
    folder = write_made_up(tmp_path / "run", make_run(4))
    write_draws(folder, 3, {"quality": values, "retention": values, "retention.animacy": values})
    assert main(["front", str(folder)]) == 0
    assert "independently of the other trials" in capsys.readouterr().out
