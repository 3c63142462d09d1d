"""Finished trials of earlier runs: which fit a run, and why the others do not."""

import pytest
from ledger_factory import (
    SPACE,
    study_of,
)
from records_factory import make_record, make_study
from warmstart_factory import STORE, Held, bound_of, narrow, old_run, run, searched, taken_from

from mtray.errors import ConfigError, RunError
from mtray.report.records import read_records, write_record
from mtray.run_files import result_path
from mtray.schema import Budget, EarlyStopping, Filters, Recipe, Training, TrialRecord
from mtray.search.ledger.run_folder import BoundStudy, bind
from mtray.search.ledger.warm_start import digest, earlier_run, earlier_runs, find_run
from mtray.search_space.parameters import Choices, FloatRange, IntRange
from mtray.search_space.space import Space
from mtray.sweep_command import arguments


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    return old_run(tmp_path_factory.mktemp("runs") / "old")


def test_every_complete_trial_of_the_same_question_fits(old):
    found = taken_from(old, name="new", seed=9, sampler="tpe", budget=Budget(trials=3),
                       early_stopping=EarlyStopping(rungs=(0.2, 0.5)))  # fmt: skip
    # the baselines switch off the replay that this space fixes; the new run has the same
    assert [t.record.number for t in found.taken] == [*range(11), 12, 13]
    assert found.left_out == ("trial 11: failed, not complete",)
    head = f"--from {old}: 13 of 14 trials fit; the base model is measured anew"
    assert found.lines() == [head, "  left out: trial 11: failed, not complete"]


OTHER_QUESTIONS = [
    ({"model": "other"}, r"study\.model = 'embedded', now it is 'other'"),
    ({"training": Training(epochs=2)}, r"study\.training\.epochs = 1, now it is 2"),
    ({"template": "alma"}, r"study\.template"),
]


@pytest.mark.parametrize("changes, message", OTHER_QUESTIONS)
def test_a_run_of_another_question_does_not_fit(old, changes, message):
    with pytest.raises(RunError, match=message):
        taken_from(old, **changes)


def test_the_order_of_objectives_is_no_other_question(old):
    swapped = {"retention": "max", "quality": "max"}
    assert len(taken_from(old, objectives=swapped).taken) == 13


def test_a_trial_outside_the_new_space_is_named(old):
    rates = {t.record.number: t.record.recipe.learning_rate for t in searched(taken_from(old))}
    middle = sorted(rates.values())[4]
    upper = FloatRange(type="float", low=middle * 0.999, high=4e-3, log=True)
    found = taken_from(old, narrow(learning_rate=upper))
    assert {t.record.number for t in searched(found)} == {
        n for n, r in rates.items() if r >= middle
    }
    reasons = [r for r in found.left_out if "learning_rate" in r]
    assert len(reasons) == 4 and "is not within" in reasons[0]


def test_choices_steps_and_fixed_values_must_hold_too(old):
    choices = narrow(mono_ratio=Choices(type="categorical", choices=(7.0,)))
    assert not searched(taken_from(old, choices))
    fixed = Space(parameters=SPACE.parameters, fixed={"replay_fraction": 0.1, "frozen_layers": 2})
    left = taken_from(old, fixed).left_out
    assert "trial 4: frozen_layers is 0, here fixed to 2" in left
    sizes = IntRange(type="int", low=256, high=8192, step=7936)
    assert not searched(taken_from(old, narrow(parallel_size=sizes)))


def test_what_was_trained_on_other_data_is_left_out(tmp_path):
    run(tmp_path / "old", 6)

    class Shrunk(Held):
        available = 9_999

    found = taken_from(tmp_path / "old", store={**STORE, "mono": Shrunk()})
    with_mono = [
        r.number
        for r in read_records(tmp_path / "old").records
        if any(s.source == "mono" and s.realised for s in r.mix.shares)
    ]
    assert with_mono and {t.record.number for t in found.taken} == {*range(6)} - {*with_mono}
    assert (
        f"trial {with_mono[0]}: source mono held 10,000 examples there and holds 9,999 here"
        in found.left_out
    )


def with_test(path):
    """The evaluation with test segments in this file."""
    study = study_of()
    quality = study.evaluation.quality[0].model_copy(update={"test": {"path": path}})
    return study.evaluation.model_copy(update={"quality": (quality,)})


def test_a_run_that_looked_for_leakage_in_other_texts_does_not_fit(tmp_path):
    """Another test set, at the first start, keeps other rows of the sources; later it does not."""
    leakage = {"filters": Filters()}
    run(tmp_path / "old", 5, **leakage)
    study = study_of(**leakage, evaluation=with_test("test.tsv"))
    bind(tmp_path / "old", study, SPACE)  # later
    other = BoundStudy(study, SPACE, study.evaluation)
    unset = r"(?s)when that run was started.*quality\.en-uk\.test\.path was not set, now it is "
    with pytest.raises(RunError, match=unset):
        earlier_run(tmp_path / "old", other)
    same = BoundStudy(study, SPACE, study_of(**leakage).evaluation)
    assert len(earlier_run(tmp_path / "old", same).taken) == 1
    unlooked = make_study().filters
    run(tmp_path / "unlooked", 5, filters=unlooked)
    study = study_of(filters=unlooked, evaluation=with_test("test.tsv"))
    assert earlier_run(tmp_path / "unlooked", BoundStudy(study, SPACE, study.evaluation)).taken


def test_a_damaged_record_is_left_out_and_named(tmp_path):
    run(tmp_path / "old", 6)
    result_path(tmp_path / "old", 5).write_text("{")
    found = taken_from(tmp_path / "old")
    assert [t.record.number for t in searched(found)] == [4]
    assert found.left_out[0].startswith("0005: the whole file")


def test_a_run_is_found_by_path_or_by_name(old, tmp_path):
    assert find_run(str(old), tmp_path) == find_run("old", old.parent) == old
    with pytest.raises(RunError, match=r"--from oldd: no such run .*runs in .*: old$"):
        find_run("oldd", old.parent)
    with pytest.raises(RunError, match=r"runs in .*: none"):
        find_run("old", tmp_path)


def test_a_run_is_not_its_own_earlier_run(old):
    with pytest.raises(ConfigError, match="this is the run itself"):
        earlier_runs(["old"], old.parent, "old", bound_of())
    found = earlier_runs(["old", str(old)], old.parent, "new", bound_of())
    assert [s.run_dir for s in found] == [old]


class Later(TrialRecord):
    new: int = 0


def test_two_trials_of_one_recipe_and_seed_are_told_apart_by_what_they_measured(tmp_path):
    run(tmp_path / "a", 5), run(tmp_path / "b", 5)
    same = [searched(taken_from(tmp_path / name))[0] for name in "ab"]
    assert same[0].record.recipe == same[1].record.recipe
    assert same[0].known_by == same[1].known_by
    whole = same[0].record
    later = Later.model_validate(whole.model_dump())
    assert digest(later) == same[0].known_by, "older than the field"
    record = make_record(4, 0.111, recipe=Recipe(**same[0].record.recipe.model_dump()))
    write_record(tmp_path / "b", record)
    assert searched(taken_from(tmp_path / "b"))[0].known_by != same[0].known_by


def test_the_option_may_be_given_several_times():
    assert vars(arguments(["--from", "a", "--from", "b"]))["from"] == ["a", "b"]
    assert vars(arguments([]))["from"] == []
