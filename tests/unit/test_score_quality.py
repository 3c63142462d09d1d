"""`score quality`: the same figures as sacrebleu and comet give, and clear words for bad input."""

import json

import pytest
from sacrebleu.metrics import BLEU, CHRF
from test_comet import SEGMENTS, computed_by_comet, itself, reference_free  # noqa: F401

from mtray.cli import main
from mtray.evaluation.metrics.comet import load_comet

SOURCES, HYPOTHESES, REFERENCES = (list(column) for column in zip(*SEGMENTS, strict=True))


@pytest.fixture
def files(tmp_path):
    made = {}
    for role, lines in (("src", SOURCES), ("hyp", HYPOTHESES), ("ref", REFERENCES)):
        made[role] = tmp_path / f"{role}.txt"
        made[role].write_text("".join(f"{line}\n" for line in lines))
    return made


def score(capsys, *options, code=0):
    found = main(["score", "quality", *map(str, options)])
    printed = capsys.readouterr()
    assert found == code, printed.err
    return json.loads(printed.out) if code == 0 else printed.err


def given(files, *roles):
    return [part for role in roles for part in (f"--{role}", files[role])]


def test_string_metrics_are_sacrebleus(files, capsys):
    options = ["--language", "es", "--metrics", "bleu,chrf++", "--bootstrap", "100"]
    found = score(capsys, *given(files, "hyp", "ref"), *options)
    metrics = {"bleu": BLEU(), "chrf++": CHRF(word_order=2)}
    assert set(found["scores"]) == set(metrics)
    for name, metric in metrics.items():
        expected = metric.corpus_score(HYPOTHESES, [REFERENCES]).score
        assert found["scores"][name]["value"] == expected
        assert found["scores"][name]["low"] <= expected <= found["scores"][name]["high"]
        assert metric.get_signature().format() in found["scores"][name]["signature"]
    assert found["counts"] == {"segments": 8.0, "empty": 0.0}
    default = score(capsys, *given(files, "hyp", "ref"), "--language", "es")
    assert list(default["scores"]) == ["bleu", "chrf"]


def test_comet_is_comets(files, capsys, itself):  # noqa: F811
    options = ["--language", "es", "--metrics", "chrf", "--comet", "embedded"]
    load_comet("embedded", "auto").memory.clear()
    found = score(capsys, *given(files, "src", "hyp", "ref"), *options)
    expected = sum(computed_by_comet(itself)["embedded"]) / len(SEGMENTS)
    assert found["scores"]["comet"]["value"] == pytest.approx(expected, abs=1e-12)
    assert found["scores"]["comet"]["truncated"] == 0
    assert list(found["scores"]) == ["comet", "chrf"]


def test_segments_that_comet_cuts_are_counted_and_said(tmp_path, capsys):
    for role, lines in (("src", ["s", "s"]), ("hyp", ["casa " * 300, "h"]), ("ref", ["r", "r"])):
        (tmp_path / role).write_text("\n".join(lines) + "\n")
    files = [part for role in ("src", "hyp", "ref") for part in (f"--{role}", tmp_path / role)]
    options = ["--language", "es", "--metrics", "chrf", "--comet", "embedded"]
    found = score(capsys, *files, *options)
    assert {name: s["truncated"] for name, s in found["scores"].items()} == {
        "comet": 1, "chrf": None,
    }  # fmt: skip
    assert found["notes"] == [
        "comet: 1 of 2 segments are longer than the model reads; it scored the beginning alone"
    ]


def test_a_model_without_references_needs_none(files, capsys, reference_free):  # noqa: F811
    options = ["--language", "es", "--comet", reference_free]
    found = score(capsys, *given(files, "src", "hyp"), *options)
    assert list(found["scores"]) == ["comet"]
    assert found["scores"]["comet"]["signature"].endswith("reference:none")
    error = score(
        capsys, *given(files, "src", "hyp"), "--language", "es", "--comet", "embedded", code=2
    )
    assert "--comet embedded: this model needs --ref" in error


def test_documents_are_resampled_together(files, tmp_path, capsys):
    files["docs"] = tmp_path / "docs"
    options = ["--language", "es", "--metrics", "chrf"]
    files["docs"].write_text("".join(f"d{i}\n" for i in range(8)))
    found = score(capsys, *given(files, "hyp", "ref", "docs"), *options)
    assert found["counts"]["documents"] == 8 and found["notes"] == []
    files["docs"].write_text("d\n" * 8)
    found = score(capsys, *given(files, "hyp", "ref", "docs"), *options)
    assert found["counts"]["documents"] == 1 and "too few" in found["notes"][0]
    assert found["scores"]["chrf"]["n"] == 8


@pytest.mark.parametrize(
    ("roles", "options", "message"),
    [
        (("hyp",), ["--metrics", "bleu"], "--metrics bleu needs --ref"),
        (("hyp", "ref"), ["--metrics", "ter"], "unknown metric 'ter'; allowed: comet, bleu"),
        (("hyp", "ref"), ["--metrics", "comet"], "say which model with --comet"),
        (("hyp", "ref"), ["--metrics", ""], "none given"),
        (("hyp", "ref"), ["--comet", "embedded"], "--comet needs --src"),
        (("src", "hyp", "ref"), ["--comet", "./nowhere"], "not a file, folder or hub name"),
    ],
)
def test_options_that_do_not_fit(files, capsys, roles, options, message):
    error = score(capsys, *given(files, *roles), "--language", "es", *options, code=2)
    assert message in error


def test_files_that_do_not_fit(files, capsys):
    options = [*given(files, "hyp", "ref"), "--language", "es"]
    files["ref"].write_text("\n".join([*REFERENCES[:3], " ", *REFERENCES[4:]]) + "\n")
    assert "ref.txt: line 4 has no reference" in score(capsys, *options, code=2)
    files["ref"].write_text("one\n")
    error = score(capsys, *options, code=2)
    assert "hyp.txt has 8" in error and "ref.txt has 1" in error
    files["hyp"].write_text("one\n" * 7 + "\n")
    files["ref"].write_text("one\n" * 8)
    found = score(capsys, *options)
    assert found["counts"]["empty"] == 1, "an empty translation is a bad one, no mistake"
    assert found["scores"]["chrf"]["value"] < 100
