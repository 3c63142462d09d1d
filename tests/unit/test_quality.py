"""Our measurements against sacrebleu's own corpus scores: equal to the last digit."""

import random
import sys

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF

from mtray.analysis.uncertainty import replicate_values
from mtray.errors import EvaluationError
from mtray.evaluation import quality

REFERENCES = [
    "Том на вокзалі.", "¿Dónde está el perro?", "The cat sat on the mat.", "Hello, world!",
    "他在车站。", "Це не було в безпеці, чи не так?", "I am sure; are you?",
    "one two three four five",
]  # fmt: skip


def corrupted(seed):
    rng = random.Random(seed)
    out = []
    for text in REFERENCES:
        words = text.split(" ")
        rng.shuffle(words)
        out.append(" ".join(words[: rng.randint(0, len(words))] if rng.random() < 0.7 else words))
    return out


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_sacrebleu(seed):
    hypotheses = REFERENCES[:4] + corrupted(seed)[4:] if seed else corrupted(seed)
    for measurement, metric in [
        (quality.bleu(hypotheses, REFERENCES, "uk"), BLEU()),
        (quality.chrf(hypotheses, REFERENCES), CHRF()),
    ]:
        assert measurement.point == metric.corpus_score(hypotheses, [REFERENCES]).score
        assert measurement.signature.endswith(metric.get_signature().format())
        assert f"version:{metric.get_signature().info['version']}" in measurement.signature


def test_a_resample_is_the_corpus_score_of_the_segments_drawn():
    hypotheses = corrupted(3)
    rng = np.random.default_rng(0)
    for measurement, metric in [
        (quality.bleu(hypotheses, REFERENCES, "uk"), BLEU()),
        (quality.chrf(hypotheses, REFERENCES), CHRF()),
    ]:
        rows = rng.integers(0, len(hypotheses), (20, len(hypotheses)))
        sums = np.stack([measurement.stats[r].sum(axis=0) for r in rows])
        expected = [
            metric.corpus_score([hypotheses[i] for i in r], [[REFERENCES[i] for i in r]]).score
            for r in rows
        ]
        assert measurement.value(sums).tolist() == expected
        assert replicate_values(measurement, 50, 0).shape == (50,)


def test_the_tokenizer_follows_the_target_language(monkeypatch):
    def signature(language):
        return quality.bleu(["一二"], ["一二"], language).signature

    assert "tok:zh" in signature("zh")
    assert "tok:13a" in signature("uk")
    # None in sys.modules is how Python says that a module cannot be imported
    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_ja_mecab.MeCab", None)
    monkeypatch.setitem(sys.modules, "MeCab", None)
    assert "tok:char" in signature("ja")


@pytest.mark.parametrize("text, expected", [("", 0.0), ("Том на вокзалі.", 100.0)])
def test_ends_of_the_scale(text, expected):
    reference = ["Том на вокзалі."]
    assert quality.chrf([text], reference).point == pytest.approx(expected)
    assert quality.bleu([text], reference, "uk").point == pytest.approx(expected)


def test_lengths_must_agree():
    with pytest.raises(EvaluationError, match="2 hypotheses and 1 references"):
        quality.chrf(["a", "b"], ["a"])
    with pytest.raises(EvaluationError, match="0 hypotheses"):
        quality.bleu([], [], "uk")


class Fixed:
    signature = "fixed"

    def __init__(self, values):
        self.values = np.array(values)

    def scores(self, sources, hypotheses, references):
        return self.values


def test_comet_is_the_mean_of_segments():
    measurement = quality.comet(Fixed([0.5, 0.7, 0.6]), ["a"] * 3, ["b"] * 3, ["c"] * 3)
    assert measurement.point == pytest.approx(0.6)
    assert measurement.signature == "fixed"
    with pytest.raises(EvaluationError, match="not finite"):
        quality.comet(Fixed([0.5, np.nan]), ["a"] * 2, ["b"] * 2, ["c"] * 2)
    with pytest.raises(EvaluationError, match="shape"):
        quality.comet(Fixed([0.5]), ["a"] * 2, ["b"] * 2, ["c"] * 2)
