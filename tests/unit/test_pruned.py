"""What is left of a trial that a rung ended: in the study, on the front, in what a person reads."""

from io import StringIO

import optuna
import pytest
from ledger_factory import ledger_in, run, states_in, trials_in, write
from records_factory import make_pruned, make_record, make_run, make_rung, make_study
from rich.console import Console

from mtray.commands.rerun import side_by_side
from mtray.commands.status import trial_lines
from mtray.report.export import export_front, front_rows, read_front
from mtray.report.records import RunRecords, read_records, write_record
from mtray.report.tables import summary_lines
from mtray.schema import Budget, TrialRecord
from mtray.search.execution.console import LiveTable
from mtray.search.ledger.journal_overview import read_overview


def leave_pruned(run_dir, job, by=(0, 1)):
    write_record(run_dir, make_pruned(job.number, job.recipe, by))


def test_a_pruned_trial_is_told_as_such_and_never_comes_again(tmp_path):
    jobs = run(tmp_path, 4)
    for job in jobs:
        write(tmp_path, job)
    ledger = ledger_in(tmp_path)
    job = ledger.next(6)
    leave_pruned(tmp_path, job)
    assert ledger.tell(job.number).state == "pruned"
    assert ledger.finished == 5 and ledger.running == 0
    told = trials_in(tmp_path)[job.number]
    assert told.state == optuna.trial.TrialState.PRUNED and told.values is None
    assert told.user_attrs["reason"] == "rung 2: too bad"
    curve = told.user_attrs["rungs"]
    assert [r["step"] for r in curve] == [16, 32]
    assert curve[1]["objectives"]["quality"] == {"value": 0.4, "error": 0.01}
    ledger = ledger_in(tmp_path)
    assert ledger.finished == 5 and ledger.next(6).number == 5 and ledger.next(6) is None


def test_a_pruned_record_that_was_not_told_is_told_at_the_next_start(tmp_path):
    ledger = ledger_in(tmp_path)
    leave_pruned(tmp_path, ledger.next(3))
    assert ledger_in(tmp_path).finished == 1
    assert [s.name for s in states_in(tmp_path)].count("PRUNED") == 1


def test_pruned_trials_are_no_failures(tmp_path):
    ledger = ledger_in(tmp_path)
    for _ in range(3):
        job = ledger.next(9)
        leave_pruned(tmp_path, job)
        ledger.tell(job.number)
    assert not ledger.all_failed(3)


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_a_resumed_sweep_with_pruned_trials_asks_for_the_same(tmp_path, sampler):
    """The sampler's guess is in the journal: a restart does not work it out from other records."""

    options = {"sampler": sampler, "budget": Budget(trials=14, replicate_share=0, confirm=0)}

    def go(run_dir, reopen):
        run_dir.mkdir()
        ledger, recipes = ledger_in(run_dir, **options), []
        while (job := ledger.next(14)) is not None:
            recipes.append(job.recipe)
            if job.number in (8, 9):
                leave_pruned(run_dir, job)
            else:
                path = write(run_dir, job)
                record = TrialRecord.model_validate_json(path.read_bytes())
                rungs = (make_rung(0.6, 0.6),)
                write_record(run_dir, record.model_copy(update={"rungs": rungs}))
            if reopen:
                ledger = ledger_in(run_dir, **options)
            else:
                ledger.tell(job.number)
        return recipes

    assert go(tmp_path / "a", False) == go(tmp_path / "b", True)
    assert "expected" in trials_in(tmp_path / "a")[8].user_attrs


def test_pruned_trials_are_off_the_front_and_named(tmp_path):
    study = make_study()
    records = make_run(6)
    good = make_rung(0.99, 1.0)  # better than all that came to their end
    early = [make_pruned(20).model_copy(update={"rungs": (good,)}), make_pruned(21)]
    for record in [*records, *early]:
        write_record(tmp_path, record)
    front = read_front(tmp_path, study)
    assert front.pruned == {20: "rung 2: too bad", 21: "rung 2: too bad"}
    assert not {20, 21} & {*front.front, *(p.number for p in front.points)}
    assert front.searched == 6 and 20 not in front.failed
    assert not {20, 21} & {row["number"] for row in front_rows(front)}
    result = export_front(tmp_path, study)
    assert "pruned early, not on the front: trials 20, 21" in "\n".join(summary_lines(result))
    assert "too bad" in result.files["html"].read_text()
    without = tmp_path / "without"
    for record in records:
        write_record(without, record)
    assert read_front(without, study).hypervolume == front.hypervolume


def test_status_shows_them_with_their_reason(tmp_path):
    run(tmp_path, 2)
    ledger = ledger_in(tmp_path)
    job = ledger.next(4)
    leave_pruned(tmp_path, job)
    ledger.tell(job.number)
    entries = read_overview(tmp_path).trials
    assert (entries[2].stage, entries[2].reason) == ("pruned", "rung 2: too bad")
    lines = trial_lines(read_records(tmp_path), entries, make_study(), None)
    assert lines[0].startswith("trials: 2 complete, 1 pruned, 0 failed of 14 asked for")
    assert "pruned: trial 2: rung 2: too bad" in lines
    without = trial_lines(RunRecords(()), entries, None, None)
    assert "pruned: trial 2: rung 2: too bad" in without


def test_terminal_and_rerun_say_why_it_has_no_result():
    text = StringIO()
    LiveTable(Console(file=text, width=400), total=9, finished=0, concurrent=1).ended(
        make_pruned(7)
    )
    assert "trial 7 PRUNED at rung 2: too bad  9s" in text.getvalue()
    head = side_by_side(make_pruned(7), make_record(7))[0]
    assert head.endswith("the recorded trial was pruned at rung 2: too bad")
