"""Code that comes with a model does not run unless the study trusts it, whatever stands on standard
input."""

import ast
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers
import yaml
from tiny_models import byte_level, llama

from mtray.compat.transformers import never_ask
from mtray.errors import ModelError
from mtray.evaluation.source_similarity import load_encoder
from mtray.training.models import block_count, empty_model, load_model, load_tokenizer
from mtray.training.parameter_counts import trainable_parameter_count

ROOT = Path(__file__).resolve().parents[2]
LOADERS = {f.__name__: f for f in (block_count, empty_model, load_model, load_tokenizer)}
LOADERS |= {
    "load_encoder": load_encoder,
    "trainable_parameter_count": lambda name, trusted: trainable_parameter_count(
        name, 0, None, trusted
    ),
}
CODE = """
import pathlib
pathlib.Path({ran!r}).touch()
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
class OddConfig(LlamaConfig):
    model_type = "odd"
class OddModel(LlamaForCausalLM):
    config_class = OddConfig
class OddTokenizer(PreTrainedTokenizerFast):
    pass
def generate(model, **options):
    pass
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    llama(byte_level()).save_pretrained(folder)
    byte_level().save_pretrained(folder)
    return folder


def with_keys(file, **keys):
    file.write_text(json.dumps(json.loads(file.read_text()) | keys))


def auto_map(folder, ran, model_type):
    (folder / "odd.py").write_text(CODE.format(ran=str(ran)))
    classes = {"AutoConfig": "odd.OddConfig", "AutoModel": "odd.OddModel"}
    classes |= {"AutoModelForCausalLM": "odd.OddModel"}
    with_keys(folder / "config.json", model_type=model_type, auto_map=classes)
    with_keys(
        folder / "tokenizer_config.json",
        tokenizer_class="OddTokenizer",
        auto_map={"AutoTokenizer": [None, "odd.OddTokenizer"]},
    )


def unknown_type(folder, ran):
    auto_map(folder, ran, "odd")


def known_type(folder, ran):
    """transformers has a class of its own for it, which is taken."""
    auto_map(folder, ran, "llama")


def custom_generate(folder, ran):
    """transformers 4.57 runs this file of a folder even with `trust_remote_code=False`."""
    (folder / "custom_generate").mkdir()
    (folder / "custom_generate" / "generate.py").write_text(CODE.format(ran=str(ran)))


def made(saved, tmp_path, kind):
    folder, ran = shutil.copytree(saved, tmp_path / "model"), tmp_path / "ran"
    kind(folder, ran)
    return folder, ran


KINDS = [unknown_type, known_type, custom_generate]


@pytest.fixture
def yes(monkeypatch):
    given = io.StringIO("y\n" * 20)
    monkeypatch.setattr("sys.stdin", given)
    yield
    assert given.tell() == 0, "it asked"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("loader", LOADERS)
def test_no_code_of_a_folder_runs(saved, tmp_path, yes, loader, kind):
    folder, ran = made(saved, tmp_path, kind)
    refused = None
    try:
        LOADERS[loader](str(folder), False)
    except ModelError as error:
        refused = str(error)
    assert not ran.exists()
    assert (refused is not None) == needs_its_code(kind, loader)
    assert refused is None or ("`trust_remote_code` is false" in refused and "\n" not in refused)


def needs_its_code(kind, loader):
    """Whether a loader cannot do without a folder's code. `custom_generate` would replace a
    model's `generate`, so such a model is refused."""
    if kind is unknown_type:
        return True
    if kind is known_type:
        return loader in ("load_tokenizer", "load_encoder")
    return loader in ("load_model", "load_encoder")


@pytest.mark.parametrize("loader", LOADERS)
def test_code_that_is_trusted_runs(saved, tmp_path, yes, loader):
    """The folders above would run their code, or the tests above could not fail."""
    folder, ran = made(saved, tmp_path, unknown_type)
    LOADERS[loader](str(folder), True)
    assert ran.exists()


def test_other_libraries_are_not_asked_either(saved, tmp_path, yes):
    """As comet, whose calls do not say whether code is trusted."""
    folder, ran = made(saved, tmp_path, unknown_type)
    never_ask()
    with pytest.raises(ValueError, match="trust_remote_code"):
        transformers.AutoConfig.from_pretrained(folder)
    assert not ran.exists()


def study_file(tmp_path, **keys):
    for name in ("en", "es"):
        (tmp_path / f"pairs.{name}").write_text("a bad cab\n" * 20)
    paths = {name: f"pairs.{name}" for name in ("en", "es")}
    study = {
        "name": "code",
        "sources": [{"name": "p", "kind": "parallel", "path": paths, "languages": ["en", "es"]}],
        "evaluation": {
            "comet": "none",
            "quality": [{"direction": "en-es", "path": paths, "size": 2}],
            "abilities": {
                "text": {"measure": "perplexity", "language": "en", "path": "pairs.en", "size": 2}
            },
            **keys.pop("evaluation", {}),
        },
        "objectives": {"bleu.en-es": "max", "retention": "max"},
        "filters": {"leakage": None, "shots_leakage": None},
        **keys,
    }
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(study))
    return file


@pytest.mark.parametrize("key", ["model", "embedder"])
def test_check_with_a_yes_on_standard_input(saved, tmp_path, key):
    folder, ran = made(saved, tmp_path, unknown_type)
    keys = {"model": str(folder)}
    if key == "embedder":
        keys = {"model": str(saved), "evaluation": {"embedder": str(folder)}}
    (tmp_path / "space.yaml").write_text(
        "parallel_size: {type: int, low: 2, high: 8}\nlearning_rate: 0.001\n"
    )
    study = study_file(tmp_path, **keys)
    command = [sys.executable, "-m", "mtray", "check", "--study", study, "--space", "space.yaml"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "MTRAY_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        command, input="y\n" * 20, capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert not ran.exists()
    assert done.returncode == 2, done.stderr
    assert "`trust_remote_code` is false" in done.stderr and str(folder) in done.stderr
    assert "Traceback" not in done.stderr


def calls(root, wanted):
    """Calls of functions or methods of these names, as (place, call)."""
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = getattr(getattr(node, "func", None), "attr", None)
            name = name or getattr(getattr(node, "func", None), "id", None)
            if isinstance(node, ast.Call) and name in wanted:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def test_every_call_says_whether_code_is_trusted():
    found = list(calls(ROOT / "mtray", {"from_pretrained", "from_config"}))
    assert len(found) >= 7
    silent = [
        place for place, call in found
        if "trust_remote_code" not in {word.arg for word in call.keywords}
    ]  # fmt: skip
    assert silent == []


def test_every_loader_is_given_the_studys_word():
    least = {"load_config": 2, "trainable_parameter_count": 4}
    names = {*LOADERS, "load_config"}
    found = [
        (place, call) for place, call in calls(ROOT / "mtray", names)
        if not place.startswith(("mtray/embedded", "mtray/training/models.py"))
    ]  # fmt: skip
    assert len(found) >= 10
    name = {id(call): getattr(call.func, "id", "") for _, call in found}
    silent = [place for place, call in found if len(call.args) < least.get(name[id(call)], 2)]
    assert silent == []


def test_weights_are_those_of_the_folder(saved):
    """Nothing above replaced the model by another one."""
    expected = llama(byte_level()).state_dict()
    got = load_model(str(saved)).state_dict()
    assert all(torch.equal(weight.cpu(), expected[name]) for name, weight in got.items())
