"""Recipes trained again with another seed, and trials of an earlier run, through the main job."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from mtray.report.records import read_records
from mtray.schema import TrialRecord

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

# two recipes, so that the search cannot but repeat itself
SPACE = {
    "parallel_size": 64,
    "mono_ratio": {"type": "categorical", "choices": [0.0, 1.0]},
}


def records_of(run_dir: Path):
    return {r.number: r for r in read_records(run_dir).sound()}


def test_replicates_and_a_warm_start(sweep, small, tmp_path):
    space, study = tmp_path / "choices.yaml", tmp_path / "study.yaml"
    space.write_text(yaml.safe_dump(SPACE))
    every = yaml.safe_load((small / "study.yaml").read_text())
    every["budget"]["baselines"] = "all"
    study.write_text(yaml.safe_dump(every))
    process = sweep("--study", str(study), "--space", str(space), "--trials", "6")
    output = process.communicate()[0]
    assert process.returncode == 0, output
    run_dir = tmp_path / "small"
    records = records_of(run_dir)
    replicates = [r for r in records.values() if r.replicate]
    assert len(replicates) == 2 and {r.state for r in records.values()} == {"complete"}
    for record in replicates:
        original = records[record.of]
        assert record.recipe == original.recipe and record.role == original.role
        assert record.seed == original.seed + record.replicate
        assert record.mix.examples == original.mix.examples
        assert record.mix.tokens != original.mix.tokens, "another draw"
        assert record.objectives["quality"].value != original.objectives["quality"].value
        assert f"(trial {record.of} with another seed)" in output
    front = json.loads((run_dir / "front.json").read_text())
    assert sum(p["replicates"] for p in front["points"]) == 7
    # 0 where seeds differ by no more than segments do
    assert all(o["seed_deviation"] is not None for o in front["objectives"])

    number = replicates[0].number
    command = [sys.executable, "-m", "mtray", "rerun", str(run_dir), str(number)]
    subprocess.run(command, check=True, capture_output=True, timeout=800)
    file = run_dir / "reruns" / f"{number}-seed{replicates[0].seed}" / "result.json"
    again = TrialRecord.model_validate_json(file.read_bytes())
    assert again.mix == replicates[0].mix, "a rerun draws what the replicate drew"

    more = (
        "--study",
        str(study),
        "--space",
        str(space),
        "--name",
        "second",
        "--from",
        "small",
        "--trials",
        "1",
    )
    process = sweep(*more)
    output = process.communicate()[0]
    assert process.returncode == 0, output
    assert "1 trial: no baselines, 1 recipe searched" in output, "what was taken over is one"
    second = records_of(tmp_path / "second")
    taken = {r.taken_from.number: r for r in second.values() if r.taken_from}
    assert sorted(taken) == list(range(6)), "baselines outside the choices, too"
    assert {n: r.role for n, r in taken.items()} == {n: records[n].role for n in taken}
    assert all(r.mix == records[n].mix for n, r in taken.items())
    assert f"{len(taken)} trials of earlier runs were imported" in output
    assert len(second) == len(taken) + 2, "the base model and the one trial that was asked for"
    assert "6 of 6 trials fit; the base model is measured anew" in output
