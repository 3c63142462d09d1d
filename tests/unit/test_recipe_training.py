"""Settings of the training that a recipe gives: they are used, and equal ones change nothing."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_factory import SPACE
from records_factory import make_mix, make_study
from tiny_models import byte_level, llama
from warmstart_factory import run, searched, taken_from

from mtray.data.draw_comparison import drawn_again
from mtray.data.few_shot import SUFFIX
from mtray.data.mixing import OWN_DRAW
from mtray.data.recipe_tables import FittingTable, held_rows, recipe_tables
from mtray.data.store import build_store, build_table, mixed, sums_by_recipe
from mtray.errors import ConfigError, DataError, RunError
from mtray.report.parameters import parameters
from mtray.schema import (
    TRAINING_PARAMETERS,
    Budget,
    Mix,
    Mixing,
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
from mtray.search.strategy.largest_recipes import check_source_sizes, largest_recipes
from mtray.search_space.parameters import Choices, FloatRange, IntRange
from mtray.search_space.space import Space
from mtray.training import checkpoint_key as keys
from mtray.training.freezing import freeze, freeze_embeddings
from mtray.training.models import load_tokenizer
from mtray.training.parameter_counts import count_trainable
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


# max_length

ROWS = [{"en": "a" * n, "uk": "b" * (n % 7 + 1)} for n in range(1, 61)]


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.setenv("MTRAY_STORE", str(tmp_path / "store"))
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    pairs = Source(name="pairs", kind="parallel", path=str(path), languages=("en", "uk"),
                   shots=(1, 1))  # fmt: skip
    return make_study(sources=(pairs,), training=Training(max_length=80))


def shorter(study, limit):
    return study.model_copy(update={"training": Training(max_length=limit)})


def test_a_shorter_limit_is_a_study_with_that_limit(study):
    store = build_store(study, byte_level())
    limited = build_store(shorter(study, 50), byte_level())
    size = len(limited["pairs"])
    assert 0 < size < len(store["pairs"])
    recipe = with_own(parallel_size=size, max_length=50)
    examples, mix = mixed(study, store, recipe)
    same, other = mixed(shorter(study, 50), limited, with_own(parallel_size=size))
    assert [ids.tolist() for ids, _ in examples] == [ids.tolist() for ids, _ in same]
    assert max(len(ids) for ids, _ in examples) <= 50
    (found,), (known,) = mix.shares, other.shares
    assert (found.digest, found.tokens, found.repeats) == (known.digest, known.tokens, 1.0)
    assert (found.available, found.held, found.fitting) == (len(store["pairs"]),) * 2 + (size,)
    with pytest.raises(
        DataError, match=f"holds {size} examples and the recipe asks for {size + 1}"
    ):
        mixed(study, store, with_own(parallel_size=size + 1, max_length=50))


def test_a_recorded_draw_with_a_limit_is_drawn_again(study):
    store, recipe = build_store(study, byte_level()), with_own(max_length=50)
    mix = mixed(study, store, recipe)[1]
    held = {s.source: s.held for s in mix.shares}
    again = build_store(study, byte_level(), held)
    assert drawn_again(mix, study, again, recipe, OWN_DRAW) == (None, ())
    found = drawn_again(mix, study, again, with_own(max_length=30), OWN_DRAW).difference
    assert found is not None and found.source == "pairs"


def test_the_studys_own_limit_changes_nothing(study):
    store = build_store(study, byte_level())
    assert recipe_tables(with_own(max_length=80), store)["pairs"] is store["pairs"]
    one, other = (mixed(study, store, recipe) for recipe in (RECIPE, with_own(max_length=80)))
    assert one[1] == other[1] and one[1].shares[0].fitting is None
    assert [ids.tolist() for ids, _ in one[0]] == [ids.tolist() for ids, _ in other[0]]


def test_shots_count_to_the_length(study):
    store = build_store(study, byte_level(), few_shot=True)
    tables = recipe_tables(with_own(few_shot_share=0.5, max_length=50), store)
    table = tables["pairs"]
    assert isinstance(table, FittingTable) and max(table.lengths()) <= 50
    assert len(table) < len(recipe_tables(with_own(max_length=50), store)["pairs"])
    _, mix = mixed(study, store, with_own(few_shot_share=0.5, max_length=50))
    rows = table.rows[:6]
    assert mix.shares[0].few_shot == table.whole.few_shot[rows].sum()
    assert pairs_only(held_rows(store, ())) == {"pairs": len(store["pairs"])}


def pairs_only(held):
    return {name: count for name, count in held.items() if not name.endswith(SUFFIX)}


def test_the_shortest_limit_of_a_space_decides_how_much_there_is(study):
    store = build_store(study, byte_level())
    fits = len(recipe_tables(with_own(max_length=50), store)["pairs"])
    space = Space(parameters={"max_length": IntRange(type="int", low=50, high=80)},
                  fixed={"parallel_size": fits, "learning_rate": 1e-3})  # fmt: skip
    assert held_rows(store, space.values("max_length")) == {"pairs": fits}
    assert [r.max_length for r in largest_recipes(space)] == [50]
    check_source_sizes(largest_recipes(space), study, store)
    more = space.model_copy(update={"fixed": {**space.fixed, "parallel_size": fits + 1}})
    with pytest.raises(DataError, match=rf"holds {fits} examples and .*parallel_size {fits + 1}, "
                       r"max_length 50\) asks for"):  # fmt: skip
        check_source_sizes(largest_recipes(more), study, store)


def test_sums_of_tokens_are_those_of_what_fits(study):
    store = build_store(study, byte_level())
    by_token = study.model_copy(update={"mixing": Mixing(count="tokens")})
    sums = sums_by_recipe(by_token, store)
    assert len(sums(RECIPE)["pairs"]) == len(store["pairs"])
    short = sums(with_own(max_length=50))["pairs"]
    assert short[-1] == sum(n for n in store["pairs"].lengths() if n <= 50)


# freeze_embeddings


def frozen_by(which, tied):
    """The frozen parameters, and how many numbers are not trained."""
    model = llama(byte_level())
    if tied:
        model.lm_head.weight = model.model.embed_tokens.weight
    whole = count_trainable(model)
    freeze(model, Recipe(parallel_size=1, freeze_embeddings=which), 1)
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    return frozen, whole - count_trainable(model)


INPUT, OUTPUT = "model.embed_tokens.weight", "lm_head.weight"


@pytest.mark.parametrize(
    "which, tied, frozen",
    [
        ("none", False, set()),
        ("input", False, {INPUT}),
        ("both", False, {INPUT, OUTPUT}),
        ("input", True, {INPUT}),  # which is the output's as well
        ("both", True, {INPUT}),
    ],
)
def test_which_embeddings_are_frozen(which, tied, frozen):
    found, numbers = frozen_by(which, tied)
    assert found == frozen and numbers == len(frozen) * len(byte_level()) * 32


def test_a_model_without_output_embeddings():
    model = torch.nn.Linear(2, 2)
    model.get_input_embeddings = lambda: torch.nn.Embedding(2, 2)
    model.get_output_embeddings = lambda: None
    with pytest.raises(ConfigError, match="freeze_embeddings is both, and Linear has no such"):
        freeze_embeddings(model, "both")
