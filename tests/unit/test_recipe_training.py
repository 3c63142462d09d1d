"""Settings of the training that a recipe gives: they are used, and equal ones change nothing."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_factory import SPACE
from records_factory import make_mix, make_study
from warmstart_factory import run, searched, taken_from

from mtray.data.store import build_table
from mtray.errors import ConfigError, RunError
from mtray.report.parameters import parameters
from mtray.schema import (
    TRAINING_PARAMETERS,
    Budget,
    Mix,
    Recipe,
    Resources,
    Source,
    SourceShare,
    Training,
    study_of,
    training_of,
)
from mtray.search.ledger.earlier_recipes import set_by_recipes
from mtray.search.strategy.baseline_recipes import baseline_recipes
from mtray.search_space.parameters import Choices, FloatRange, IntRange
from mtray.search_space.space import Space
from mtray.training import checkpoint_key as keys
from mtray.training.models import load_tokenizer
from mtray.training.recipe_checks import check_settings
from mtray.training.schedule import batches, epoch_rows, trained_rows
from mtray.trial.intermediate_checkpoints import mix_until
from mtray.trial.job import Job, RunOptions
from mtray.trial.run import run_trial

OWN = {"schedule": "linear", "warmup": 0.5, "weight_decay": 0.1, "epochs": 1.5,
       "batch_examples": 2, "max_length": 40}  # fmt: skip
RECIPE = Recipe(parallel_size=6, learning_rate=1e-3)


def with_own(**values):
    return RECIPE.model_copy(update=values)


def test_the_recipes_value_is_used_and_else_the_studys():
    training = Training(epochs=3, gradient_clipping=0.5)
    assert set(OWN) == set(TRAINING_PARAMETERS)
    assert training_of(RECIPE, training) == training
    assert training_of(with_own(**OWN), training) == Training(gradient_clipping=0.5, **OWN)
    assert study_of(with_own(epochs=2.0), make_study()).training == Training(epochs=2)


@pytest.mark.parametrize("name", TRAINING_PARAMETERS)
def test_a_setting_counts_once_whoever_gives_it(name):
    """An interrupted training goes on from its checkpoint where only the place of a value moved."""

    def key(recipe, training=None):
        study = make_study(training=training or Training())
        return keys.checkpoint_key(study, recipe, 1, [], make_mix(RECIPE), "torch")

    changed = Training().model_copy(update={name: OWN[name]})
    own = with_own(**{name: OWN[name]})
    assert key(own) == key(RECIPE, changed) == key(own, changed) != key(RECIPE)
    assert key(with_own(**{name: getattr(Training(), name)})) == key(RECIPE)


@pytest.mark.parametrize("name", [*TRAINING_PARAMETERS, "freeze_embeddings"])
def test_the_blocks_that_are_frozen_at_random_stay(name):
    other = with_own(**{name: OWN.get(name, "input")})
    assert other.hashed_fields() == RECIPE.hashed_fields()


# epochs of part

EPOCHS = [
    (4, 1, [4]), (4, 1.0, [4]), (4, 2, [4, 4]), (4, 0.5, [2]), (4, 1.5, [4, 2]),
    (5, 0.5, [3]),  # 2.5 rows are 3
    (5, 2.1, [5, 5, 1]), (5, 2.05, [5, 5]), (5, 0.01, [1]), (0, 0.5, [0]),
]  # fmt: skip


@pytest.mark.parametrize("count, epochs, sizes", EPOCHS)
def test_rows_of_every_epoch_by_hand(count, epochs, sizes):
    assert [len(rows) for rows in epoch_rows(count, epochs, 3)] == sizes


@settings(deadline=None)
@given(st.integers(1, 60), st.floats(0.01, 4), st.integers(0, 9))
def test_a_part_of_an_epoch_is_where_the_whole_one_begins(count, epochs, seed):
    part = np.concatenate([*epoch_rows(count, epochs, seed)])
    whole = np.concatenate([*epoch_rows(count, 5, seed)])
    assert part.tolist() == whole[: len(part)].tolist()
    assert abs(len(part) - epochs * count) <= 0.5 + 1e-6 or len(part) == 1
    times = np.bincount(part, minlength=count)
    assert times.max() - times.min() <= 1, "no row is trained on twice more than another"


def share(name, kind, count):
    return SourceShare(source=name, kind=kind, requested=count, realised=count, available=9,
                       tokens=10 * count, repeats=count / 9)  # fmt: skip


MIX = Mix(shares=(share("a", "parallel", 3), share("b", "mono", 2)))
LENGTHS = [10, 11, 12, 3, 4]
EXAMPLES = [(np.zeros(n, np.int32), 0) for n in LENGTHS]


@pytest.mark.parametrize("epochs, rows, seen", [(0.6, 3, True), (1.6, 8, False), (2.2, 11, False)])
def test_what_was_trained_on_in_epochs_of_part(epochs, rows, seen):
    training = Training(epochs=epochs, batch_examples=2)
    found = mix_until(MIX, EXAMPLES, training, 5, 1.0).shares
    trained = trained_rows(np.array(LENGTHS), training, 5, 1.0)
    assert len(trained) == rows == sum(s.trained for s in found)
    assert [s.trained for s in found] == [(trained < 3).sum(), (trained >= 3).sum()]
    if seen:
        assert [s.seen for s in found] == [s.trained for s in found]
        assert sum(s.seen_tokens for s in found) == sum(LENGTHS[row] for row in trained)
    else:
        assert [s.seen for s in found] == [None, None]
        assert sum(s.examples for s in found) == 5


def test_whole_epochs_leave_the_record_as_it_was():
    for epochs in (1, 2, 3.0):
        assert mix_until(MIX, EXAMPLES, Training(epochs=epochs), 5, 1.0) is MIX
    ones = np.ones(9, int)
    for one, other in zip(
        batches(ones, Training(epochs=2), 1), batches(ones, Training(epochs=2.0), 1), strict=True
    ):
        assert one.tolist() == other.tolist()


def test_a_study_says_epochs_as_before():
    """Whole ones without a fraction, also in `study.json` and hashes of it."""
    for epochs, text in ((2, "2"), (2.0, "2"), (0.5, "0.5")):
        assert f'"epochs":{text},' in Training(epochs=epochs).model_dump_json()


# a trial

PAIRS = [(f"pair {n} of six", " " + "x" * n) for n in range(1, 7)]


def trained_by(recipe, **training):
    """The record of a training of the embedded model, and its weights."""
    tokenizer, weights = load_tokenizer("embedded"), []
    study = make_study(training={"packing": "off", **training})
    outcome = run_trial(
        Job(0, "search", recipe, 1), study, {"pairs": build_table(PAIRS, tokenizer, 256)}, [],
        RunOptions("torch", use=lambda module, _: weights.extend(
            p.detach().flatten().clone() for p in module.parameters())),
    )  # fmt: skip
    return outcome, torch.cat(weights)


def test_a_recipes_settings_train_what_the_studys_do_bit_for_bit():
    own = {name: value for name, value in OWN.items() if name != "max_length"}
    recipe, weights = trained_by(with_own(**own))
    study, same = trained_by(RECIPE, **own)
    assert torch.equal(weights, same)
    timed = {"tokens_per_second": 0.0}
    assert recipe.training.model_copy(update=timed) == study.training.model_copy(update=timed)
    assert recipe.mix == study.mix and recipe.training.steps == 5  # of 3 and of 2 steps
    assert recipe.mix.shares[0].trained == 9
    _, other = trained_by(RECIPE)
    assert not torch.equal(weights, other)


# what a study and a space say

CONSTANT = {"schedule": "constant", "warmup": 0.0}
CHECKED = [
    ({}, {}, {"epochs": 0.5}, None),
    (CONSTANT, {}, {"stop_after": 0.5}, None),
    ({}, {}, {"stop_after": 0.5, **CONSTANT}, None),
    (
        CONSTANT, {}, {"stop_after": 0.5, "schedule": "cosine"},
        r"`stop_after` holds 0.5, .* found 'cosine'.* \(in a recipe .*, with schedule cosine\)",
    ),
    (
        CONSTANT, {}, {"stop_after": 0.5, "warmup": FloatRange(type="float", low=0, high=0.6)},
        r"lies within the warm-up .*with warmup 0.6",
    ),
    (
        {}, {"workers": 4}, {"batch_examples": IntRange(type="int", low=2, high=64)},
        r"`training.batch_examples` is 2, fewer than the 4 .*with batch_examples 2",
    ),
    (
        {"batch_tokens": 512}, {}, {"batch_examples": 8},
        r"the space sets `batch_examples`, and the study's batches are counted in tokens .*512",
    ),
    (
        {}, {}, {"max_length": IntRange(type="int", low=32, high=512)},
        r"max_length goes up to 512, and sources are tokenised up to .* of 256; raise that",
    ),
]  # fmt: skip


@pytest.mark.parametrize("training, resources, given, message", CHECKED)
def test_settings_that_contradict_each_other(training, resources, given, message):
    study = make_study(training=Training(**training), resources=Resources(**resources))
    searched_ = {n: v for n, v in given.items() if not isinstance(v, int | float | str)}
    fixed = {n: v for n, v in given.items() if n not in searched_}
    space = Space(parameters=searched_, fixed={"parallel_size": 9, **fixed})
    if message is None:
        return check_settings(study, space)
    with pytest.raises(ConfigError, match=message):
        check_settings(study, space)


def test_documents_are_joined_up_to_the_studys_length():
    books = Source(name="books", kind="mono", path="x.jsonl", languages=("en",), documents=True,
                   columns={"document": "id"})  # fmt: skip
    study = make_study(sources=(*make_study().sources, books))
    space = Space(parameters={}, fixed={"parallel_size": 9, "max_length": 64})
    with pytest.raises(ConfigError, match="source 'books' joins the rows of a document"):
        check_settings(study, space)
    whole = Space(parameters={}, fixed={"parallel_size": 9, "max_length": 256})
    check_settings(study, whole)


WIDER = SPACE.model_copy(update={"parameters": {
    **SPACE.parameters,
    "epochs": FloatRange(type="float", low=0.5, high=3.0),
    "schedule": Choices(type="categorical", choices=("linear", "constant")),
}})  # fmt: skip


def test_baselines_have_the_studys_settings():
    study = make_study(training=Training(epochs=2))
    params = baseline_recipes(WIDER, study)["parallel_only"]
    assert (params["epochs"], params["schedule"]) == (2, "cosine")
    assert WIDER.recipe(params).epochs == 2
    given_ = study.model_copy(update={"defaults": {"epochs": 0.5}})
    assert baseline_recipes(WIDER, given_)["parallel_only"]["epochs"] == 0.5


def test_trials_of_a_study_with_the_setting_fit_a_run_that_searches_it(tmp_path):
    """And the other way round; `training.epochs` may differ where every recipe has its own."""
    budget = Budget(replicate_share=0, confirm=0)
    run(tmp_path / "old", 6, training=Training(schedule="linear"), budget=budget)
    found = taken_from(tmp_path / "old", WIDER, training=Training(epochs=9, schedule="linear"))
    assert len(searched(found)) == 2
    for taken in searched(found):
        assert (taken.record.recipe.epochs, taken.record.recipe.schedule) == (1, "linear")
        assert (taken.params["epochs"], taken.params["schedule"]) == (1, "linear")
    with pytest.raises(RunError, match=r"study\.training\.epochs = 1, now it is 9"):
        taken_from(tmp_path / "old", training=Training(epochs=9, schedule="linear"))
    assert set_by_recipes("study.training.epochs", WIDER)
    assert not set_by_recipes("study.training.warmup", WIDER)
    fixed = SPACE.model_copy(update={"fixed": {**SPACE.fixed, "max_length": 64}})
    assert not set_by_recipes("study.training.max_length", fixed)


def test_a_trial_with_the_studys_value_fits_a_run_that_does_not_search_it(tmp_path):
    one = SPACE.model_copy(update={"fixed": {**SPACE.fixed, "epochs": 2.0}})
    run(tmp_path / "old", 6, space=one, budget=Budget(replicate_share=0, confirm=0))
    same = taken_from(tmp_path / "old", training=Training())
    assert not searched(same)
    assert any("epochs is 2.0, here fixed to None" in reason for reason in same.left_out)


def test_in_the_tables():
    assert parameters(with_own(**OWN)).items() >= OWN.items()
    lora = Recipe(parallel_size=5, method="lora")
    assert parameters(lora)["freeze_embeddings"] is None
    assert parameters(RECIPE)["freeze_embeddings"] == "none"
