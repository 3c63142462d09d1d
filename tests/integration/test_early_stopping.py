"""A hopeless recipe through the main job's own entry point: it ends at a rung, and stays ended."""

from __future__ import annotations

import json
import subprocess
import sys

import optuna
import pytest
import yaml
from optuna.trial import TrialState

from mtray.report.records import read_records

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]


@pytest.fixture
def hopeless(small, tmp_path):
    """Options for a study in which every searched recipe destroys the model, and its one baseline,
    with the study's own learning rate, does not."""
    study = yaml.safe_load((small / "study.yaml").read_text())
    study["training"] |= {"batch_examples": 8}
    study["sources"] = [s for s in study["sources"] if s["kind"] == "parallel"]
    study["early_stopping"] = {"rungs": [0.25, 0.5], "segments": 0.5, "others": 1, "dominating": 1,
                               "worst": 1.0}  # fmt: skip
    space = {
        "parallel_size": 96,
        "learning_rate": {"type": "float", "low": 0.05, "high": 0.1, "log": True},
    }
    for name, content in (("study", study), ("space", space)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return ["--study", str(tmp_path / "study.yaml"), "--space", str(tmp_path / "space.yaml")]


def test_a_hopeless_recipe_ends_at_a_rung(sweep, hopeless, tmp_path):
    first = sweep(*hopeless, "--trials", "3")
    output = first.communicate()[0]
    assert first.returncode == 0, output
    assert "trial 1 PRUNED at rung 2 (after 50% of the steps): quality" in output
    assert "pruned early, not on the front: trials 1, 2" in output
    run_dir = tmp_path / "small"
    records = {r.number: r for r in read_records(run_dir).sound()}
    states = {number: record.state for number, record in records.items()}
    assert states == {-1: "complete", 0: "complete", 1: "pruned", 2: "pruned"}
    early, whole = records[1], records[0]
    assert [(r.rung, r.step, r.steps) for r in early.rungs] == [(0, 3, 12), (1, 6, 12)]
    assert early.rungs[1].dominated_by == (0,)
    assert early.training is not None and early.training.steps == 6
    assert early.reason == early.rungs[1].decision and not early.objectives
    assert early.seconds["total"] > 0 and early.mix.examples == 96
    assert [r.rung for r in whole.rungs] == [0, 1]
    assert all(len(r.objectives) == 2 for r in whole.rungs)
    assert "never ended" in whole.rungs[1].decision
    assert early.rungs[1].objectives["quality"].value < 0.5
    front = json.loads((run_dir / "front.json").read_text())
    assert [p["number"] for p in front["points"]] == [-1, 0] and list(front["pruned"]) == ["1", "2"]

    backend = optuna.storages.journal.JournalFileBackend(str(run_dir / "study.journal"))
    study = optuna.load_study(study_name="small", storage=optuna.storages.JournalStorage(backend))
    assert study.trials[1].state == TrialState.PRUNED and study.trials[1].values is None
    assert len(study.trials[1].user_attrs["rungs"]) == 2
    again = sweep(*hopeless, "--trials", "3")
    assert "all 3 trials are finished" in again.communicate()[0]
    status = subprocess.run(
        [sys.executable, "-m", "mtray", "status", str(run_dir)], capture_output=True, text=True
    )
    assert "trials: 1 complete, 2 pruned, 0 failed of 3 asked for" in status.stdout
    assert "pruned: trial 1: rung 2 (after 50% of the steps)" in status.stdout
