"""`import mtray`: frames, a figure, predictions and translations of a run, and its notebook."""

import inspect
import json
import typing
from pathlib import Path

import pandas as pd
import pytest
from fresh_process import modules_after
from kept_outputs_factory import study_of_sets, write_answers
from records_factory import make_failed, make_study
from surface_factory import SPACE, make_run, write_made_up

import mtray
from mtray.api.sweeping import parsed
from mtray.cli import main
from mtray.errors import ConfigError, RunError
from mtray.report.export import read_front
from mtray.report.records import write_record
from mtray.search.ledger.run_folder import bind
from mtray.sweep_command import arguments

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "docs" / "example.ipynb"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run with enough recipes for predictions, of which the base model, trial 2 and trial 3 have
    kept their outputs; trial 99 failed."""
    top = tmp_path_factory.mktemp("api")
    found = write_made_up(top / "runs" / "tatoeba-en-uk", make_run(), study_of_sets(top))
    for number, dropped in {-1: 3, 2: 1, 3: 0}.items():
        write_answers(found, number, dropped)
    write_record(found, make_failed(99))
    return found


@pytest.fixture(scope="module")
def run(folder):
    return mtray.open_run(folder)


def test_the_import_is_light():
    heavy = {"ray", "torch", "optuna", "numpy", "pandas", "pydantic", "transformers", "matplotlib"}
    assert not heavy & modules_after("import mtray; mtray.__all__; dir(mtray)")


def test_opening_a_run_starts_neither_ray_nor_torch(folder):
    code = f"import mtray; run = mtray.open_run({str(folder)!r}); run.trials; run.front; run.plot()"
    imported = modules_after(code)
    assert "pandas" in imported and not {"ray", "torch"} & imported


def test_trials_have_a_row_each_with_recipe_and_measures(run):
    trials = run.trials
    assert [*trials.index] == [r.number for r in run.records] and len(trials) == 16
    record = next(r for r in run.records if r.number == 5)
    row = trials.loc[5]
    assert row["parallel_size"] == record.recipe.parallel_size and row["state"] == "complete"
    assert row["quality"] == record.objectives["quality"].value
    assert row["retention.animacy_high"] == record.scores["retention.animacy"].high
    failed = trials.loc[99]
    assert failed["state"] == "failed" and "not finite" in failed["reason"]
    assert pd.isna(failed["quality"]) and trials["of"].isna().all()


def test_the_front_is_that_of_the_files(run, folder):
    front = read_front(folder, run.study, space=run.space)
    assert [*run.front.index] == [*front.front] and run.front["on_front"].all()
    assert run.recipes.loc[front.knee, "knee"] and len(run.recipes) == len(front.points)
    assert run.answer.number == front.answer.number


def test_a_run_without_records_has_frames_without_rows(tmp_path):
    bind(tmp_path, make_study(), SPACE)
    run = mtray.open_run(tmp_path)
    assert len(run.trials) == 0
    with pytest.raises(RunError, match="no trial is complete"):
        _ = run.front


def test_the_plot_is_a_figure_that_notebooks_show(run, tmp_path):
    figure = run.plot()
    assert figure._repr_png_().startswith(b"\x89PNG")
    figure.savefig(tmp_path / "front.svg")
    assert (tmp_path / "front.svg").read_text().startswith("<?xml")


def test_predictions_are_those_of_the_command(run, folder, capsys):
    found = run.predict({"mono_ratio": 1.5, "parallel_size": 2000})
    assert main(["predict", str(folder), "mono_ratio=1.5", "parallel_size=2000", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == found.model_dump(mode="json")
    assert run.predict().recipe["learning_rate"] is not None


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"mono_ratio": 7}, "mono_ratio=7"),
        ({"monoo": 1}, "monoo=1: expected KEY=VALUE with a key that the run varies"),
    ],
)
def test_a_wrong_recipe_is_an_error(run, recipe, message):
    with pytest.raises(ConfigError, match=message):
        run.predict(recipe)


def test_outputs_have_a_row_for_each_segment(run):
    found = run.outputs(2)
    assert len(found) == 60 and set(found["part"]) == {"quality.en-uk", "quality.uk-en"}
    assert [*found["index"][:30]] == [*range(30)]
    assert (found["gain"] == found["score"] - found["other_score"]).all()
    worse = found[found["gain"] > 0]
    assert len(worse) == 20 and (worse["answer"].str.len() > worse["other"].str.len()).all()
    alone = run.outputs("base", part="en-uk")
    assert len(alone) == 30 and "gain" not in alone
    assert "other" in run.outputs(3, 2, part="en-uk")


def test_the_base_model_has_two_names(run):
    assert run.outputs(-1, "none").equals(run.outputs("base", "none"))


def test_a_trial_without_outputs_is_an_error(run):
    with pytest.raises(RunError, match="trial 5 has kept no outputs"):
        run.outputs(5)


def test_a_run_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(RunError, match="no such run folder"):
        mtray.open_run(tmp_path / "none")


def test_sweep_has_every_option_of_the_script():
    other = {"from": "from_runs", "dry_run": "", "debug": ""}  # `check` is the dry run
    named = {other.get(name, name) for name in vars(arguments([]))} - {""}
    assert set(inspect.signature(mtray.sweep).parameters) == named


def test_sweep_passes_its_arguments_on(monkeypatch, folder, tmp_path):
    seen = []

    def run_sweep(args):
        seen.append(args)
        return codes.pop(0)

    codes = [0, 1, 130]
    monkeypatch.setattr("mtray.api.sweeping.run_sweep", run_sweep)
    options = {"runs_dir": folder.parent, "name": folder.name, "trials": 20, "page": False}
    assert mtray.sweep("s.yaml", Path("x.yaml"), from_runs=["a", "b"], **options).path == folder
    (args,) = seen
    assert (args.study, args.space) == (Path("s.yaml"), Path("x.yaml"))
    assert (args.trials, args.page, vars(args)["from"]) == (20, "off", ["a", "b"])
    with pytest.raises(RunError, match="no trial is complete"):
        mtray.sweep(**options)
    with pytest.raises(KeyboardInterrupt):
        mtray.sweep(**options)


@pytest.mark.parametrize("one", ["a", Path("a")])
def test_one_earlier_run_is_no_list_of_letters(one):
    assert vars(parsed({}, one))["from"] == vars(parsed({}, [one]))["from"] == ["a"]


@pytest.mark.parametrize("track", ["mlflow,tensorboard", ["mlflow", "tensorboard"]])
def test_sweep_names_trackers(monkeypatch, folder, track):
    seen = []
    monkeypatch.setattr("mtray.api.sweeping.run_sweep", lambda args: seen.append(args) or 0)
    mtray.sweep(runs_dir=folder.parent, name=folder.name, track=track, mlflow_uri="sqlite:///m")
    assert (seen[0].track, seen[0].mlflow_uri) == ([["mlflow", "tensorboard"]], "sqlite:///m")
    mtray.sweep(runs_dir=folder.parent, name=folder.name)
    assert seen[1].track is None


def test_a_wrong_option_is_no_exit_of_the_process():
    with pytest.raises(ConfigError, match=r"mtray\.sweep: argument --trials: invalid int"):
        parsed({"trials": "many"}, ())


def test_everything_public_is_typed_and_documented():
    for member in (mtray.open_run, mtray.sweep, *public(mtray.Run)):
        assert inspect.getdoc(member)
        assert "return" in typing.get_type_hints(member), member
    assert (ROOT / "mtray" / "py.typed").is_file()


def public(kind):
    for name, member in vars(kind).items():
        if not name.startswith("_"):
            function = getattr(member, "fget", None) or getattr(member, "func", None) or member
            yield function


def test_the_notebook_runs(folder, monkeypatch, capsys):
    """Every cell, in order, in the folder above `runs/`; the last expression is evaluated as a
    notebook does. It has no outputs, so that none can be out of date."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) > 4 and all(not c["outputs"] and c["execution_count"] is None for c in code)
    monkeypatch.chdir(folder.parent.parent)
    names, values = {}, []
    for cell in code:
        *lines, last = "".join(cell["source"]).splitlines()
        exec("\n".join(lines), names)
        values.append(eval(last, names) if is_expression(last) else exec(last, names))
    assert any(hasattr(value, "_repr_png_") for value in values)
    assert sum(isinstance(value, pd.DataFrame) and len(value) > 0 for value in values) > 2


def is_expression(line: str) -> bool:
    try:
        compile(line, "cell", "eval")
    except SyntaxError:
        return False
    return True
