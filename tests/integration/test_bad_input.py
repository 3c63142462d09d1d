"""Mistakes of a user through the main job's own door: exit code 2, a message that names what is
wrong, no traceback, nothing left behind. `pytest --durations 0` shows the seconds of each."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mtray.search.ledger.run_folder import locked_run

ROOT = Path(__file__).resolve().parents[2]
SWEEP = ROOT / "sweeps" / "ratio_search.py"

Change = Callable[[dict[str, Any], dict[str, Any], Path], None]


def unknown_key(study, space, folder):
    study["training"]["batchsize"] = 8


def unknown_parameter(study, space, folder):
    space["lr"] = 0.1


def low_above_high(study, space, folder):
    space["mono_ratio"] = {"type": "float", "low": 2.0, "high": 1.0}


def missing_file(study, space, folder):
    study["sources"][0]["path"] = {"en": "no.en", "uk": "no.uk"}


def lines(folder: Path, **content: bytes) -> dict[str, str]:
    for language, text in content.items():
        (folder / f"t.{language}").write_bytes(text)
    return {language: f"t.{language}" for language in content}


def empty_corpus(study, space, folder):
    study["sources"][0]["path"] = lines(folder, en=b"", uk=b"")


def unequal_counts(study, space, folder):
    study["sources"][0]["path"] = lines(folder, en=b"a\nb\n", uk="а\nб\nв\n".encode())


def invalid_utf8(study, space, folder):
    study["sources"][0]["path"] = lines(folder, en=b"a\nb\n", uk=b"x\n\xff\xfe\n")


def model_without_weights(study, space, folder):
    (folder / "model").mkdir()
    (folder / "model/config.json").write_text("{}")
    study["model"] = "model"


def hub_name(study, space, folder):
    study["model"] = "nobody/has-this-model"


def unknown_metric(study, space, folder):
    study["evaluation"]["metrics"] = ["comet", "bleurt"]


def unequal_test_set(study, space, folder):
    study["evaluation"]["quality"][0]["path"] = lines(folder, en=b"a\nb\n", uk="а\n".encode())


def empty_reference(study, space, folder):
    study["evaluation"]["quality"][0]["path"] = lines(folder, en=b"a\nb\n", uk="а\n\n".encode())


def no_checkpoint(study, space, folder):
    (folder / "kiwi").mkdir()
    study["evaluation"]["more_comet"] = {"kiwi": "kiwi"}


def more_frozen_than_blocks(study, space, folder):
    space["frozen_layers"] = {"type": "int", "low": 0, "high": 7}


def unfit_micro_batch(study, space, folder):
    study["training"]["micro_batch_tokens"] = 100


def four_bits_on_the_cpu(study, space, folder):
    space["method"] = {"type": "categorical", "choices": ["full", "qlora"]}


def no_earlier_model(study, space, folder):
    space |= {"frozen_layers": 2, "freeze_policy": "most_changed"}
    study["training"]["freeze_from"] = "earlier"


CASES: list[tuple[Change, list[str]]] = [
    (unknown_key, ["study.yaml", "training.batchsize", "batch_examples"]),
    (unknown_parameter, ["space.yaml", "'lr'", "learning_rate"]),
    (low_above_high, ["space.yaml", "mono_ratio", "low 2.0 is above high 1.0"]),
    (missing_file, ["no.en", "no such file"]),
    (empty_corpus, ["t.en", "empty"]),
    (unequal_counts, ["t.en", "t.uk", "2", "3"]),
    (invalid_utf8, ["t.uk", "2", "UTF-8"]),
    (unknown_metric, ["evaluation.metrics", "'bleurt'", "chrf++, spbleu"]),
    (unequal_test_set, ["t.en has 2 lines", "t.uk has 1 lines"]),
    (empty_reference, ["t.uk", "line 2 has no reference"]),
    (no_checkpoint, ["evaluation.more_comet.kiwi", "kiwi must hold one checkpoints/*.ckpt"]),
    (model_without_weights, ["model", "safetensors"]),
    (more_frozen_than_blocks, ["frozen_layers goes up to 7", "has 6 transformer blocks"]),
    (unfit_micro_batch, ["study.yaml", "training.micro_batch_tokens", "100", "160"]),
    (four_bits_on_the_cpu, ["qlora", "GPU", "full, lora"]),
    (no_earlier_model, ["'earlier'", "no such folder"]),
    (hub_name, ["nobody/has-this-model", "network", "folder"]),
]


def start(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, str(SWEEP), "--study", str(folder / "study.yaml"),
        "--space", str(folder / "space.yaml"), "--runs-dir", str(folder / "runs"), *options,
    ]  # fmt: skip
    # a hub that refuses at once stands for no network
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=380)


@pytest.fixture
def folder(small, tmp_path) -> Path:
    for name in ("study.yaml", "space.yaml"):
        (tmp_path / name).write_text((small / name).read_text())
    return tmp_path


def refused(done: subprocess.CompletedProcess[str], parts: list[str]) -> None:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr and done.stderr.startswith("error: ")
    for part in parts:
        assert part in done.stderr


@pytest.mark.integration
@pytest.mark.timeout(400)
@pytest.mark.parametrize("change, parts", CASES, ids=[c.__name__ for c, _ in CASES])
def test_a_mistake_is_named_and_leaves_nothing(folder, change, parts):
    study = yaml.safe_load((folder / "study.yaml").read_text())
    space = yaml.safe_load((folder / "space.yaml").read_text())
    change(study, space, folder)
    (folder / "study.yaml").write_text(yaml.safe_dump(study))
    (folder / "space.yaml").write_text(yaml.safe_dump(space))
    before = sorted(folder.rglob("*"))
    refused(start(folder), parts)
    assert sorted(folder.rglob("*")) == before


@pytest.mark.integration
@pytest.mark.timeout(400)
def test_a_folder_that_cannot_be_written(folder):
    (folder / "runs").write_text("a file")
    refused(start(folder), ["--runs-dir", str(folder / "runs"), "cannot be written"])
    assert (folder / "runs").read_text() == "a file"


@pytest.mark.integration
@pytest.mark.timeout(400)
def test_two_runs_with_one_name(folder):
    with locked_run(folder / "runs", "small"):
        refused(start(folder), ["'small'", f"process {os.getpid()}", "--name"])


@pytest.mark.integration
@pytest.mark.timeout(400)
def test_the_traceback_is_there_when_asked_for(folder):
    (folder / "space.yaml").write_text("mono_ratio: {type: float, low: 2, high: 1}\n")
    done = start(folder, "--debug")
    assert done.returncode != 0 and "Traceback" in done.stderr
