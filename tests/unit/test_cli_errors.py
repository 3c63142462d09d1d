"""Errors as a user sees them."""

import errno

import pytest

from mtray.cli_errors import report_errors
from mtray.errors import RunError


def test_a_full_disk_is_one_plain_line(capsys):
    with report_errors() as outcome:
        raise OSError(errno.ENOSPC, "No space left on device", "runs/x/study.json")
    assert outcome.code == 2
    what = "no space left there; free some space and run the same command again"
    expected = f"error: runs/x/study.json: {what}\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize("error", [OSError(errno.EIO, "broken"), KeyError("x")])
def test_bugs_keep_their_traceback(error):
    with pytest.raises(type(error)), report_errors():
        raise error


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), RunError("in use")])
def test_debug_keeps_every_traceback(error):
    with pytest.raises(type(error)), report_errors(debug=True):
        raise error
