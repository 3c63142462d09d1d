"""A sweep on a cluster of several hosts: the quick part of `benchmarks/cluster_lab.py`, which has
all of it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import cluster_lab
import lab_hosts
import pytest

ROOT = Path(__file__).resolve().parents[2]
REASON = lab_hosts.why_not()
pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(bool(REASON), reason=f"no hosts for a cluster: {REASON}"),
]


def test_hosts_on_which_no_trial_can_run_are_named():
    """Each lacks something else: the runs folder, mtray, a model."""
    names = ["not_shared", "without_mtray", "head_only_model"]
    rows = cluster_lab.run_refusals(names)
    assert [row.name for row in rows] == names
    assert all(row.right for row in rows), "\n".join(row.text for row in rows)


KILLED = """
import sys, tempfile, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from lab_hosts import lab
folder = Path(tempfile.mkdtemp(dir=sys.argv[2]))
with lab("a", folder, ray=False) as hosts:
    print(hosts[0].pid, flush=True)
    time.sleep(600)
"""


def test_nothing_is_left_of_a_lab_that_is_killed(tmp_path):
    command = [sys.executable, "-c", KILLED, str(ROOT / "benchmarks"), str(tmp_path)]
    killed = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert killed.stdout is not None
    process = Path("/proc", killed.stdout.readline().strip())
    assert process.is_dir()
    killed.kill()
    killed.wait()
    until = time.monotonic() + 60
    while (process.exists() or [*tmp_path.iterdir()]) and time.monotonic() < until:
        time.sleep(0.2)
    assert not process.exists() and not [*tmp_path.iterdir()]
