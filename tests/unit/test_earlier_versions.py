"""Runs of a version whose recipes had `alpha`, and `lora_alpha` as a multiple of the rank."""

import hashlib
import json
from contextlib import nullcontext

import pytest
from optuna.distributions import FloatDistribution
from records_factory import make_record, make_study

from mtray.errors import RunError
from mtray.report.records import read_record, write_record
from mtray.report.surface import Coordinates
from mtray.run_files import result_path
from mtray.schema import Recipe, TrialRecord
from mtray.search.ledger.rebinding import rebind
from mtray.search.ledger.run_folder import bind, check_bound, load_bound, read_bound
from mtray.search.ledger.run_study import RunStudy
from mtray.search.ledger.warm_start import _misfit, digest
from mtray.search_space.parameters import Choices, Condition, FloatRange, IntRange
from mtray.search_space.space import Space

FULL = {"parallel_size": 64, "method": "lora", "lora_rank": 8, "alpha": 0.5}
RATIO = {"mono_ratio": {"type": "float", "low": 0, "high": 2}}


@pytest.mark.parametrize(
    "found, alpha, scale",
    [
        ({"lora_alpha": 2.0}, None, 2.0),
        ({"lora_alpha": 4.0}, 32.0, 4.0),
        ({}, None, 2.0),
    ],
)
def test_an_old_record_s_recipe(tmp_path, found, alpha, scale):
    path = write_record(tmp_path, make_record(3, 0.5, 0.9, recipe=Recipe(parallel_size=64)))
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "recipe": FULL | found}))
    recipe = read_record(result_path(tmp_path, 3)).recipe
    assert (recipe.reversion_alpha, recipe.lora_alpha, recipe.lora_scale) == (0.5, alpha, scale)
    assert Recipe.model_validate(recipe.model_dump()) == recipe, "once is enough"


def test_a_scale_without_a_rank_is_of_the_default_rank():
    recipe = Recipe.model_validate({"parallel_size": 64, "alpha": 1.0, "lora_alpha": 4.0})
    assert (recipe.lora_rank, recipe.lora_alpha) == (16, 64.0)


@pytest.mark.parametrize(
    "changes",
    ['"alpha":0.5', '"lora_rank":8,"lora_alpha":4.0', '"lora_rank":8,"lora_alpha":4.0,"alpha":0.5'],
)
def test_a_trial_has_the_hash_that_its_copies_know_it_by(changes):
    """Of the record's text as that version wrote it."""
    text = f'{{"state":"failed","recipe":{{"parallel_size":64,{changes}}},"seed":1}}'
    recipe = {"alpha": 1.0, "lora_alpha": 2.0} | json.loads(text)["recipe"]
    record = TrialRecord(number=3, role="search", state="failed", recipe=recipe, seed=1)
    assert digest(record) == hashlib.sha256(text.encode()).hexdigest()


def old_run(folder, parameters, fixed=None, defaults=None):
    """A run's folder as that version left it."""
    bind(folder, make_study(), Space(parameters={"mono_ratio": ratio()}))
    path = folder / "study.json"
    found = json.loads(path.read_text())
    assert found.pop("parameter_names") == 2
    found["study"]["defaults"] = defaults or {}
    found["space"] = {"parameters": RATIO | parameters, "fixed": fixed or {"parallel_size": 64}}
    path.write_text(json.dumps(found))


@pytest.mark.parametrize(
    "floors, floor_margin, changed",
    [
        ({"retention": 0.5}, 2.0, None),
        ({"retention": 0.5}, 1.0, r"early_stopping\.floor_margin = 2\.0, now it is 1\.0"),
        ({}, 1.0, None),
    ],
)
def test_one_margin_was_that_of_the_floors_too(tmp_path, floors, floor_margin, changed):
    rule = {"rungs": [0.5, 0.75], "margin": 2.0, "floors": floors, "floor_margin": floor_margin}
    study, space = make_study(early_stopping=rule), Space(parameters={"mono_ratio": ratio()})
    bind(tmp_path, study, space)
    path = tmp_path / "study.json"
    found = json.loads(path.read_text())
    del found["study"]["early_stopping"]["floor_margin"]
    path.write_text(json.dumps(found))
    goes_on = nullcontext() if changed is None else pytest.raises(RunError, match=changed)
    with goes_on:
        check_bound(tmp_path, study, space)


def ratio(**more):
    return FloatRange(type="float", low=0, high=2, **more)


LORA_ALPHA = {"type": "float", "low": 1, "high": 4, "log": True, "guess": 2.0}
RANKS = {"type": "int", "low": 4, "high": 16, "log": True}
CASES = {
    "neither": ({}, {}, {"mono_ratio": ratio()}, {}),
    "alpha searched, and a condition on it": (
        {
            "mono_ratio": {"type": "float", "low": 0, "high": 2, "when": {"alpha": {"above": 0.5}}},
            "alpha": {"type": "float", "low": 0.25, "high": 1},
        },
        {},
        {
            "mono_ratio": ratio(when={"reversion_alpha": Condition(above=0.5)}),
            "reversion_alpha": FloatRange(type="float", low=0.25, high=1),
        },
        {},
    ),
    "alpha fixed, the usual scale": (
        {}, {"alpha": 0.5, "lora_alpha": 2.0}, {"mono_ratio": ratio()}, {"reversion_alpha": 0.5}
    ),
    "another scale, of a fixed rank": (
        {}, {"lora_rank": 8, "lora_alpha": 1.5}, {"mono_ratio": ratio()},
        {"lora_rank": 8, "lora_alpha": 12.0},
    ),
    "the scale searched, of the default rank": (
        {"lora_alpha": LORA_ALPHA}, {},
        {
            "mono_ratio": ratio(),
            "lora_alpha": FloatRange(type="float", low=16, high=64, log=True),
        }, {},
    ),
    "scale and rank searched": (
        {"lora_alpha": LORA_ALPHA, "lora_rank": RANKS}, {},
        {
            "mono_ratio": ratio(),
            "lora_alpha": FloatRange(type="float", low=4, high=64, log=True),
            "lora_rank": IntRange(**RANKS),
        }, {},
    ),
    "one of several": (
        {
            "lora_alpha": {"type": "categorical", "choices": [1.0, 2.0]},
            "lora_rank": {"type": "categorical", "choices": [4, 8]},
        }, {},
        {
            "mono_ratio": ratio(),
            "lora_alpha": Choices(type="categorical", choices=(4.0, 8.0, 16.0)),
            "lora_rank": Choices(type="categorical", choices=(4, 8)),
        }, {},
    ),
    "one of several, times any rank": (
        {"lora_alpha": {"type": "categorical", "choices": [1.0, 2.0]}, "lora_rank": RANKS}, {},
        {
            "mono_ratio": ratio(),
            "lora_alpha": FloatRange(type="float", low=4, high=32, log=True),
            "lora_rank": IntRange(**RANKS),
        }, {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_an_old_run_s_space(tmp_path, case):
    parameters, fixed, expected, expected_fixed = CASES[case]
    old_run(tmp_path, parameters, {"parallel_size": 64} | fixed, fixed)
    study, space = load_bound(tmp_path)
    assert space.parameters == expected
    assert space.fixed == {"parallel_size": 64} | expected_fixed
    assert study.defaults == expected_fixed


def test_an_old_run_goes_on_where_no_searched_name_changed(tmp_path):
    old_run(tmp_path, {}, {"parallel_size": 64, "alpha": 0.5})
    study, space = load_bound(tmp_path)
    bind(tmp_path, study, space)
    assert json.loads((tmp_path / "study.json").read_text())["parameter_names"] == 2
    assert load_bound(tmp_path) == (study, space)


@pytest.mark.parametrize(
    "name, says", [("alpha", "now reversion_alpha"), ("lora_alpha", "now as in peft")]
)
def test_an_old_run_that_searched_one_does_not(tmp_path, name, says):
    old_run(tmp_path, {name: {"type": "float", "low": 0.25, "high": 1}})
    study, space = load_bound(tmp_path)
    with pytest.raises(RunError, match=rf"a range for {name}, which is {says}.*--from"):
        check_bound(tmp_path, study, space)


def test_one_that_was_cut_off_while_its_study_was_changed_can_be_reported(tmp_path):
    """The change is finished first, with the old names in the journal and in the file."""
    old_run(tmp_path, {"alpha": {"type": "float", "low": 0.25, "high": 1}})
    path = tmp_path / "study.json"
    found = json.loads(path.read_text())
    changed = {**found["study"], "objectives": {"retention": "max", "quality": "max"}}
    target = {"study": changed, "space": found["space"], "optuna": "made-up.2"}
    path.write_text(json.dumps({**found, "pending": target}))
    before = RunStudy(tmp_path, make_study(), {"alpha": FloatDistribution(0.25, 1)}, "made-up")
    before.enqueue({"alpha": 0.5}, {})
    before.take()
    with pytest.raises(RunError, match="was cut off while its study was changed; start the sweep"):
        load_bound(tmp_path)
    bound = read_bound(tmp_path, finished=False)
    check_bound(tmp_path, bound.study, bound.space)
    with pytest.raises(RunError, match=r"range for alpha, .* it can still be reported"):
        rebind(tmp_path, bound.study, bound.space)
    study, _ = load_bound(tmp_path)
    assert list(study.objectives) == ["retention", "quality"]
    after = RunStudy(tmp_path, study, {"alpha": FloatDistribution(0.25, 1)})
    assert [trial.params for trial in after.trials()] == [{"alpha": 0.5}]
    with pytest.raises(RunError, match="it can still be reported"):
        check_bound(tmp_path, study, bound.space)


def test_nor_does_one_whose_fixed_scale_was_of_the_ranks_it_searched(tmp_path):
    """Its trials have the multiple of their own rank, and no space has that."""
    old_run(tmp_path, {"lora_rank": RANKS}, {"parallel_size": 64, "lora_alpha": 1.5})
    study, space = load_bound(tmp_path)
    assert space.fixed["lora_alpha"] == 24.0
    with pytest.raises(RunError, match=r"a range for lora_alpha, which is now as in peft.*--from"):
        check_bound(tmp_path, study, space)


@pytest.mark.parametrize("kind", ["range", "choices"])
def test_twice_the_rank_has_its_place_where_lora_alpha_is_searched(tmp_path, kind):
    """An old trial of the scale 2 has no `lora_alpha`."""
    scale = {"range": LORA_ALPHA, "choices": {"type": "categorical", "choices": [1.0, 2.0]}}[kind]
    fixed = {"parallel_size": 64, "method": "lora"}
    old_run(tmp_path, {"lora_alpha": scale, "lora_rank": RANKS}, fixed)
    _, space = load_bound(tmp_path)
    old = {"lora_rank": 10, "mono_ratio": 1.0, "alpha": 1.0, "lora_alpha": 2.0} | fixed
    recipe = Recipe.model_validate(old)
    same = recipe.model_copy(update={"lora_alpha": 20.0})
    assert recipe.lora_alpha is None and space.params(recipe)["lora_alpha"] == 20.0
    assert _misfit(recipe, space) is None
    coordinates = Coordinates(space, [recipe])
    assert coordinates.features([recipe]).tolist() == coordinates.features([same]).tolist()


def test_where_it_is_off_nothing_is_written_out():
    lora = {"method": Condition(among=("lora",))}
    space = Space(
        parameters={
            "method": Choices(type="categorical", choices=("full", "lora")),
            "lora_alpha": FloatRange(type="float", low=4, high=64, when=lora),
        },
        fixed={"parallel_size": 64},
    )
    for method, expected in (("full", None), ("lora", 32.0)):
        assert space.written_out(Recipe(parallel_size=64, method=method)).lora_alpha == expected
    explicit = Recipe(parallel_size=64, method="lora", lora_alpha=8.0)
    assert space.written_out(explicit) == explicit
