"""The same run under a changed study: recomputed, told again, and whole after a crash anywhere."""

import json

import numpy as np
import pytest
from ledger_factory import SPACE, ledger_in, run, study_of, write
from measured_factory import abilities_in, measure_run, study_in, tabulate_comet, write_sets
from optuna.trial import TrialState
from records_factory import make_failed, make_pruned, make_record

from mtray.errors import RunError
from mtray.report.bootstrap_draws import read_draws
from mtray.report.records import read_record, read_records, write_record
from mtray.run_files import result_path
from mtray.schema import Limit
from mtray.search.ledger import rebinding
from mtray.search.ledger.journal_overview import read_overview
from mtray.search.ledger.rebinding import rebind, recomputed
from mtray.search.ledger.run_folder import bind, check_bound, load_bound, read_bound
from mtray.search.ledger.run_study import RunStudy
from mtray.search_space.parameters import IntRange
from mtray.search_space.space import Space
from mtray.trial.job import base_job

OTHER = {
    "objectives": {"bleu.en-uk": "max", "retention": "min"},
    "constraints": {"retention": Limit(at_most=0.8)},
}


def old_run(run_dir):
    """Eight trials that ended, 6 pruned and 7 failed; one that runs, and the next waits."""
    run_dir.mkdir(parents=True)
    bind(run_dir, study_of(), SPACE)
    write(run_dir, base_job(study_of()))
    run(run_dir, 6)
    ledger = ledger_in(run_dir)
    for leave in (make_pruned, make_failed):
        job = ledger.next(20)
        write_record(run_dir, leave(job.number))
        ledger.tell(job.number)
    ledger.next(20)
    ledger._study.enqueue(ledger._study.trial(5).params, {"role": "search"})
    return run_dir


def go_on(run_dir, **changes):
    """A start with this study, up to its first trial."""
    study = study_of(**changes)
    check_bound(run_dir, study, SPACE)
    recomputed(run_dir, study, SPACE)
    rebind(run_dir, study, SPACE)
    bind(run_dir, study, SPACE)
    return ledger_in(run_dir, **changes)


def everything(run_dir):
    """All records and all that the journal knows, but for times."""
    ledger = ledger_in(run_dir, **OTHER)
    trials = [(t.number, t.state, t.values, t.params, t.user_attrs) for t in ledger._study.trials()]
    return trials, read_records(run_dir).sound()


def test_the_run_goes_on_with_the_values_of_the_changed_study(tmp_path):
    run_dir = old_run(tmp_path / "mine")
    before = {t.number: t for t in ledger_in(run_dir)._study.trials()}
    ledger = go_on(run_dir, **OTHER)
    after = {t.number: t for t in ledger._study.trials()}
    assert after.keys() == before.keys()
    for number, trial in after.items():
        assert trial.params == before[number].params and trial.state == before[number].state
        if trial.state != TrialState.COMPLETE:
            continue
        record = read_record(result_path(run_dir, number))
        assert list(record.objectives) == list(OTHER["objectives"])
        assert trial.values == [s.value for s in record.objectives.values()]
        assert trial.user_attrs["over"] == record.constraints
        assert trial.user_attrs["cost"] == before[number].user_attrs["cost"]
    states = {r.number: r.state for r in read_records(run_dir).sound()}
    assert states[-1] == "complete" and {"complete", "infeasible"} < set(states.values())
    assert (states[6], states[7]) == ("pruned", "failed")
    entries = [e.stage for e in read_overview(run_dir).trials]
    assert entries == ["finished"] * 6 + ["pruned", "failed", "started", "waiting"]
    assert load_bound(run_dir)[0] == study_of(**OTHER)
    job = ledger.next(20)
    assert job.number == 8 and job.recipe == ledger._recipe(before[8])
    write_record(run_dir, make_record(8, recipe=job.recipe))


def test_the_history_and_what_was_measured_are_kept(tmp_path):
    run_dir = old_run(tmp_path / "mine")
    records = {r.number: r for r in read_records(run_dir).sound()}
    go_on(run_dir, **OTHER)
    go_on(run_dir, objectives={"retention": "max", "bleu.en-uk": "max"})
    found = json.loads((run_dir / "study.json").read_text())
    names = [list(b["study"]["objectives"]) for b in found["bindings"]]
    assert names == [["quality", "retention"], ["bleu.en-uk", "retention"]]
    assert found["optuna"] == "made-up.3" and "pending" not in found
    assert read_bound(run_dir).evaluation == study_of().evaluation
    for number, record in records.items():
        copy = result_path(run_dir, number).with_name("as_measured.json")
        assert type(record).model_validate_json(copy.read_bytes()) == record
    bind(run_dir, load_bound(run_dir)[0], SPACE)
    assert json.loads((run_dir / "study.json").read_text()) == found, "a start keeps the history"


def test_there_and_back_is_where_it_was(tmp_path):
    run_dir = old_run(tmp_path / "mine")
    before = [t.values for t in ledger_in(run_dir)._study.trials()]
    go_on(run_dir, **OTHER)
    ledger = go_on(run_dir)
    assert [t.values for t in ledger._study.trials()] == before
    assert not [r for r in read_records(run_dir).sound() if r.state == "infeasible"]


class Killed(BaseException):
    """As a signal: nothing handles it."""


# a step and the how manieth call is the last; the first `write_json` says what is to come
CUTS = [("write_json", 1), ("write_json", 2)] + [
    (step, after)
    for step in ("write_record", "write_atomically", "copy", "tell_measured")
    for after in (1, 2, 5)
]


def cut_off(monkeypatch, step, after, action):
    """Do it, killed in that call."""
    where = RunStudy if step in ("copy", "tell_measured") else rebinding
    real, calls = getattr(where, step), []

    def killed(*args):
        calls.append(1)
        if len(calls) == after:
            raise Killed
        return real(*args)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(where, step, killed)
        action()


@pytest.mark.parametrize("step, after", CUTS)
def test_cut_off_anywhere_it_is_finished_by_the_next_start(tmp_path, monkeypatch, step, after):
    expected_dir, run_dir = old_run(tmp_path / "a/mine"), old_run(tmp_path / "b/mine")
    go_on(expected_dir, **OTHER)
    expected = everything(expected_dir)
    cut_off(monkeypatch, step, after, lambda: go_on(run_dir, **OTHER))
    begun = "pending" in json.loads((run_dir / "study.json").read_text())
    assert begun is ((step, after) != CUTS[0])
    assert refuses(run_dir) is begun, "half of a run is shown to nobody"
    go_on(run_dir, **OTHER)
    assert everything(run_dir) == expected and not refuses(run_dir)


def refuses(run_dir):
    try:
        load_bound(run_dir)
    except RunError as error:
        return "was cut off while its study was changed" in str(error)
    return False


def test_what_is_not_kept_is_refused_and_nothing_changes(tmp_path):
    run_dir = old_run(tmp_path / "mine")
    before = {p: p.read_bytes() for p in run_dir.rglob("*") if p.is_file()}
    objectives = {"chrf++.en-uk": "max", "retention": "max"}
    with pytest.raises(RunError) as refused:
        go_on(run_dir, objectives=objectives)
    said = str(refused.value)
    assert "objective 'chrf++.en-uk' was not measured" in said and "study.objectives = " in said
    assert "the same command another --name" in said
    with pytest.raises(RunError, match="was started with"):
        bind(run_dir, study_of(**OTHER), SPACE)
    assert {p: p.read_bytes() for p in run_dir.rglob("*") if p.is_file()} == before


def test_a_new_run_has_nothing_to_recompute(tmp_path):
    assert recomputed(tmp_path, study_of(), SPACE) == ()
    rebind(tmp_path, study_of(), SPACE)
    assert not list(tmp_path.iterdir())


def test_a_damaged_record_fails_in_the_changed_study(tmp_path):
    run_dir = old_run(tmp_path / "mine")
    result_path(run_dir, 2).write_text("{")
    trial = go_on(run_dir, **OTHER)._study.trial(2)
    assert trial.state == TrialState.FAIL and "its record is gone" in trial.user_attrs["reason"]


@pytest.mark.parametrize("killed_at", [0, 1, 2, 3])
def test_an_ability_less_is_a_run_that_never_had_it(tmp_path, monkeypatch, killed_at):
    """Killed, too, between the draws of a trial and its record."""
    write_sets(tmp_path)
    tabulate_comet(monkeypatch)
    space = Space(
        parameters={"parallel_size": IntRange(type="int", low=256, high=512)},
        fixed={"learning_rate": 1e-3},
    )
    run_dir = tmp_path / "mine"
    run_dir.mkdir()
    bind(run_dir, study_in(tmp_path), space)
    measure_run(run_dir, study_in(tmp_path))
    kept = {name: s for name, s in abilities_in(tmp_path).items() if name != "german"}
    study = study_in(tmp_path, kept)
    expected = measure_run(tmp_path / "other", study)
    assert check_bound(run_dir, study, space).evaluation == study_in(tmp_path).evaluation
    if killed_at:
        cut_off(monkeypatch, "write_draws", killed_at, lambda: rebind(run_dir, study, space))
    rebind(run_dir, study, space)
    for wanted in expected:
        number = wanted.number
        found = read_record(result_path(run_dir, number))
        assert found.scores.keys() == wanted.scores.keys()
        assert found.objectives["retention"].value == pytest.approx(
            wanted.objectives["retention"].value, rel=1e-13
        )
        for name in ("retention", "retention.worst", "quality"):
            own, draws = (read_draws(f, number, [name]) for f in (run_dir, tmp_path / "other"))
            np.testing.assert_allclose(own[name], draws[name], rtol=1e-6)
