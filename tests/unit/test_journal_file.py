"""The journal's file after a process was killed, or the disk was full, in the middle of a line."""

import errno
import json

import optuna
import pytest

from mtray.search.ledger.journal_file import BLOCK, RunJournal, cut_half_line

LINE = b'{"op_code":5}\n'


@pytest.mark.parametrize(
    "content, kept",
    [
        (b"", 0), (LINE, len(LINE)), (LINE + b"half", len(LINE)), (b"half", 0),
        (LINE + b"x" * (BLOCK - 1), len(LINE)), (LINE + b"x" * BLOCK, len(LINE)),
        (LINE + b"x" * (3 * BLOCK + 7), len(LINE)), (b"x" * 2 * BLOCK, 0),
        (b"x" * 2 * BLOCK + b"\n", 2 * BLOCK + 1),
    ],
)  # fmt: skip
def test_what_follows_the_last_line_is_dropped(tmp_path, content, kept):
    path = tmp_path / "study.journal"
    path.write_bytes(content)
    cut_half_line(path)
    assert path.read_bytes() == content[:kept]


def test_no_file_is_no_error(tmp_path):
    cut_half_line(tmp_path / "study.journal")


def test_a_write_that_fails_leaves_no_half_line(tmp_path, monkeypatch):
    """`/dev/full` in small: the first bytes fit, the rest does not."""
    path = tmp_path / "study.journal"
    journal = RunJournal(path)
    journal.append_logs([{"op_code": 1}])

    def full(self, logs):
        with open(path, "ab") as file:
            file.write(json.dumps(logs[0]).encode()[:5])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="No space"):
        patch.setattr(optuna.storages.journal.JournalFileBackend, "append_logs", full)
        journal.append_logs([{"op_code": 2}])
    journal.append_logs([{"op_code": 3}])
    assert [entry["op_code"] for entry in journal.read_logs(0)] == [1, 3]
    assert [entry["op_code"] for entry in RunJournal(path).read_logs(0)] == [1, 3]
