"""optuna-dashboard opens a run's journal as it is."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from process_group import free_port

from mtray.report.records import write_record
from mtray.run_files import JOURNAL
from mtray.search.ledger.ledger import Ledger
from mtray.search_space.parameters import FloatRange
from mtray.search_space.space import Space

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))
from records_factory import make_record, make_study

SPACE = Space(
    parameters={"mono_ratio": FloatRange(type="float", low=0.0, high=2.0)},
    fixed={"parallel_size": 64},
)


def answer(url: str, process: subprocess.Popen[bytes]) -> Any:
    """What the server says, once it is up."""
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5) as reply:
                return json.load(reply)
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"no answer from {url}; exit code {process.poll()}")


@pytest.mark.integration
@pytest.mark.timeout(400)
def test_the_journal_opens_in_optuna_dashboard(tmp_path):
    ledger = Ledger(tmp_path, make_study(sampler="random"), SPACE)
    for quality in (0.5, 0.6, 0.7):
        job = ledger.next(4)
        write_record(tmp_path, make_record(job.number, quality, 1 - quality, job.role))
        ledger.tell(job.number)
    running = ledger.next(4)
    port = free_port()
    program = str(Path(sys.executable).with_name("optuna-dashboard"))
    process = subprocess.Popen(
        [program, "--host", "127.0.0.1", "--port", str(port), str(tmp_path / JOURNAL)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}/api/studies"
        (summary,) = answer(url, process)["study_summaries"]
        assert summary["study_name"] == "made-up"
        assert summary["directions"] == ["maximize", "maximize"]
        detail = answer(f"{url}/{summary['study_id']}?after=0", process)
        states = {t["number"]: t["state"] for t in detail["trials"]}
        assert [states[n] for n in range(3)] == ["Complete"] * 3
        assert states[running.number] == "Running"
        values = [t["values"][0] for t in detail["trials"] if t["state"] == "Complete"]
        assert values == pytest.approx([0.5, 0.6, 0.7])
        assert detail["objective_names"] == ["quality", "retention"]
    finally:
        process.terminate()
        process.wait(timeout=20)
