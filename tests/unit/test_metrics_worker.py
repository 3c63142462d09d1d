"""What runs in the metrics interpreter, as far as it needs no comet."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_metric_values import VALUES

from mtray.evaluation.metrics import worker
from mtray.evaluation.metrics.worker.comet_model import sees_references
from mtray.evaluation.metrics.worker.hparams import read_hparams
from mtray.evaluation.metrics.worker.protocol import (
    line,
    parsed,
    read_scores,
    read_truncated,
    written,
)
from mtray.evaluation.metrics.worker.serve import is_memory
from mtray.evaluation.metrics.worker.truncation import count_cut, cut_texts

FOLDER = Path(worker.__file__).parent


@pytest.mark.parametrize("value", [*VALUES, math.nan, math.inf, -math.inf])
def test_a_double_survives_its_way(value):
    sent = parsed(line({"scores": [written(value)]}))
    (back,) = read_scores(sent["scores"], 1)
    assert back.hex() == value.hex()


@pytest.mark.parametrize("text", ["", "a\nb\r\u2028\u0085", "\ud83d", "\0", "𝔠", '"\\'])
def test_a_text_survives_its_way_on_one_line(text):
    sent = line({"text": text})
    assert sent.count(b"\n") == 1 and parsed(sent) == {"text": text}


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([1.0], "1 scores for 2 segments"),
        (None, "no list of scores"),
        ({"a": 1, "b": 2}, "no list of scores"),
        ([1.0, None], "'None' as a score"),
        ([1.0, True], "'True' as a score"),
        ([1.0, "0.5"], "'0.5' as a score"),
        ([1.0, 10**400], "a whole number of 401 digits"),
    ],
)
def test_what_is_no_list_of_scores(found, said):
    with pytest.raises(ValueError, match=said):
        read_scores(found, 2)


@pytest.mark.parametrize(("given", "found"), [(None, None), (["", "sr"], ["", "sr"]), ([], None)])
def test_what_was_cut_may_be_left_out(given, found):
    if given == []:
        with pytest.raises(ValueError, match="2 texts"):
            read_truncated(given, 2)
    else:
        assert read_truncated(given, 2) == found


@pytest.mark.parametrize("given", ["sr", ["", "x"], ["", 1], 3])
def test_letters_that_name_no_text_are_errors(given):
    with pytest.raises(ValueError, match="letters shr"):
        read_truncated(given, 2)


@pytest.mark.parametrize("sent", [b"hello", b"[1]", b"", b'"a"', b"[" * 100_000, b"\xff"])
def test_lines_that_hold_no_message(sent):
    with pytest.raises(ValueError):
        parsed(sent)


@pytest.mark.parametrize(
    ("error", "memory"),
    [
        (MemoryError(), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("size mismatch"), False),
    ],
)
def test_errors_of_memory(error, memory):
    assert is_memory(error) is memory


BOMB = "a: &a [x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(8)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: " + "[" * 41 + "]" * 41, "more than 40 levels"),
        ("[" * 100_000, "more than 40 levels"),
        (BOMB, "more than 20,000 values"),
        ("a: &a [*a]", "holds itself"),
        ("a: " + "x" * 2**18, "at most 262,144"),
        ("a: [", "not plain YAML"),
        ("a: !!python/object/apply:os.system [ls]", "not plain YAML"),
        ("- 1", "found list"),
        ("", "found NoneType"),
    ],
)
def test_hparams_within_limits(tmp_path, text, said):
    file = tmp_path / "hparams.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=said):
        read_hparams(file)


def test_hparams_of_a_checkpoint_are_read(tmp_path):
    file = tmp_path / "hparams.yaml"
    file.write_text("pretrained_model: ./encoder\nhidden: &id [1, 2]\nagain: *id\n")
    assert read_hparams(file) == {
        "pretrained_model": "./encoder", "hidden": [1, 2], "again": [1, 2]
    }  # fmt: skip
    with pytest.raises(ValueError, match="cannot be read"):
        read_hparams(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("requires", "segments", "sees"),
    [(True, None, True), (False, None, False), (False, ["mt", "src"], False),
     (False, ["mt", "src", "ref"], True), (True, ["mt", "ref"], True)],
)  # fmt: skip
def test_which_models_see_references(requires, segments, sees):
    """Regression, CometKiwi's regression and unified forms, xCOMET (which says that it requires
    none), UniTE with references alone."""
    hparams = {} if segments is None else {"input_segments": segments}
    model = SimpleNamespace(hparams=hparams, requires_references=lambda: requires)
    assert sees_references(model) is sees


def model_of(positions, segments=None):
    """A model whose tokenizer makes a token of each word, and adds one at each end."""

    def tokenizer(texts, truncation):
        assert not truncation
        return {"input_ids": [[0, *range(len(text.split())), 2] for text in texts]}

    encoder = SimpleNamespace(max_positions=positions, size_separator=2, tokenizer=tokenizer)
    found = SimpleNamespace(encoder=encoder, hparams={})
    if segments:
        found.hparams["input_segments"] = segments
        found.concat_inputs = None
    return found


def words(**counts):
    return {part: " ".join(["word"] * count) for part, count in counts.items()}


@pytest.mark.parametrize(
    ("segments", "counts", "cut"),
    [
        # alone: each text has at most 12 - 2 tokens, two of them special
        (None, {"src": 8, "mt": 8, "ref": 8}, ""),
        (None, {"src": 9, "mt": 8, "ref": 8}, "s"),
        (None, {"src": 9, "mt": 8, "ref": 99}, "sr"),
        # together: <s> mt </s></s> src has 3 more tokens than words
        (["mt", "src"], {"src": 4, "mt": 5}, ""),
        (["mt", "src"], {"src": 5, "mt": 5}, "s"),
        (["mt", "src"], {"src": 3, "mt": 9}, "sh"),  # mt is over 8 by itself, src begins at 11
        # all three: 5 more; mt and ref as well without src
        (["mt", "src", "ref"], {"src": 2, "mt": 2, "ref": 3}, ""),
        (["mt", "src", "ref"], {"src": 2, "mt": 2, "ref": 4}, "r"),
        (["mt", "src", "ref"], {"src": 8, "mt": 2, "ref": 1}, "sr"),
    ],
)
def test_which_texts_are_cut(segments, counts, cut):
    assert cut_texts(model_of(12, segments), [words(**counts)] * 2) == [cut] * 2


def test_texts_that_cannot_be_too_long_are_not_tokenized():
    model = model_of(512)
    model.encoder.tokenizer = None
    assert count_cut(model, ["x" * 500, ""]) == 0
    model = model_of(512)
    assert count_cut(model, ["x " * 508, "x " * 509, "ﷺ" * 200]) == 1  # each 18 letters in NFKC


def test_a_started_worker_speaks_the_protocol_and_nothing_else(tmp_path):
    """Run by path, isolated, in a folder with a module that would shadow one of the library's."""
    (tmp_path / "json.py").write_text("raise SystemExit('shadowed')")
    command = [sys.executable, "-I", str(FOLDER)]
    asked = line({"id": 1, "do": "load", "model": "/absent", "device": "cpu"})
    asked += line({"id": 2, "do": "score", "model": "other", "segments": []})
    done = subprocess.run(
        command, input=asked, capture_output=True, cwd=tmp_path, timeout=120,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    hello, *answers = map(json.loads, done.stdout.decode().splitlines())
    assert hello["hello"] == 1 and hello["versions"]["python"]
    assert [(a["id"], a["error"]) for a in answers] == [(1, "model"), (2, "evaluation")]
    assert done.returncode == 0


def test_the_worker_imports_nothing_of_mtray():
    for file in sorted(FOLDER.glob("*.py")):
        assert "import mtray" not in file.read_text() and "from mtray" not in file.read_text()
    assert len(list(FOLDER.glob("*.py"))) > 5
