"""Records of a run that is looked at again and again."""

from records_factory import make_record

from mtray.report import watched_records
from mtray.report.records import write_record
from mtray.report.watched_records import WatchedRecords
from mtray.run_files import result_path


def test_only_changed_records_are_read_again(tmp_path, monkeypatch):
    for number in (-1, 2, 3, 4, 5):
        write_record(tmp_path, make_record(number, role="base" if number < 0 else "search"))
    files, read = WatchedRecords(tmp_path), []
    real = watched_records.read_record
    monkeypatch.setattr(
        watched_records, "read_record", lambda path: read.append(path) or real(path)
    )
    first = files.look()
    assert len(first.records) == len(read) == 5
    second = files.look()
    assert len(read) == 5
    assert all(a is b for a, b in zip(first.records, second.records, strict=True))
    result_path(tmp_path, 4).write_text("{")
    result_path(tmp_path, 5).unlink()
    found = files.look()
    assert len(read) == 6 and len(found.records) == 3 and len(found.damaged) == 1
