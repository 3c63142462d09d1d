"""The main job through its own entry point: it ends, it is stopped, it is killed, it goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import optuna
import pyarrow.parquet as pq
import pytest
import yaml

from mtray.report.records import read_records
from mtray.schema import TrialRecord

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]


def states(run_dir: Path) -> Counter[str]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    backend = optuna.storages.journal.JournalFileBackend(str(run_dir / "study.journal"))
    study = optuna.load_study(study_name="small", storage=optuna.storages.JournalStorage(backend))
    return Counter(t.state.name for t in study.get_trials(deepcopy=False))


def wait_for(process, text: str) -> list[str]:
    """Lines of the sweep's output up to the first that holds `text`."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError(f"{text!r} never came:\n{''.join(lines)}")


def finished(run_dir):
    """When each trial ended, by number."""
    return {r.number: r.finished for r in read_records(run_dir).sound()}


@pytest.fixture
def two_at_once(sweep, small, tmp_path):
    """Start the sweep with two trials at a time."""
    study = yaml.safe_load((small / "study.yaml").read_text())
    study["resources"]["concurrent_trials"] = 2
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    own = ("--study", str(tmp_path / "study.yaml"), "--page", "on")
    return lambda *options: sweep(*own, *options)


# SIGTERM, and kills in the middle of a trial: `resumes` of test_chaos.py
def test_a_sweep_is_interrupted_killed_continued_and_extended(two_at_once, tmp_path):
    """One run, since every start of a sweep takes its time: what is found at its end is what a run
    that was never stopped leaves, too."""
    sweep = two_at_once
    process, run_dir = sweep("--trials", "3"), tmp_path / "small"
    lines = wait_for(process, "run folder")
    second = sweep("--trials", "3")
    refused = second.communicate()[0]
    assert second.returncode == 2
    assert "in use by process" in refused and "--name" in refused and "Traceback" not in refused
    output = "".join(lines + wait_for(process, "trial 0 started"))
    assert "Ray dashboard: http://127.0.0.1" in output and "get-auth-token" in output
    assert "3 trials: 1 baseline (parallel_only), 2 recipes searched, no repeats, " in output
    assert "smallest difference beyond noise" in output
    output += "".join(wait_for(process, "trial base (base)"))
    process.send_signal(signal.SIGINT)
    output += process.communicate()[0]
    assert process.returncode == 128 + signal.SIGINT, output
    assert "page: http://127.0.0.1:" in output and "?token=" in output
    assert "Traceback" not in output
    assert states(run_dir)["RUNNING"] == 0
    before = finished(run_dir)
    assert -1 in before and 1 not in before
    process = sweep("--trials", "3")
    wait_for(process, "trial 1 quality")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    killed = finished(run_dir)
    assert 1 in killed and before.items() <= killed.items()
    assert sweep("--trials", "3").wait() == 0
    ended = finished(run_dir)
    assert sorted(ended) == [-1, 0, 1, 2]
    assert killed.items() <= ended.items(), "none ran twice"
    counts = states(run_dir)
    assert counts["COMPLETE"] == 3 and counts["RUNNING"] == counts["FAIL"] == 0
    check_what_a_sweep_leaves(run_dir)

    again = sweep("--trials", "3")
    assert "all 3 trials are finished" in again.communicate()[0]
    more = sweep("--trials", "4")
    assert "continuing" in more.communicate()[0]
    after = finished(run_dir)
    assert sorted(after) == [-1, 0, 1, 2, 3] and ended.items() <= after.items()
    other = sweep("--trials", "4", "--seed", "7")
    assert other.wait() == 2
    assert "study.seed" in other.stdout.read()


def check_what_a_sweep_leaves(run_dir: Path) -> None:
    """The records, the front, and that a trial can be run again."""
    records = {r.number: r for r in read_records(run_dir).sound()}
    assert {r.state for r in records.values()} == {"complete"}
    assert [records[n].role for n in (-1, 0, 1)] == ["base", "parallel_only", "search"]
    assert records[-1].objectives["retention"].value == 1.0
    for record in records.values():
        assert {"quality", "retention"} == set(record.objectives)
        assert all(s.low <= s.value <= s.high and s.n > 0 for s in record.scores.values())
        if record.number >= 0:
            counts = {s.kind: 0 for s in record.mix.shares}
            for share in record.mix.shares:
                counts[share.kind] += share.realised
                assert abs(share.realised - share.requested) < 1
            assert counts["parallel"] == record.recipe.parallel_size
            assert record.training is not None and record.training.tokens == record.mix.tokens
    for ending in ("csv", "json", "parquet", "png", "html"):
        assert (run_dir / f"front.{ending}").stat().st_size > 0
    assert pq.read_table(run_dir / "front.parquet").num_rows == 4
    front = json.loads((run_dir / "front.json").read_text())
    assert front["front"]

    command = [sys.executable, "-m", "mtray", "rerun", str(run_dir), "0"]
    subprocess.run(command, check=True, capture_output=True, timeout=800)
    written = (run_dir / "reruns" / "0-seed1" / "result.json").read_text()
    rerun = TrialRecord.model_validate_json(written)
    assert rerun.recipe == records[0].recipe
    assert rerun.mix == records[0].mix and all(s.digest for s in rerun.mix.shares if s.realised)
    for name, score in records[0].objectives.items():
        assert rerun.objectives[name].value == pytest.approx(score.value, abs=1e-6)
