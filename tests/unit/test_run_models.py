"""`model: run:NAME/7`: the model of a trial of ours as the base model of another study."""

import json

import pytest
import torch
from records_factory import make_failed, make_record, make_study
from tiny_models import byte_level, llama
from transformers import AutoModelForCausalLM

from mtray import run_models
from mtray.commands.export_model import model_card
from mtray.errors import ConfigError, ModelError, MtrayError, RunError
from mtray.files import file_hash
from mtray.lineage import LINEAGE_FILE, lineage_of
from mtray.report.records import write_record
from mtray.run_files import WEIGHTS_FILE, trial_dir
from mtray.run_models import with_run_models
from mtray.schema import Recipe, Training
from mtray.search.ledger.base_model_check import LINEAGE, check_base_model
from mtray.search.ledger.run_folder import bind
from mtray.search_space.space import Space
from mtray.training.adapters import prepare
from mtray.training.trainable_weights import save_trainable
from mtray.trial.base_model import load_base_model

SPACE = Space(parameters={}, fixed={"parallel_size": 9, "learning_rate": 1e-3})
RECIPES = {
    3: Recipe(parallel_size=9, method="lora", lora_rank=2),
    4: Recipe(parallel_size=9, method="qlora"),
    7: Recipe(parallel_size=9, frozen_layers=1),
    8: Recipe(parallel_size=12),
}
KEPT = (3, 4, 7)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """A folder of runs with one, of which trials keep their weights; in this process."""
    monkeypatch.setattr(
        run_models, "in_separate_process", lambda function, *given: function(*given)
    )
    tokenizer = byte_level()
    llama(tokenizer).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    run_dir = tmp_path / "runs" / "phase-1"
    run_dir.mkdir(parents=True)
    training = Training(precision="fp32", keep_weights="front")
    bind(run_dir, make_study(model=str(tmp_path / "base"), training=training), SPACE)
    write_record(run_dir, make_record(-1, 0.5, 1.0, "base"))
    write_record(run_dir, make_failed(9))
    for number, recipe in RECIPES.items():
        write_record(run_dir, make_record(number, recipe=recipe, seed=5))
        if number in KEPT:
            save_trainable(trained(number), trial_dir(run_dir, number) / WEIGHTS_FILE)
    return tmp_path / "runs"


def trained(number):
    """A model as the trial leaves it, with every trainable weight changed."""
    recipe = RECIPES[number].with_values({"method": "full"}) if number == 4 else RECIPES[number]
    model = prepare(llama(byte_level()), recipe, Training(), 5).model
    torch.manual_seed(number)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(0.1 * torch.randn_like(weight))
    return model


def study_from(text, **training):
    fields = {"precision": "fp32"} | training
    return make_study(name="phase-2", model=text, training=Training(**fields))


@pytest.mark.parametrize("number", [7, 3])
def test_the_folder_holds_the_trained_model(runs, number):
    """Of an adapter the merged weights: the folder is loaded without peft."""
    said = []
    study = with_run_models(study_from(f"run:phase-1/{number}"), runs, said.append)
    assert study.model == str(trial_dir(runs / "phase-1", number) / "model") and len(said) == 1
    expected = trained(number)
    if number == 3:
        expected = expected.merge_and_unload()
    found = dict(AutoModelForCausalLM.from_pretrained(study.model).named_parameters())
    assert set(found) == {name for name, _ in expected.named_parameters()}
    for name, weight in expected.named_parameters():
        torch.testing.assert_close(found[name], weight)
    again = with_run_models(study_from(f"run:phase-1/{number}"), runs, said.append)
    assert again == study and len(said) == 1, "written once"


def test_where_it_comes_from_is_recorded(runs):
    study = with_run_models(study_from("run:phase-1/7"), runs)
    origin, base = lineage_of(study.model), str(runs.parent / "base")
    weights = trial_dir(runs / "phase-1", 7) / WEIGHTS_FILE
    assert (origin.run, origin.trial, origin.recipe, origin.seed) == ("phase-1", 7, RECIPES[7], 5)
    assert (origin.weights, origin.base, origin.of) == (file_hash(weights), base, None)
    assert origin.text == (
        f"trial 7 of run phase-1 (parallel_size 9, frozen_layers 1; seed 5), from {base}"
    )
    notes = load_base_model(study, Recipe(parallel_size=0), 1).notes
    assert notes["base_model"] == origin.text
    card = model_card(make_record(0), study, "phase-2", "model", "")
    assert f"base_model: {base}\n" in card and origin.text in card
    assert lineage_of(base) is None and lineage_of("embedded") is None


def test_lineage_goes_on(runs):
    """A third study begins with a trial of the second."""
    second = with_run_models(study_from("run:phase-1/7"), runs)
    run_dir = runs / "second"
    run_dir.mkdir()
    bind(run_dir, second, SPACE)
    write_record(run_dir, make_record(0, recipe=RECIPES[7], seed=5))
    save_trainable(trained(7), trial_dir(run_dir, 0) / WEIGHTS_FILE)
    third = with_run_models(study_from("run:second/0"), runs)
    origin = lineage_of(third.model)
    assert origin.of == lineage_of(second.model) and origin.first == str(runs.parent / "base")
    assert origin.text.endswith(f"from {origin.of.text}")


@pytest.mark.parametrize(
    "given, expected",
    [
        (None, "base"),
        ("run:phase-1/base", "base"),
        ("run:phase-1/3", "runs/phase-1/trials/0003/model"),
        ("/elsewhere", "/elsewhere"),
    ],
)
def test_the_model_that_blocks_are_compared_with(runs, given, expected):
    study = with_run_models(study_from("run:phase-1/7", freeze_from=given), runs)
    assert study.training.freeze_from == str(runs.parent / expected)


def test_other_models_stay(runs):
    study = study_from("embedded")
    assert with_run_models(study, runs) is study
    assert with_run_models(study_from("run:phase-1/base"), runs).model == str(runs.parent / "base")


ERRORS = {
    "run:phase-1": (ConfigError, "expected run:NAME/NUMBER"),
    "run:phase-9/7": (ConfigError, "no run 'phase-9'.*runs there: phase-1.*--name phase-9"),
    "run:phase-1/70": (ConfigError, "70 has no record; records there: base, 3,.*mtray front"),
    "run:phase-1/x": (ConfigError, "expected a trial's number or base, found 'x'"),
    "run:phase-1/8": (ModelError, "no weights of trial 8; they are kept of trials 3, 4, 7.*"
                                  "mtray export .*phase-1 --model 8 OUT`"),
    "run:phase-1/9": (ModelError, "no weights of trial 9"),
    "run:phase-1/4": (ModelError, "merging its adapter needs a GPU; run .*--model 4 OUT --merge"),
}  # fmt: skip


@pytest.mark.parametrize("text", ERRORS)
def test_what_there_is_not(runs, text, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    kind, message = ERRORS[text]
    with pytest.raises(kind, match=message) as raised:
        with_run_models(study_from(text), runs)
    assert "`model`" in str(raised.value) and isinstance(raised.value, MtrayError)


def test_a_changed_run_is_noticed(runs):
    with_run_models(study_from("run:phase-1/7"), runs)
    file = trial_dir(runs / "phase-1", 7) / WEIGHTS_FILE
    before = file.read_bytes()
    file.unlink()  # no longer on the front: the model that was taken over stays
    with_run_models(study_from("run:phase-1/7"), runs)
    file.write_bytes(before[:-1] + b"x")
    with pytest.raises(RunError, match=r"has changed since.*another --name"):
        with_run_models(study_from("run:phase-1/7"), runs)
    file.write_bytes(before)
    write_record(runs / "phase-1", make_record(7, recipe=RECIPES[7], seed=6))
    with pytest.raises(RunError, match="has changed since"):
        with_run_models(study_from("run:phase-1/7"), runs)


def test_a_resumed_run_begins_with_the_same_model(runs):
    study = with_run_models(study_from("run:phase-1/7"), runs)
    run_dir = runs / "phase-2"
    run_dir.mkdir()
    check_base_model(run_dir, study)
    bind(run_dir, study, SPACE)
    recorded = json.loads((run_dir / "study.json").read_text())[LINEAGE]
    assert recorded == lineage_of(study.model).model_dump(mode="json")
    check_base_model(run_dir, study)
    file = trial_dir(runs / "phase-1", 7) / "model" / LINEAGE_FILE
    file.write_text(file.read_text().replace('"seed": 5', '"seed": 6'))
    with pytest.raises(RunError, match=r"began with another base model.*another --name"):
        check_base_model(run_dir, study)
    file.write_text("{}")
    with pytest.raises(ModelError, match="does not say where the model comes from"):
        check_base_model(run_dir, study)
