"""A call in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mtray.errors import DataError, WorkerLost
from mtray.separate_process import in_separate_process

SCRIPT = """
import os, sys, time
from pathlib import Path
from mtray.separate_process import in_separate_process

def works(file):
    Path(f"{file}.part").write_text(str(os.getpid()))
    os.replace(f"{file}.part", file)
    time.sleep(120)

if __name__ == "__main__":
    in_separate_process(works, sys.argv[1])
"""


def refuses():
    raise DataError("why")


def test_it_returns_and_raises_what_the_function_does():
    assert in_separate_process(divmod, 7, 2) == (3, 1)
    with pytest.raises(DataError, match="why"):
        in_separate_process(refuses)
    with pytest.raises(WorkerLost, match="the same command continues"):
        in_separate_process(os._exit, 3)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_it_ends_with_the_process_that_called_it(tmp_path, number):
    """A process of a pool that lost its parent would keep its memory, a GPU's too, for ever."""
    script, file = tmp_path / "script.py", tmp_path / "pid"
    script.write_text(SCRIPT)
    caller = subprocess.Popen([sys.executable, script, file], stderr=subprocess.DEVNULL)
    assert waited(file.exists), "it has begun"
    caller.send_signal(number)
    assert caller.wait() == -number
    assert waited(lambda: not is_running(int(file.read_text())))


def waited(holds, seconds=30.0):
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def is_running(pid):
    """Whether there is such a process that has not ended, as one that nobody has waited for has."""
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
