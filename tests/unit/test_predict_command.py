"""`predict` and `explain`, from a run's folder to what is printed."""

import csv
import json

import pytest
from surface_factory import CONDITIONAL, OBJECTIVES, SPACE, make_run, truth, write_made_up

from mtray.cli import main
from mtray.errors import ConfigError
from mtray.report.effects import effects
from mtray.report.effects_text import direction, left_out_lines
from mtray.report.leave_one_out import left_out_errors
from mtray.report.prediction import measure_of, predicted, recipe_near
from mtray.report.surface import modelled
from mtray.schema import Recipe

START = Recipe(parallel_size=500, mono_ratio=0.5, learning_rate=1e-4)


@pytest.fixture(scope="module")
def surface():
    return modelled(make_run(24, noise=0.002).evidence(), SPACE)


@pytest.mark.parametrize(
    "pairs, changed",
    [
        ([], {}),
        (["mono_ratio=1"], {"mono_ratio": 1.0}),
        (
            ["parallel_size=5,000", "learning_rate=2e-4"],
            {"parallel_size": 5000, "learning_rate": 2e-4},
        ),
        (["parallel_size=2000.0"], {"parallel_size": 2000}),
    ],
)
def test_what_is_not_given_is_as_in_the_start(pairs, changed):
    assert recipe_near(pairs, START, SPACE) == START.model_copy(update=changed)


@pytest.mark.parametrize(
    "pair, message",
    [
        ("mono_ratio", "mono_ratio: expected KEY=VALUE with a key that the run varies"),
        ("alpha=1", "alpha=1: expected KEY=VALUE .*parallel_size .100 to 10000, log scale"),
        ("mono_ratio=3", "mono_ratio=3: this run's space has mono_ratio 0 to 2"),
        ("mono_ratio=nan", "mono_ratio=nan: this run's space has mono_ratio 0 to 2"),
        ("parallel_size=150.5", "parallel_size=150.5: expected a whole number, 100 to 10000"),
        ("mono_ratio=1,5", "mono_ratio=1,5: this run's space has"),
        ("mono_ratio=", "mono_ratio=: this run's space has"),
        ("parallel_size=inf", "parallel_size=inf: this run's space has"),
        ("learning_rate=much", "learning_rate=much: this run's space has"),
    ],
)
def test_values_that_the_space_does_not_have(pair, message):
    with pytest.raises(ConfigError, match=message):
        recipe_near([pair], START, SPACE)


def test_what_the_space_does_not_have_stays_as_in_the_start():
    uniform = Recipe(parallel_size=500, learning_rate=1e-4, source_weights="equal")
    assert recipe_near([], uniform, SPACE) == uniform
    assert recipe_near(["mono_ratio=1"], uniform, SPACE).source_weights == "equal"


def test_a_value_that_would_not_be_used_is_refused():
    full = Recipe(parallel_size=500, learning_rate=1e-4)
    with pytest.raises(ConfigError, match="lora_rank=8: it is switched off by method"):
        recipe_near(["lora_rank=8"], full, CONDITIONAL)
    found = recipe_near(["lora_rank=8", "method=lora"], full, CONDITIONAL)
    assert (found.method, found.lora_rank) == ("lora", 8)


def test_a_prediction_is_the_truth_within_its_interval(surface):
    found = predicted(surface, START, OBJECTIVES)
    assert [m.measure for m in found.measures] == ["quality", "retention", "retention.animacy"]
    for measure, true in zip(found.measures, truth(START), strict=False):
        assert measure.low <= true <= measure.high
    assert found.trained is None
    assert [each.role for each in found.against] == ["base", "parallel_only", "uniform"]
    quality, retention = found.against[1].gains
    assert quality.better < 0.05, "parallel only at 20 times the pairs translates better"
    assert retention.better > 0.95, "and keeps less"


def test_a_trained_recipe_is_called_so_and_not_compared_with_itself(surface):
    recipe = surface.evidence.records[0].recipe
    found = predicted(surface, recipe, OBJECTIVES)
    assert found.trained == 0
    assert [each.role for each in found.against] == ["base", "uniform"]


def test_what_matters_is_important(surface):
    quality, retention, _ = effects(surface, SPACE)
    assert quality.effects[0].parameter == "parallel_size"
    assert quality.effects[0].share > 0.8
    shares = {effect.parameter: effect.share for effect in retention.effects}
    assert shares["parallel_size"] > 0.3
    assert shares["mono_ratio"] > 0.15
    assert shares["learning_rate"] < 0.1


def test_curves_go_the_way_of_the_truth(surface):
    quality, retention, _ = effects(surface, SPACE)
    ways = {e.parameter: direction(e) for e in quality.effects}
    assert ways["parallel_size"] == "/"
    assert ways["learning_rate"] == "~"
    by_name = {e.parameter: e for e in retention.effects}
    assert direction(by_name["parallel_size"]) == "\\"
    # averaged over mono in [0, 2): -.2 at the most pairs, times 1 - .8 / 2
    assert by_name["parallel_size"].curve[-1].mean == pytest.approx(-0.12, abs=0.02)
    assert by_name["parallel_size"].curve[0].value == 100
    assert by_name["parallel_size"].curve[-1].value == 10_000


def test_a_surface_that_predicts_better_than_simpler_models_says_nothing(surface):
    found = left_out_errors(surface, "retention")
    assert [left.model for left in found] == ["surface", "constant", "linear"]
    assert found[0].error < found[1].error
    assert found[0].coverage > 0.8
    assert left_out_lines(effects(surface, SPACE)[1:2]) == []


def test_the_commands_print_and_write(tmp_path, capsys):
    run = write_made_up(tmp_path / "run", make_run(10))
    assert main(["predict", str(run), "mono_ratio=1"]) == 0
    printed = capsys.readouterr().out
    assert "mono_ratio 1" in printed
    assert "parameters not given: as in trial" in printed
    assert main(["predict", str(run), "mono_ratio=1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["recipe"]["mono_ratio"] == 1.0
    assert main(["predict", str(run), "mono_ratio=9"]) == 2
    assert "this run's space has mono_ratio 0 to 2" in capsys.readouterr().err
    assert main(["explain", str(run), "--out", str(tmp_path / "out")]) == 0
    assert "parallel_size" in capsys.readouterr().out
    rows = list(csv.DictReader((tmp_path / "out/explain.csv").open()))
    assert {row["parameter"] for row in rows} == set(SPACE.parameters)
    assert (tmp_path / "out/explain.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "out/explain.json").read_text())


@pytest.mark.parametrize(
    "name, expected",
    [
        ("cost.seconds", (2.0, 0.0, 21.6, -8.0, -10.0, 11.6)),
        ("x", (2.0, -17.6, 21.6, -8, -27.6, 11.6)),
    ],
)
def test_no_cost_is_predicted_below_zero(name, expected):
    found = measure_of(name, -8.0, 10.0, 10.0)
    numbers = found.value, found.low, found.high, found.gain, found.gain_low, found.gain_high
    assert numbers == pytest.approx(expected, abs=1e-3)
