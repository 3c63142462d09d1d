"""Finished trials of earlier runs: which fit, and that they are taken over once and whole."""

from dataclasses import replace

import numpy as np
import pytest
from ledger_factory import (
    REFERENCES,
    SPACE,
    ledger_in,
    lucky_run,
    states_in,
    study_of,
    trials_in,
    write_lucky,
)
from optuna.trial import TrialState
from records_factory import make_failed, make_record

from mtray.commands.rerun import find_record
from mtray.commands.status import trial_lines
from mtray.errors import ConfigError, RunError
from mtray.report.draws import read_draws, write_draws
from mtray.report.export import read_front
from mtray.report.records import read_record, read_records, result_path, write_record
from mtray.schema import Budget, EarlyStopping, Origin, Recipe, Training, TrialRecord
from mtray.search.overview import read_overview
from mtray.search.run_folder import bind
from mtray.search.warmstart import find_run, survey, surveys
from mtray.space import Choices, FloatRange, IntRange, Space
from mtray.sweep import arguments


def run(run_dir, total, taken=(), space=SPACE, reopen=False, **changes):
    """A run on the tabulated objective, its folder bound to study and space."""
    run_dir.mkdir(parents=True, exist_ok=True)
    bind(run_dir, study_of(**changes), space)
    return lucky_run(run_dir, total, reopen, write_with_draws, space=space, taken=taken, **changes)


def write_with_draws(run_dir, job):
    scores = read_record(write_lucky(run_dir, job)).objectives
    noise = np.random.default_rng(job.number).normal(0, 0.02, 20)
    write_draws(run_dir, job.number, {name: s.value + noise for name, s in scores.items()})


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """An earlier run: baselines 0 to 3, searched trials up to 13, of which 11 failed."""
    run_dir = tmp_path_factory.mktemp("runs") / "old"
    run(run_dir, 14, budget=Budget(replicate_share=0))
    write_record(run_dir, make_failed(11))
    return run_dir


def taken_from(run_dir, space=SPACE, **changes):
    return survey(run_dir, study_of(**changes), space)


def narrow(**changes):
    return Space(parameters={**SPACE.parameters, **changes}, fixed=SPACE.fixed)


def test_every_complete_trial_of_the_same_question_fits(old):
    found = taken_from(old, name="new", seed=9, sampler="tpe", budget=Budget(trials=3),
                       early_stopping=EarlyStopping(rungs=(0.2, 0.5)))  # fmt: skip
    # the baselines switch off the replay that this space fixes, so they are no points of it
    assert [t.record.number for t in found.taken] == [4, 5, 6, 7, 8, 9, 10, 12, 13]
    assert found.left_out[-1] == "trial 11: failed, not complete"
    assert "trial 0: replay_fraction is 0.0, here fixed to 0.1" in found.left_out
    assert found.lines()[0] == f"--from {old}: 9 of 14 trials fit"


OTHER_QUESTIONS = [
    ({"model": "other"}, r"study\.model was 'embedded' there and is 'other' here"),
    ({"training": Training(epochs=2)}, r"study\.training\.epochs was 1 there and is 2 here"),
    ({"objectives": {"quality": "max", "retention": "min"}}, r"study\.objectives\.retention"),
    ({"template": "alma"}, r"study\.template"),
]


@pytest.mark.parametrize("changes, message", OTHER_QUESTIONS)
def test_a_run_of_another_question_does_not_fit(old, changes, message):
    with pytest.raises(RunError, match=message):
        taken_from(old, **changes)


def test_the_order_of_objectives_is_no_other_question(old):
    swapped = {"retention": "max", "quality": "max"}
    assert len(taken_from(old, objectives=swapped).taken) == 9


def test_a_trial_outside_the_new_space_is_named(old):
    rates = {t.record.number: t.record.recipe.learning_rate for t in taken_from(old).taken}
    middle = sorted(rates.values())[4]
    upper = FloatRange(type="float", low=middle * 0.999, high=4e-3, log=True)
    found = taken_from(old, narrow(learning_rate=upper))
    assert {t.record.number for t in found.taken} == {n for n, r in rates.items() if r >= middle}
    reasons = [r for r in found.left_out if "learning_rate" in r]
    assert len(reasons) == 4 and "is not within" in reasons[0]


def test_choices_steps_and_fixed_values_must_hold_too(old):
    assert not taken_from(old, narrow(mono_ratio=Choices(type="categorical", choices=(7.0,)))).taken
    fixed = Space(parameters=SPACE.parameters, fixed={"replay_fraction": 0.1, "frozen_layers": 2})
    left = taken_from(old, fixed).left_out
    assert "trial 4: frozen_layers is 0, here fixed to 2" in left
    sizes = IntRange(type="int", low=256, high=8192, step=7936)
    assert not taken_from(old, narrow(parallel_size=sizes)).taken


def test_baselines_that_the_new_run_has_too_stay_baselines(tmp_path):
    space = Space(parameters=SPACE.parameters)
    run(tmp_path / "old", 6, space=space)
    taken = taken_from(tmp_path / "old", space).taken
    assert [t.record.role for t in taken][:4] == REFERENCES
    jobs = run(tmp_path / "new", 4, taken, space=space)
    assert {j.role for j in jobs} == {"search"}
    front = read_front(tmp_path / "new", study_of())
    assert {p.role for p in front.points} == {"base", "search", *REFERENCES}

    smaller = narrow(parallel_size=IntRange(type="int", low=256, high=8100, log=True))
    smaller = smaller.model_copy(update={"fixed": {}})
    jobs = run(tmp_path / "smaller", 4, taken_from(tmp_path / "old", smaller).taken, space=smaller)
    assert [j.role for j in jobs] == REFERENCES, "another largest size, so other baselines"


def test_taken_trials_are_complete_trials_of_the_new_run(old, tmp_path):
    found = taken_from(old).taken
    new = tmp_path / "new"
    jobs = run(new, 7, found)
    # 9 are taken over; --trials counts the run's own
    assert [j.number for j in jobs] == list(range(9, 16))
    assert [j.role for j in jobs[:4]] == REFERENCES and len(jobs) == 7
    records = {r.number: r for r in read_records(new).sound()}
    assert sorted(records) == list(range(-1, 16))
    for number, taken in enumerate(found):
        copy = records[number]
        assert copy.taken_from == Origin(run=str(old), number=taken.record.number)
        assert (copy.recipe, copy.objectives) == (taken.record.recipe, taken.record.objectives)
        there = read_draws(old, taken.record.number, ["quality"])["quality"]
        np.testing.assert_array_equal(read_draws(new, number, ["quality"])["quality"], there)
        assert trials_in(new)[number].values == [
            copy.objectives[name].value for name in ("quality", "retention")
        ]
    front = read_front(new, study_of())
    assert len(front.points) == 9 + 7 + 1
    assert find_record(new, "3").taken_from.number == found[3].record.number
    lines = trial_lines(read_records(new), read_overview(new).trials, study_of(), False)
    assert lines[0].startswith("trials: 7 complete, 0 failed")
    assert "taken over from earlier runs: 9 trials" in lines


def test_with_enough_of_them_no_space_filling_points_are_needed(old, tmp_path):
    found = taken_from(old).taken
    few, many = run(tmp_path / "few", 12, found[:3]), run(tmp_path / "many", 12, found)
    suggested = [
        sum("sampler" in t.user_attrs and not t.user_attrs.get("replicate") for t in trials_in(d))
        for d in (tmp_path / "few", tmp_path / "many")
    ]
    assert len(few) == len(many) == 12
    assert suggested[0] == 2 and suggested[1] >= 5


def test_nothing_is_taken_twice(old, tmp_path):
    found = taken_from(old).taken
    new = tmp_path / "new"
    run(new, 3, found)
    assert len(run(new, 5, found)) == 2
    assert len(run(new, 6)) == 1, "nor lost without --from"
    assert ledger_in(new).taken_over == 9
    third = taken_from(new)
    both = [*third.taken, *found]
    run(tmp_path / "third", 1, both)
    ledger = ledger_in(tmp_path / "third")
    own = [t for t in third.taken if t.record.taken_from is None]
    assert ledger.taken_over == 9 + len(own), "a copy of a trial is that trial"


def test_taken_trials_cut_off_in_the_middle_are_taken_again(old, tmp_path, monkeypatch):
    from mtray.search import warmstart

    found, new, calls = taken_from(old).taken, tmp_path / "new", []

    def killed(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return write_record(*args)

    monkeypatch.setattr(warmstart, "write_record", killed)
    with pytest.raises(KeyboardInterrupt):
        run(new, 3, found)
    assert states_in(new)[2] == TrialState.RUNNING
    jobs = run(new, 3, found)
    assert [j.role for j in jobs] == REFERENCES[:3]
    assert ledger_in(new).taken_over == 9
    assert states_in(new).count(TrialState.FAIL) == 1
    assert TrialState.RUNNING not in states_in(new)


def test_a_sweep_with_taken_trials_is_resumed_alike(old, tmp_path):
    found = taken_from(old).taken
    through = run(tmp_path / "a", 14, found)
    assert run(tmp_path / "b", 14, found, reopen=True) == through
    assert any(j.replicate for j in through)


@pytest.mark.parametrize("sampler", ["random", "sobol"])
def test_the_search_does_not_suggest_the_same_again(old, tmp_path, sampler):
    there = {t.record.recipe for t in taken_from(old).taken}
    jobs = run(tmp_path / "new", 20, taken_from(old).taken[:3], sampler=sampler,
               budget=Budget(replicate_share=0))  # fmt: skip
    assert not there & {j.recipe for j in jobs if j.role == "search"}
    assert not any(j.replicate for j in jobs)


def test_replicates_keep_what_they_repeat(tmp_path):
    space = Space(parameters=SPACE.parameters)  # which holds the baselines too
    jobs = run(tmp_path / "old", 20, space=space)
    repeats = [j for j in jobs if j.replicate]
    assert len(repeats) == 5
    run(tmp_path / "new", 1, taken_from(tmp_path / "old", space).taken, space=space)
    records = {r.number: r for r in read_records(tmp_path / "new").sound()}
    copies = {r.taken_from.number: r for r in records.values() if r.taken_from}
    for job in repeats:
        copy = copies[job.number]
        assert (copy.replicate, copy.seed) == (job.replicate, job.seed)
        assert records[copy.of].taken_from.number == job.of
        assert records[copy.of].recipe == copy.recipe


def test_what_a_trial_was_at_other_alphas_comes_with_it(tmp_path):
    run(tmp_path / "old", 5)
    old = read_record(result_path(tmp_path / "old", 4))
    half = old.recipe.model_copy(update={"alpha": 0.5})
    changes = {"number": 2_000_004, "recipe": half, "trained_as": 4}
    write_record(tmp_path / "old", old.model_copy(update=changes))
    found = taken_from(tmp_path / "old")
    assert [t.record.number for t in found.taken] == [4]
    assert not any("2000004" in reason for reason in found.left_out)
    run(tmp_path / "new", 1, found.taken)
    new = read_records(tmp_path / "new").sound()
    copies = {r.taken_from.number: r for r in new if r.taken_from}
    other, trial = copies[2_000_004], copies[4]
    assert other.recipe == half and other.trained_as == trial.number
    assert other.number == 2_000_000 + trial.number


def test_a_recipe_that_was_taken_over_may_be_repeated(old, tmp_path):
    jobs = run(tmp_path / "new", 14, taken_from(old).taken, budget=Budget(replicate_share=0.5))
    repeats = [j for j in jobs if j.replicate]
    assert repeats
    for job in repeats:
        assert read_record(result_path(tmp_path / "new", job.of)).recipe == job.recipe


def test_the_curve_on_the_way_stays_behind(tmp_path):
    """Its rungs may be other shares of the steps than the new run's."""
    run(tmp_path / "old", 5)
    path = result_path(tmp_path / "old", 4)
    record = read_record(path)
    rung = {"rung": 0, "step": 5, "steps": 20, "objectives": {"quality": {"value": 1, "error": 1}}}
    write_record(tmp_path / "old", type(record).model_validate(
        {**record.model_dump(), "rungs": [rung]}))  # fmt: skip
    run(tmp_path / "new", 1, taken_from(tmp_path / "old").taken)
    assert read_record(path).rungs and not read_record(result_path(tmp_path / "new", 0)).rungs


def test_a_damaged_record_is_left_out_and_named(tmp_path):
    run(tmp_path / "old", 6)
    result_path(tmp_path / "old", 5).write_text("{")
    found = taken_from(tmp_path / "old")
    assert [t.record.number for t in found.taken] == [4]
    assert found.left_out[0].startswith("0005: the whole file")


def test_a_run_is_found_by_path_or_by_name(old, tmp_path):
    assert find_run(str(old), tmp_path) == find_run("old", old.parent) == old
    with pytest.raises(RunError, match=r"--from oldd: no such run .*runs in .*: old$"):
        find_run("oldd", old.parent)
    with pytest.raises(RunError, match=r"runs in .*: none"):
        find_run("old", tmp_path)


def test_a_run_is_not_its_own_earlier_run(old):
    with pytest.raises(ConfigError, match="this is the run itself"):
        surveys(["old"], old.parent, "old", study_of(), SPACE)
    found = surveys(["old", str(old)], old.parent, "new", study_of(), SPACE)
    assert [s.run_dir for s in found] == [old]


class Later(TrialRecord):
    new: int = 0


def test_two_trials_of_one_recipe_and_seed_are_told_apart_by_what_they_measured(tmp_path):
    run(tmp_path / "a", 5), run(tmp_path / "b", 5)
    same = [taken_from(tmp_path / name).taken[0] for name in "ab"]
    assert same[0].record.recipe == same[1].record.recipe
    assert same[0].known_by == same[1].known_by
    whole = same[0].record
    later = Later.model_validate(whole.model_dump())
    assert replace(same[0], record=later).known_by == same[0].known_by, "older than the field"
    record = make_record(4, 0.111, recipe=Recipe(**same[0].record.recipe.model_dump()))
    write_record(tmp_path / "b", record)
    assert taken_from(tmp_path / "b").taken[0].known_by != same[0].known_by


def test_the_option_may_be_given_several_times():
    assert vars(arguments(["--from", "a", "--from", "b"]))["from"] == ["a", "b"]
    assert vars(arguments([]))["from"] == []
