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


ENDLESS = """
import sys, time
from pathlib import Path
from mtray.search.execution import worker_logs
worker_logs.shorten.__defaults__ = (100_000,)
worker_logs.LOOK_EVERY = 0.02
folder = Path(sys.argv[1])
with worker_logs.output_into(folder, "7", 0, 1, "10.0.0.2"):
    for number in range(100):
        print("x" * 20_000, flush=True)
        time.sleep(0.01)
print((folder / "worker-0.log").stat().st_size)
"""


def output_into_file(path):
    return worker_logs.output_into(path.parent, "7", 0, 1, "10.0.0.2")


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


def test_a_long_file_keeps_its_end_and_the_place(tmp_path):
    path = tmp_path / "worker-0.log"
    with output_into_file(path):
        for number in range(10000):
            os.write(1, b"line %d\n" % number)
        worker_logs.shorten(path, 4000)
        os.write(1, b"the end\n")
    first, left_out, *lines = path.read_text().splitlines()
    assert "process" in first and re.fullmatch(r"--- \d+ bytes left out ---", left_out)
    assert lines[-2:] == ["line 9999", "the end"]
    assert lines[:-1] == [f"line {n}" for n in range(10001 - len(lines), 10000)]
    assert 1500 < len("".join(lines)) < 4000
    assert worker_places(tmp_path)[0].process == os.getpid()
    worker_logs.shorten(path, 4000)
    assert path.read_text().splitlines()[2:] == lines


def test_a_file_is_shortened_while_the_worker_prints(tmp_path):
    command = [sys.executable, "-c", ENDLESS, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) < 200_000
