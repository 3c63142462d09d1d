"""A sweep that chooses how to train: whole or by adapters, with what frozen."""

from __future__ import annotations

import pytest
import yaml

from mtray.report.records import read_records
from mtray.schema import Recipe

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]


def test_a_sweep_over_methods_and_policies(sweep, small, tmp_path):
    space = {
        "parallel_size": 64,
        "frozen_layers": 2,
        "freeze_policy": {"type": "categorical", "choices": ["top", "random", "snr"]},
        "method": {"type": "categorical", "choices": ["full", "lora"]},
        "lora_rank": {
            "type": "int", "low": 2, "high": 8, "log": True, "when": {"method": {"among": ["lora"]}}
        },
    }  # fmt: skip
    study = yaml.safe_load((small / "study.yaml").read_text())
    study["sources"] = [s for s in study["sources"] if s["kind"] == "parallel"]
    study["training"] |= {"gradient_checkpointing": True, "batch_examples": 16}
    for name, content in (("study", study), ("space", space)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    options = [o for n in ("study", "space") for o in (f"--{n}", str(tmp_path / f"{n}.yaml"))]
    process = sweep(*options, "--trials", "4")
    output = process.communicate()[0]
    assert process.returncode == 0, output
    assert "searched: method one of full, lora" in output
    records = [r for r in read_records(tmp_path / "small").sound() if r.number >= 0]
    assert [r.state for r in records] == ["complete"] * 4
    assert {r.recipe.method for r in records} == {"full", "lora"}
    for record in records:
        recipe, training = record.recipe, record.training
        assert training.packed and len(training.frozen_blocks) == recipe.frozen_layers
        blocks = 6 - recipe.frozen_layers
        # q, k, v, o, gate, up, down of width 192, inner 512
        adapters = recipe.lora_rank * blocks * (4 * 2 * 192 + 3 * (192 + 512))
        if recipe.method == "lora":
            assert training.trainable_parameters == adapters
        else:
            assert training.trainable_parameters > 1e6
            assert recipe.lora_rank == Recipe.model_fields["lora_rank"].default
        if recipe.freeze_policy == "snr" and recipe.frozen_layers:
            assert len(training.block_scores) == 6
