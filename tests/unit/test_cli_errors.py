"""Errors as a user sees them."""

import errno
import tempfile

import pytest

from mtray.cli_errors import report_errors
from mtray.errors import RunError
from mtray.training.models import load_tokenizer


def test_a_full_disk_is_one_plain_line(capsys):
    with report_errors() as outcome:
        raise OSError(errno.ENOSPC, "No space left on device", "runs/x/study.json")
    assert outcome.code == 2
    what = "no space left there; free some space and run the same command again"
    expected = f"error: runs/x/study.json: {what}\n"
    assert capsys.readouterr().err == expected


def test_no_folder_for_temporary_files(monkeypatch, capsys, tmp_path):
    """All are full, or none can be written: Python then says that a file is missing."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: [str(tmp_path / "none")])
    with report_errors() as outcome:
        load_tokenizer("embedded")
    assert outcome.code == 2
    said = capsys.readouterr().err
    assert f"['{tmp_path}/none']: free some space there, or set TMPDIR to a folder you" in said


@pytest.mark.parametrize(
    "error", [FileNotFoundError(2, "No such file"), OSError(errno.EIO, "broken"), KeyError("x")]
)
def test_bugs_keep_their_traceback(error):
    with pytest.raises(type(error)), report_errors():
        raise error


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), RunError("in use")])
def test_debug_keeps_every_traceback(error):
    with pytest.raises(type(error)), report_errors(debug=True):
        raise error
