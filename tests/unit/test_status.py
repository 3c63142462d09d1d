"""When `status` ends with 1 though every file of the run can be read."""

import pytest
from records_factory import make_failed, make_study
from test_cli import SPACE, run, run_dir  # noqa: F401

from mtray.report.records import write_record
from mtray.run_files import result_path
from mtray.schema import Budget
from mtray.search.ledger.ledger import Ledger


def base_failed(folder):
    write_record(folder, make_failed(-1).model_copy(update={"role": "base"}))


def all_failed(folder):
    for number in range(3):
        write_record(folder, make_failed(number))


def all_failed_without_a_record(folder):
    ledger = Ledger(folder, make_study(budget=Budget(trials=9), sampler="random"), SPACE)
    ledger.tell(ledger.next(9).number)  # it ended, and left none
    for number in range(3):
        result_path(folder, number).unlink()


WRONG = {
    base_failed: "wrong: without the base model's scores no trial can be measured",
    all_failed: "wrong: no trial is complete, and 4 failed",
    all_failed_without_a_record: "wrong: no trial is complete, and 5 failed",
}


@pytest.mark.parametrize("harm", WRONG, ids=lambda harm: harm.__name__)
def test_status_ends_with_1_for_a_run_that_gets_nowhere(run_dir, capsys, harm):  # noqa: F811
    assert run("status", run_dir) == 0
    assert "wrong: " not in capsys.readouterr().out
    harm(run_dir)
    assert run("status", run_dir) == 1
    assert f"\n{WRONG[harm]}" in capsys.readouterr().out
