"""A sweep whose models are also evaluated part of the way back and after half of their steps, and
the folders that `export --model` makes of its trials: transformers alone loads them, and they
answer as was recorded. The kept weights are tested on other segments, too."""

import subprocess
import sys

import pytest
import yaml

from mtray.evaluation.inference.engine import run_requests
from mtray.evaluation.output_files import read_outputs
from mtray.evaluation.suite import build_suite
from mtray.report.export import read_front
from mtray.report.records import read_records
from mtray.run_files import trial_dir
from mtray.study import load_study

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]
HALF, EARLY = 1_000_000, 2_000_000


def mtray(*arguments):
    command = [sys.executable, "-m", "mtray", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=900)


def export(run_dir, number, out):
    return mtray("export", run_dir, "--model", number, out)


def test_models_of_a_sweep(sweep, small, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    study = yaml.safe_load((small / "study.yaml").read_text())
    study["evaluation"]["reversion"] = [0.5]
    study["evaluation"]["intermediate_checkpoints"] = [0.5]
    study["training"] |= {"precision": "fp32", "keep_weights": "front", "schedule": "constant"}
    study["budget"]["baselines"] = "none"
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(study))
    process = sweep("--study", str(file), "--trials", "1")
    output = process.communicate()[0]
    assert process.returncode == 0, output
    run_dir = tmp_path / "small"
    records = {r.number: r for r in read_records(run_dir).sound()}
    assert set(records) == {-1, 0, HALF, EARLY}
    trial, half, early = records[0], records[HALF], records[EARLY]
    assert (half.recipe.reversion_alpha, half.trained_as) == (0.5, 0)
    assert trial.recipe.reversion_alpha == 1.0
    assert half.recipe.model_copy(update={"reversion_alpha": 1.0}) == trial.recipe
    assert half.scores["cost.seconds"] == trial.scores["cost.seconds"]
    assert half.seconds["generation"] == pytest.approx(trial.seconds["reversion"], abs=0.5)
    assert half.training.movement["block 0"] == pytest.approx(
        trial.training.movement["block 0"] / 2
    )
    assert (early.recipe.stop_after, early.trained_as) == (0.5, 0)
    assert early.training.steps == -(-trial.training.steps // 2)
    assert 0 < early.mix.examples < trial.mix.examples
    assert early.scores["cost.seconds"].value < trial.scores["cost.seconds"].value
    assert early.seconds["generation"] == pytest.approx(trial.seconds["intermediate"], abs=1)
    assert trial.training.movement["block 0"] > 0 < trial.training.tokens_per_parameter
    assert trial.training.accumulated_learning_rate > 0 < trial.training.mean_difference
    assert str(HALF) in (run_dir / "front.csv").read_text()

    requests = build_suite(load_study(file), AutoTokenizer.from_pretrained(small_model())).requests
    on_front = {p.number for p in read_front(run_dir, load_study(file)).points if p.on_front}
    kept = trial_dir(run_dir, 0) / "weights.safetensors"
    assert kept.is_file() == bool(on_front & {0, HALF})
    assert (trial_dir(run_dir, 0) / "weights-0.5.safetensors").is_file() == (EARLY in on_front)
    for number in (0, HALF, EARLY):
        out = tmp_path / f"model-{number}"
        done = export(run_dir, number, out)
        assert done.returncode == 0, done.stderr
        assert "It gives" in done.stdout and "It gives" in (out / "README.md").read_text()
        model = AutoModelForCausalLM.from_pretrained(out)
        found = run_requests(model, AutoTokenizer.from_pretrained(out), requests)
        recorded = read_outputs(trial_dir(run_dir, number) / "outputs.parquet", requests)
        same = sum(a.text == b.text for a, b in zip(found, recorded, strict=True))
        assert same >= 0.97 * len(found), "rounding may turn a rare tie"
    again = export(run_dir, 0, tmp_path / "model-0")
    assert again.returncode == 2 and "not empty" in again.stderr

    done = mtray("test", run_dir)
    assert done.returncode == 0, done.stderr
    tested = {r.number: r for r in read_records(run_dir / "test").sound()}
    assert tested.keys() == {-1} | on_front, "all of whose weights were kept"
    for number in tested.keys() - {-1}:
        assert "training" not in tested[number].seconds
        assert tested[number].training == records[number].training
    assert f"with {len(tested)} trials, 0 of them trained again" in done.stdout


def small_model():
    from mtray.model_paths import resolve_model

    return resolve_model("embedded")
