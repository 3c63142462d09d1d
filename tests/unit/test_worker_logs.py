"""What the workers of a trial print is kept in its folder, in processes of their own."""

import os
import re
import subprocess
import sys

import pytest

from mtray.search.execution import worker_logs
from mtray.search.execution.worker_logs import (
    forget_logs,
    places_record,
    places_text,
    worker_places,
)

PRINTS = """
import os, subprocess, sys
from pathlib import Path
from mtray.search.execution.worker_logs import output_into
folder, fails = Path(sys.argv[1]), sys.argv[2]
print("before")
try:
    with output_into(folder, "7", 1, 2, "10.0.0.2"):
        print("printed")
        print("an error", file=sys.stderr)
        subprocess.run(["echo", "of a library"])
        if fails == "killed":
            sys.stdout.flush()
            os.kill(os.getpid(), 9)
        if fails == "raises":
            raise KeyError("x")
except KeyError:
    pass
print("after")
"""


def prints(folder, fails=""):
    command = [sys.executable, "-c", PRINTS, str(folder), fails]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.stdout + done.stderr


@pytest.mark.parametrize("fails", ["", "raises", "killed"])
def test_what_a_worker_prints_is_in_the_folder_of_its_trial(tmp_path, fails):
    left = prints(tmp_path / "0007", fails)
    text = (tmp_path / "0007/worker-1.log").read_text()
    assert all(line in text for line in ("printed\n", "an error\n", "of a library\n"))
    assert "printed" not in left
    assert ("before\nafter" in left) is (fails != "killed")


def test_the_last_place_of_every_worker_is_known(tmp_path):
    prints(tmp_path, "killed")
    prints(tmp_path, "killed")
    (tmp_path / "worker-0.log").write_text("cut off before it began")
    (place,) = worker_places(tmp_path)
    assert (place.rank, place.log) == (1, str(tmp_path / "worker-1.log"))
    assert place.host == f"{os.uname().nodename} (10.0.0.2)" and place.process > 0
    begins = re.findall(r"process (\d+)", (tmp_path / "worker-1.log").read_text())
    assert len(begins) == 2 and begins[-1] == str(place.process)
    assert places_text(tmp_path).startswith(f"worker 1 on {place.host}, process {place.process}")
    assert places_record(tmp_path)["workers"][0]["process"] == place.process
    forget_logs(tmp_path)
    assert not list(tmp_path.iterdir()) and places_record(tmp_path) == {}


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path, capfd):
    (tmp_path / "file").touch()
    with worker_logs.output_into(tmp_path / "file" / "0007", "7", 0, 1, ""):
        print("seen")
    assert capfd.readouterr().out == "seen\n"
