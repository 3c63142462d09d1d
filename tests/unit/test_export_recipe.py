"""`export --recipe`: the rows are those of the trial, the folder is written whole, and what cannot
be exported is said."""

import ast
import json
from dataclasses import replace

import numpy as np
import pytest
import yaml
from bound_run import PLAIN, SPACE, drawn
from exported_factory import RECIPE, trained_run

from mtray.cli import main
from mtray.data.store import mixed
from mtray.preparation import prepare
from mtray.report.records import read_record
from mtray.retrain import recorded_job, recorded_sources
from mtray.run_files import result_path
from mtray.schema import Recipe, as_written, study_of
from mtray.search.ledger.run_folder import read_bound
from mtray.search_space.given_recipes import given_points
from mtray.search_space.space import load_space
from mtray.study import load_study
from mtray.training.examples import collate
from mtray.training.loop import example_lengths
from mtray.training.models import load_tokenizer
from mtray.training.schedule import trained_rows
from mtray.trial.job import Job

FILES = {
    "llamafactory": {"dataset_info.json", "train.yaml", "deepspeed.json"},
    "axolotl": {"train.yaml", "deepspeed.json"},
    "trl": {"train.py", "deepspeed.json"},
    "mtray": {"study.yaml", "space.yaml"},
}
COMMANDS = {
    "llamafactory": "llamafactory-cli train train.yaml",
    "axolotl": "axolotl train train.yaml",
    "trl": "python train.py",
    "mtray": "ratio_search.py --study FOLDER/study.yaml",
}


def export(run_dir, tool, out):
    return main(["export", str(run_dir), "--recipe", "0", "--to", tool, str(out)])


def exported(run_dir, tool="trl"):
    """The rows of the file."""
    out = run_dir.parent / tool
    assert export(run_dir, tool, out) == 0
    return [json.loads(line) for line in (out / "train.jsonl").read_text().splitlines()]


def trained_on(run_dir):
    """Ids and labels of every row in the order of training, by what feeds a trial."""
    bound, record = read_bound(run_dir), read_record(result_path(run_dir, 0))
    job, study = recorded_job(record), study_of(record.recipe, as_written(bound.study))
    tokenizer = load_tokenizer(study.model)
    store = recorded_sources(as_written(bound.sources_study), record, job, tokenizer)
    examples, _ = mixed(study, store, job.recipe, job.draw)
    lengths = example_lengths(examples)
    places = trained_rows(lengths, study.training, job.seed, job.recipe.stop_after)
    found = []
    for place in places.tolist():
        ids, labels = collate([examples[place]], "cpu")
        found.append((ids[0].tolist(), labels[0].tolist()))
    return found


RECIPES = {
    "plain": (RECIPE, {}),
    "two and a half epochs": (RECIPE.with_values({"epochs": 2.5}), {}),
    "few-shot": (RECIPE.with_values({"few_shot_share": 0.5}), {}),
    "two directions": (RECIPE.with_values({"direction.en-uk": 0.5, "direction.uk-en": 0.5}), {}),
    "another template": (RECIPE.with_values({"template": "pool"}), {}),
    "short examples": (RECIPE.with_values({"max_length": 60}), {}),
    "stopped": (
        RECIPE.with_values({"stop_after": 0.5, "schedule": "constant", "warmup": 0.0}), {}
    ),
    "batches by tokens": (RECIPE, {"batch_tokens": 500}),
}  # fmt: skip


@pytest.mark.parametrize("case", RECIPES)
def test_the_rows_are_those_of_the_trial_in_their_order(tmp_path, case):
    recipe, settings = RECIPES[case]
    run_dir = trained_run(tmp_path, recipe, **settings)
    rows = exported(run_dir)
    expected = trained_on(run_dir)
    assert len(expected) > 20
    assert [(row["input_ids"], row["labels"]) for row in rows] == expected
    tokenizer = load_tokenizer(read_bound(run_dir).study.model)
    for row in rows:
        text = row["prompt"] + row["target"]
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == row["input_ids"]
        after = [i for i in row["labels"] if i != -100]
        assert tokenizer(row["target"], add_special_tokens=False)["input_ids"] == after
    assert {row["source"] for row in rows} == {"pairs", "mono"}


def test_a_replicate_has_its_own_draw(tmp_path):
    again = replace(PLAIN, seed=3, replicate=2, of=5)
    first, second = trained_run(tmp_path / "a"), trained_run(tmp_path / "b", job=again)
    rows = exported(second)
    assert [(row["input_ids"], row["labels"]) for row in rows] == trained_on(second)
    assert {r["target"] for r in rows} != {r["target"] for r in exported(first)}


@pytest.mark.parametrize("tool", FILES)
def test_the_folder_has_all_files_and_says_how_to_train(tmp_path, capsys, tool):
    run_dir = trained_run(tmp_path)
    out = tmp_path / "out"
    assert export(run_dir, tool, out) == 0
    assert {file.name for file in out.iterdir()} == {"train.jsonl", "README.md", *FILES[tool]}
    assert "to train: " in capsys.readouterr().out
    readme = (out / "README.md").read_text()
    assert "| `learning_rate` | 0.001 |" in readme and "48 in 3 steps" in readme
    assert COMMANDS[tool] in readme
    masks = ["attention_mask" in line for line in (out / "train.jsonl").read_text().splitlines()]
    assert set(masks) == {tool == "axolotl"}


def test_nothing_is_overwritten_and_nothing_is_left_half(tmp_path, capsys, monkeypatch):
    run_dir = trained_run(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("kept")
    assert export(run_dir, "trl", tmp_path / "out") == 2
    assert "not empty" in capsys.readouterr().err
    monkeypatch.setattr("mtray.commands.export_recipe.readme", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        export(run_dir, "trl", tmp_path / "new")
    assert not (tmp_path / "new").exists() and not list(tmp_path.glob(".new*"))


MISTAKES = {
    "another tool": (["--recipe", "0", "--to", "nemo", "OUT"], "--to nemo: expected one of llama"),
    "no tool": (["--recipe", "0"], "are given together"),
    "no trial": (["--to", "trl", "OUT"], "are given together"),
    "no such trial": (["--recipe", "9", "--to", "trl", "OUT"], "trial 9 has no record"),
    "the base model": (["--recipe", "base", "--to", "trl", "OUT"], "base model is not trained"),
    "with a model": (
        ["--recipe", "0", "--to", "trl", "OUT", "--model", "0", "OTHER"], "give one of the two",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def run_of_mistakes(tmp_path_factory):
    return trained_run(tmp_path_factory.mktemp("run"))


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_named(run_of_mistakes, tmp_path, monkeypatch, capsys, case):
    monkeypatch.chdir(tmp_path)
    options, message = MISTAKES[case]
    assert main(["export", str(run_of_mistakes), *options]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_changed_data_is_not_exported(tmp_path, capsys):
    run_dir = trained_run(tmp_path)
    pairs = tmp_path / "pairs.tsv"
    pairs.write_text(pairs.read_text().replace("cab", "cabs"))
    assert export(run_dir, "trl", tmp_path / "out") == 2
    assert "trial 0 cannot be trained again as it was: source 'pairs'" in capsys.readouterr().err


def test_the_study_of_an_export_draws_the_same_rows(tmp_path):
    run_dir = trained_run(tmp_path, RECIPE.with_values({"few_shot_share": 0.5, "epochs": 2}))
    record = read_record(result_path(run_dir, 0))
    assert export(run_dir, "mtray", tmp_path / "out") == 0
    study = load_study(tmp_path / "out" / "study.yaml")
    space = load_space(tmp_path / "out" / "space.yaml", study.defaults, study.sources)
    (point,) = given_points(space, study.budget.recipes)
    recipe = space.recipe(point)
    assert recipe == record.recipe
    assert (study.budget.trials, study.budget.baselines, study.seed) == (1, (), record.seed)
    job = Job(0, "search", recipe, study.seed)
    found = drawn(study, prepare(study, space, sources=study).store, job).mix
    assert [s.digest for s in found.shares] == [s.digest for s in record.mix.shares]


def test_the_other_tools_files_can_be_read(tmp_path):
    run_dir = trained_run(tmp_path, RECIPE.with_values({"frozen_layers": 1}), frozen=(0,))
    for tool in ("llamafactory", "axolotl", "trl"):
        assert export(run_dir, tool, tmp_path / tool) == 0
    info = json.loads((tmp_path / "llamafactory" / "dataset_info.json").read_text())
    assert info["mtray"]["columns"] == {"prompt": "prompt", "response": "target"}
    factory = yaml.safe_load((tmp_path / "llamafactory" / "train.yaml").read_text())
    assert (factory["finetuning_type"], factory["freeze_trainable_layers"]) == ("freeze", 1)
    assert set(factory["freeze_extra_modules"].split(",")) == {"embed_tokens", "norm", "lm_head"}
    assert factory["per_device_train_batch_size"] * factory["gradient_accumulation_steps"] == 16
    axolotl = yaml.safe_load((tmp_path / "axolotl" / "train.yaml").read_text())
    assert axolotl["unfrozen_parameters"][0] == "^model.layers.1."
    assert "^model.layers.0." not in axolotl["unfrozen_parameters"]
    script = (tmp_path / "trl" / "train.py").read_text()
    ast.parse(script)
    assert "frozen = ('model.layers.0.',)" in script
    for tool in ("llamafactory", "axolotl", "trl"):
        assert json.loads((tmp_path / tool / "deepspeed.json").read_text())["zero_optimization"]


def test_a_failed_trial_is_not_exported(tmp_path, capsys):
    run_dir = trained_run(tmp_path)
    file = result_path(run_dir, 0)
    found = json.loads(file.read_text())
    file.write_text(json.dumps(found | {"training": None, "state": "failed", "reason": "broke"}))
    assert export(run_dir, "trl", tmp_path / "out") == 2
    assert "the trial failed before its training was recorded" in capsys.readouterr().err


def test_space_and_recipe_have_what_the_cases_need():
    assert set(SPACE.parameters) <= set(Recipe.model_fields)
    assert np.all([recipe.learning_rate for recipe, _ in RECIPES.values()])
