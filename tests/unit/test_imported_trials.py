"""Finished trials of earlier runs: that they are taken over once and whole."""

import numpy as np
import pytest
from ledger_factory import (
    REFERENCES,
    SPACE,
    ledger_in,
    states_in,
    study_of,
    trials_in,
)
from optuna.trial import TrialState
from records_factory import make_failed
from warmstart_factory import narrow, old_run, run, searched, taken_from

from mtray.commands.status import trial_lines
from mtray.report.bootstrap_draws import read_draws
from mtray.report.export import read_front
from mtray.report.records import read_record, read_records, write_record
from mtray.retrain import find_record
from mtray.run_files import result_path
from mtray.schema import Budget, Origin
from mtray.search.ledger.journal_overview import read_overview
from mtray.search_space.parameters import Choices, FloatRange, IntRange
from mtray.search_space.space import Space


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    return old_run(tmp_path_factory.mktemp("runs") / "old")


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
    found = taken_from(tmp_path / "old", smaller)
    jobs = run(tmp_path / "smaller", 4, found.taken, space=smaller)
    assert [j.role for j in jobs] == REFERENCES, "another largest size, so other baselines"
    assert found.left_out[0] == (
        "trial 0: parallel_size 8192 is not within 256 to 8100, log scale, and the baseline "
        "parallel_only has parallel_size 8192 there and 8100 here"
    )
    assert len(found.taken) + len(found.left_out) == 6, "of nothing is nothing said"


OUTSIDE = [
    SPACE,  # fixes a replay that baselines switch off
    narrow(mono_ratio=FloatRange(type="float", low=0.0, high=1.5)),
    narrow(mono_ratio=Choices(type="categorical", choices=(0.5, 1.0))),
    Space(
        parameters={n: p for n, p in SPACE.parameters.items() if n != "mono_ratio"},
        fixed={"replay_fraction": 0.1, "mono_ratio": 0.5},
    ),
]


@pytest.mark.parametrize("space", OUTSIDE)
def test_baselines_outside_the_ranges_come_along_in_their_role(tmp_path, space):
    run(tmp_path / "old", 6, space=space)
    found = taken_from(tmp_path / "old", space)
    assert [t.record.role for t in found.taken] == [*REFERENCES, "search", "search"]
    assert not found.left_out
    through, again = (run(tmp_path / name, 3, found.taken, space=space, reopen=reopen)
                      for name, reopen in (("new", False), ("again", True)))  # fmt: skip
    assert through == again and [j.role for j in through] == ["search"] * 3
    there, here = (
        {r.role: r for r in read_records(tmp_path / name).sound() if r.role in REFERENCES}
        for name in ("old", "new")
    )
    assert here.keys() == set(REFERENCES)
    for role, record in here.items():
        assert record.recipe == there[role].recipe and record.taken_from.number < 4
    # as this run's own baselines would stand there
    asked = {t.user_attrs["role"]: (t.params, t.user_attrs.get("exact"))
             for t in trials_in(tmp_path / "new")[:4]}  # fmt: skip
    own = {t.user_attrs["role"]: (t.params, t.user_attrs.get("exact"))
           for t in trials_in(tmp_path / "old")[:4]}  # fmt: skip
    assert asked == own


def test_replicates_of_baselines_outside_come_along_too(tmp_path):
    run(tmp_path / "old", 5)
    first = read_record(result_path(tmp_path / "old", 0))
    again = first.model_copy(update={"number": 9, "seed": 2, "replicate": 1, "of": 0})
    write_record(tmp_path / "old", again)
    run(tmp_path / "new", 1, taken_from(tmp_path / "old").taken)
    copies = {r.taken_from.number: r for r in read_records(tmp_path / "new").sound()
              if r.taken_from}  # fmt: skip
    assert (copies[9].role, copies[9].replicate) == ("parallel_only", 1)
    assert copies[9].of == copies[0].number


def test_a_replicate_is_no_baseline(tmp_path):
    """The original failed there, so this run makes its own."""
    run(tmp_path / "old", 5)
    first = read_record(result_path(tmp_path / "old", 0))
    again = first.model_copy(update={"number": 9, "seed": 2, "replicate": 1, "of": 0})
    write_record(tmp_path / "old", again)
    write_record(tmp_path / "old", make_failed(0).model_copy(update={"role": "parallel_only"}))
    jobs = run(tmp_path / "new", 2, taken_from(tmp_path / "old").taken)
    assert [j.role for j in jobs] == ["parallel_only", "search"]


def test_taken_trials_are_complete_trials_of_the_new_run(old, tmp_path):
    found = searched(taken_from(old))
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
    lines = trial_lines(read_records(new), read_overview(new).trials, study_of(), None)
    assert lines[0].startswith("trials: 7 complete, 0 failed")
    assert "imported from earlier runs: 9 trials" in lines


def test_with_enough_of_them_no_space_filling_points_are_needed(old, tmp_path):
    found = searched(taken_from(old))
    few, many = run(tmp_path / "few", 12, found[:3]), run(tmp_path / "many", 12, found)
    suggested = [
        sum("sampler" in t.user_attrs and not t.user_attrs.get("replicate") for t in trials_in(d))
        for d in (tmp_path / "few", tmp_path / "many")
    ]
    assert len(few) == len(many) == 12
    assert suggested[0] == 2 and suggested[1] >= 5


def test_nothing_is_taken_twice(old, tmp_path):
    found = searched(taken_from(old))
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
    from mtray.search.ledger import record_family

    found, new, calls = searched(taken_from(old)), tmp_path / "new", []

    def killed(*args):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return write_record(*args)

    monkeypatch.setattr(record_family, "write_record", killed)
    with pytest.raises(KeyboardInterrupt):
        run(new, 3, found)
    assert states_in(new)[2] == TrialState.RUNNING
    jobs = run(new, 3, found)
    assert [j.role for j in jobs] == REFERENCES[:3]
    assert ledger_in(new).taken_over == 9
    assert states_in(new).count(TrialState.FAIL) == 1
    assert TrialState.RUNNING not in states_in(new)


def test_a_sweep_with_taken_trials_is_resumed_alike(old, tmp_path):
    found = searched(taken_from(old))
    through = run(tmp_path / "a", 14, found)
    assert run(tmp_path / "b", 14, found, reopen=True) == through
    assert any(j.replicate for j in through)


@pytest.mark.parametrize("sampler", ["random", "sobol"])
def test_the_search_does_not_suggest_the_same_again(old, tmp_path, sampler):
    there = {t.record.recipe for t in taken_from(old).taken}
    jobs = run(tmp_path / "new", 20, searched(taken_from(old))[:3], sampler=sampler,
               budget=Budget(replicate_share=0, confirm=0))  # fmt: skip
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


@pytest.mark.parametrize("change", [{"reversion_alpha": 0.5}, {"stop_after": 0.25}])
def test_further_points_of_a_trial_come_with_it(tmp_path, change):
    run(tmp_path / "old", 5)
    old = read_record(result_path(tmp_path / "old", 4))
    half = old.recipe.model_copy(update=change)
    changes = {"number": 2_000_004, "recipe": half, "trained_as": 4}
    write_record(tmp_path / "old", old.model_copy(update=changes))
    found = taken_from(tmp_path / "old")
    assert [t.record.number for t in searched(found)] == [4]
    assert not any("2000004" in reason for reason in found.left_out)
    run(tmp_path / "new", 1, found.taken)
    new = read_records(tmp_path / "new").sound()
    copies = {r.taken_from.number: r for r in new if r.taken_from}
    other, trial = copies[2_000_004], copies[4]
    assert other.recipe == half and other.trained_as == trial.number
    assert other.number == 2_000_000 + trial.number


@pytest.mark.parametrize("after", [1, 2])
def test_of_a_trial_with_other_alphas_all_or_nothing_is_taken_over(tmp_path, monkeypatch, after):
    """Killed after so many records; the next start does without `--from`."""
    from mtray.search.ledger import record_family

    evaluation = study_of().evaluation.model_copy(update={"reversion": (0.25, 0.5)})
    run(tmp_path / "old", 5, evaluation=evaluation)
    old = read_record(result_path(tmp_path / "old", 4))
    for number, alpha in ((1_000_004, 0.25), (2_000_004, 0.5)):
        recipe = old.recipe.model_copy(update={"reversion_alpha": alpha})
        changes = {"number": number, "recipe": recipe, "trained_as": 4}
        write_record(tmp_path / "old", old.model_copy(update=changes))
    found = searched(taken_from(tmp_path / "old", evaluation=evaluation))
    calls = []

    def killed(*args):
        if len(calls) == after:
            raise KeyboardInterrupt
        calls.append(1)
        return write_record(*args)

    with monkeypatch.context() as patch:
        patch.setattr(record_family, "write_record", killed)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "new", 1, found, evaluation=evaluation)
    rows = [r.number for r in read_records(tmp_path / "new").sound() if r.number >= 0]
    assert rows == [0, 1_000_000, 2_000_000][:after], "first the trial"
    ledger_in(tmp_path / "new", evaluation=evaluation)
    rows = [r.number for r in read_records(tmp_path / "new").sound() if r.number >= 0]
    assert rows == [0, 1_000_000, 2_000_000]
    assert states_in(tmp_path / "new")[0] == TrialState.COMPLETE
    assert not list((tmp_path / "new").rglob("reverted.json"))


def test_a_recipe_that_was_taken_over_may_be_repeated(old, tmp_path):
    half = Budget(replicate_share=0.5, trials=2, confirm=0)
    jobs = run(tmp_path / "new", 14, taken_from(old).taken, budget=half)
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
