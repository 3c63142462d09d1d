"""Loading models: every way a folder or a name can be wrong, named within seconds and offline."""

import json
import logging
import shutil

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import byte_level, llama, other_models

from mtray.errors import ModelError
from mtray.model_paths import resolve_model
from mtray.training.models import block_count, load_model, load_tokenizer


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    tokenizer = byte_level()
    llama(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return shutil.copytree(saved, tmp_path / "model")


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    asked = []

    def model_info(self, name, timeout):
        asked.append((name, timeout))
        raise ConnectionError("cannot reach the hub\nand more")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", model_info)
    return asked


def test_a_whole_folder_loads(folder, offline):
    assert resolve_model(str(folder)) == str(folder)
    model = load_model(str(folder))
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    expected = llama(byte_level()).state_dict()
    assert all(torch.equal(p.cpu(), expected[n]) for n, p in model.state_dict().items())
    assert load_tokenizer(str(folder))("a bad cab")["input_ids"]
    assert block_count(str(folder)) == 2
    assert offline == [], "a folder needs no network"


def test_a_relative_folder(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert resolve_model("model") == resolve_model("./model") == str(folder)


MISSING = [
    ("config.json", r"no config\.json in that folder"),
    ("model.safetensors", r"no weights \(\*\.safetensors\) in that folder$"),
    ("tokenizer.json", r"no tokenizer \(tokenizer\.json\) in that folder"),
]


@pytest.mark.parametrize("name, message", MISSING)
def test_a_file_that_is_missing_is_named(folder, name, message):
    (folder / name).unlink()
    for load in (load_model, load_tokenizer, resolve_model):
        with pytest.raises(ModelError, match=f"^model {folder}: {message}"):
            load(str(folder))


def test_pickled_weights_are_not_loaded(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"\(pytorch_model\.bin is a pickle and is not loaded"):
        load_model(str(folder))


def test_a_file_is_no_folder(folder):
    with pytest.raises(ModelError, match=r"config\.json: not a folder"):
        resolve_model(str(folder / "config.json"))


@pytest.mark.parametrize(
    "name", ["nope", "a/b/c", "/no/such/folder", "a b/c", "", "owner/", "~nobody/y/z"]
)
def test_a_name_that_can_be_none_is_told_at_once(name, offline):
    with pytest.raises(ModelError, match="no such folder, and not a hub name") as error:
        resolve_model(name)
    assert repr(name) in str(error.value) and "allowed: 'embedded'" in str(error.value)
    assert offline == []


@pytest.mark.parametrize("name", ["owner/model", "../model", "a--b/c", "-a/b"])
def test_a_hub_that_does_not_answer(name, tmp_path, monkeypatch, offline):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ModelError, match=rf"model '{name}'.*(cannot reach the hub|Repo id|repo_id)"
    ) as error:
        resolve_model(name)
    assert "\n" not in str(error.value) and "pass a folder" in str(error.value)
    assert all(timeout < 10 for _, timeout in offline)


def test_a_hub_that_knows_the_name(monkeypatch):
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: object())
    assert resolve_model("owner/model") == "owner/model"


def weights_of_another_width(folder):
    path = folder / "model.safetensors"
    weights = load_file(path)
    weights["model.norm.weight"] = torch.ones(7)
    save_file(weights, path, {"format": "pt"})


def weights_of_fewer_layers(folder):
    path = folder / "model.safetensors"
    kept = {n: w for n, w in load_file(path).items() if "layers.1." not in n}
    save_file(kept, path, {"format": "pt"})


def unknown_architecture(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "no-such-model"}))


DAMAGES = [weights_of_another_width, weights_of_fewer_layers, unknown_architecture]


CANNOT = "(cannot be loaded:|its config cannot be read:)"


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda f: f.__name__)
def test_a_damaged_model_is_an_error_in_one_line(folder, damage):
    damage(folder)
    with pytest.raises(ModelError, match=f"^model '{folder}': {CANNOT} .") as error:
        load_model(str(folder))
    assert "\n" not in str(error.value)


def test_a_damaged_tokenizer(folder):
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelError, match=r"its tokenizer cannot be loaded: ."):
        load_tokenizer(str(folder))


@pytest.mark.parametrize("model_type, warned", [("llama", False), ("mistral", True)])
def test_no_false_alarm_of_a_tokenizer(folder, model_type, warned, caplog, monkeypatch):
    """What transformers 4.57.6 says of every folder that it wrote itself, if the tokenizer is
    large."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": model_type}))
    logger = logging.getLogger("transformers.tokenization_utils_base")

    def load(*_, **__):
        logger.warning("The tokenizer you are loading has an incorrect regex pattern")
        logger.warning("something else")

    for name in ("AutoTokenizer", "PreTrainedTokenizerFast"):  # of transformers 4 and 5
        monkeypatch.setattr(f"transformers.{name}.from_pretrained", load)
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    load_tokenizer(str(folder))
    said = {record.getMessage().split()[-1] for record in caplog.records}
    assert said == ({"pattern", "else"} if warned else {"else"})
    assert not logger.filters


def test_a_damaged_config(folder):
    unknown_architecture(folder)
    with pytest.raises(ModelError, match=r"its config cannot be read: ."):
        block_count(str(folder))


def test_tied_weights_are_not_missing(tmp_path):
    for name, model in other_models(byte_level()).items():
        model.save_pretrained(tmp_path / name)
        byte_level().save_pretrained(tmp_path / name)
        assert load_model(str(tmp_path / name)).get_output_embeddings() is not None
