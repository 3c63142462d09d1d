"""The journal of a run that grows, as the page reads it."""

import json

import pytest
from ledger_factory import ledger_in
from records_factory import make_record

from mtray.report.records import write_record
from mtray.run_files import JOURNAL
from mtray.search.ledger import journal_overview
from mtray.search.ledger.journal_overview import Overview, WatchedOverview, read_overview


@pytest.fixture
def grown(tmp_path):
    """The contents of a journal as a sweep writes it, trial after trial."""
    ledger, contents = ledger_in(tmp_path), []
    for _ in range(4):
        job = ledger.next(9)
        contents.append((tmp_path / JOURNAL).read_bytes())
        write_record(tmp_path, make_record(job.number, 0.5, 0.5 + job.number / 10))
        ledger.tell(job.number)
        contents.append((tmp_path / JOURNAL).read_bytes())
    return contents


def test_looks_at_a_journal_that_grows_are_those_at_a_whole_one(tmp_path, grown, monkeypatch):
    parsed = []
    loads = json.loads
    watched = WatchedOverview(tmp_path)
    for content in grown:
        (tmp_path / JOURNAL).write_bytes(content)
        expected = read_overview(tmp_path)
        with monkeypatch.context() as patched:
            patched.setattr(
                journal_overview.json, "loads", lambda line: parsed.append(line) or loads(line)
            )
            assert watched.look() == expected and expected.trials
    lines = [line for line in parsed if isinstance(line, bytes)]
    assert len(lines) == grown[-1].count(b"\n"), "each line is read once"


def test_a_line_that_is_still_being_written_is_read_once_it_is_whole(tmp_path, grown):
    watched, content = WatchedOverview(tmp_path), grown[-1]
    (tmp_path / JOURNAL).write_bytes(content[:-5])
    before = watched.look()
    assert before.damage == "" and before == read_overview(tmp_path)
    (tmp_path / JOURNAL).write_bytes(content)
    assert watched.look() == read_overview(tmp_path) != before


def test_a_journal_that_was_replaced_or_cut_is_read_again(tmp_path, grown):
    (tmp_path / JOURNAL).unlink()
    watched = WatchedOverview(tmp_path)
    assert watched.look() == Overview(())
    for content in (grown[-1], grown[1], grown[-1].replace(b"\n", b" \n", 1)):
        (tmp_path / JOURNAL).write_bytes(content)
        assert watched.look() == read_overview(tmp_path)


def test_damage_is_named_at_every_look(tmp_path, grown):
    lines = grown[-1].splitlines(keepends=True)
    (tmp_path / JOURNAL).write_bytes(b"".join([*lines[:-1], b"not json\n", lines[-1]]))
    watched = WatchedOverview(tmp_path)
    for _ in range(2):
        assert f"line {len(lines)} cannot be read (1 in all)" in watched.look().damage


def test_a_journal_that_could_not_be_replayed_is_read_from_its_beginning(
    tmp_path, grown, monkeypatch
):
    watched, expected = WatchedOverview(tmp_path), read_overview(tmp_path)
    for _ in range(2):
        with monkeypatch.context() as patched:
            patched.setattr(WatchedOverview, "_trials", lambda self: 1 / 0)
            assert "cannot be replayed: ZeroDivisionError" in watched.look().damage
        assert watched.look() == expected
