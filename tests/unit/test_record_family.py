"""A trial and further points of its training: all of them are there in the end, whenever a process
died."""

import pytest
from ledger_factory import ledger_in, lucky_run, states_in, study_of, write_lucky
from optuna.trial import TrialState
from records_factory import make_failed

from mtray.report.records import read_record, read_records, write_record
from mtray.run_files import result_path
from mtray.schema import Budget, Training
from mtray.search.ledger import record_family
from mtray.search.ledger.record_family import PENDING, complete_family, pending, write_family

POINTS = ({"reversion_alpha": 0.25}, {"stop_after": 0.5})
EVALUATION = {"reversion": (0.25,), "intermediate_checkpoints": (0.5,)}
STUDY = {
    "evaluation": study_of().evaluation.model_copy(update=EVALUATION),
    "training": Training(schedule="constant"),
    "budget": Budget(replicate_share=0, confirm=0),
}


def reverted_of(record):
    """The further points of a trial: at the study's alpha, and after half of its steps."""
    return [
        record.model_copy(
            update={
                "number": (place + 1) * 1_000_000 + record.number,
                "trained_as": record.number,
                "recipe": record.recipe.model_copy(update=change),
                "role": "search",
            }
        )
        for place, change in enumerate(POINTS)
    ]


def rows(run_dir):
    return [r.number for r in read_records(run_dir).sound() if r.number >= 0]


@pytest.fixture
def begun(tmp_path):
    """A run of three trials, the last of which was dispatched and has no record yet; and that
    record, elsewhere."""
    lucky_run(tmp_path / "run", 2, **STUDY)
    job = ledger_in(tmp_path / "run", **STUDY).next(3)
    return tmp_path / "run", read_record(write_lucky(tmp_path / "elsewhere", job))


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_a_family_cut_off_is_mended_at_the_next_start(begun, monkeypatch, after):
    """Killed after so many records: the trial runs again, or all of it is there."""
    run_dir, record = begun
    written = []

    def killed(run_dir, record):
        if len(written) == after:
            raise KeyboardInterrupt
        written.append(record.number)
        return write_record(run_dir, record)

    with monkeypatch.context() as patch:
        patch.setattr(record_family, "write_record", killed)
        if after < 3:
            with pytest.raises(KeyboardInterrupt):
                write_family(run_dir, record, reverted_of(record))
        else:
            write_family(run_dir, record, reverted_of(record))
    assert written == [2, 1_000_002, 2_000_002][:after]
    assert rows(run_dir) == [0, 1, *written]
    ledger = ledger_in(run_dir, **STUDY)
    whole = [2, 1_000_002, 2_000_002] if after else []
    assert rows(run_dir) == [0, 1, *whole]
    assert states_in(run_dir)[2] == (TrialState.COMPLETE if after else TrialState.WAITING)
    assert not list(run_dir.rglob(PENDING)) and not ledger.records.damaged
    if not after:
        assert ledger.next(3).number == 2


def test_a_family_cut_off_within_a_sweep_is_mended_when_the_trial_is_told(begun):
    run_dir, record = begun
    ledger = ledger_in(run_dir, **STUDY)
    assert ledger.next(3).number == 2
    records = [r.model_dump(mode="json") for r in reverted_of(record)]
    record_family.write_json(pending(run_dir, 2), records)
    write_record(run_dir, record)
    ledger.tell(2)
    assert rows(run_dir) == [0, 1, 2, 1_000_002, 2_000_002]


@pytest.mark.parametrize("failed", [False, True])
def test_rows_without_their_trial_are_moved_away(begun, failed):
    """As a version left them that wrote them first; of a trial that was told they stay."""
    run_dir, record = begun
    for other in (*reverted_of(record), *reverted_of(read_record(result_path(run_dir, 1)))):
        write_record(run_dir, other)
    if failed:
        write_record(run_dir, make_failed(2))
    ledger = ledger_in(run_dir, **STUDY)
    assert rows(run_dir) == [0, 1, *([2] if failed else []), 1_000_001, 2_000_001]
    assert len(ledger.records.damaged) == 2
    assert "1000002/result.json: its trial is missing; moved to" in ledger.records.damaged[0]
    assert ledger_in(run_dir, **STUDY).records.damaged == []


def test_what_waits_and_cannot_be_read_is_named(begun):
    run_dir, record = begun
    write_record(run_dir, record)
    pending(run_dir, 2).write_text("[{]")
    ledger = ledger_in(run_dir, **STUDY)
    (told,) = ledger.records.damaged
    assert "0002/reverted.json: " in told and "the further points of the trial are lost" in told
    assert states_in(run_dir)[2] == TrialState.COMPLETE


def test_a_trial_alone_leaves_nothing_beside_its_record(begun):
    run_dir, record = begun
    write_family(run_dir, record, [])
    assert [p.name for p in pending(run_dir, 2).parent.iterdir()] == ["result.json"]
    complete_family(run_dir, 2)
