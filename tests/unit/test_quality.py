"""Our measurements against sacrebleu's own corpus scores: equal to the last digit."""

import random
import sys

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF

from mtray.analysis.uncertainty import replicate_values, small_sample, unit_weights
from mtray.errors import ConfigError, EvaluationError, ModelError
from mtray.evaluation.metrics import quality, spbleu

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


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """A small SentencePiece model."""
    import sentencepiece

    folder = tmp_path_factory.mktemp("spm")
    (folder / "text").write_text("\n".join(REFERENCES * 3))
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text"),
        model_prefix=str(folder / "m"),
        vocab_size=90,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return (folder / "m.model").read_bytes()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """sacrebleu's cache, empty, with nothing in reach."""
    from sacrebleu.tokenizers import tokenizer_spm

    monkeypatch.setattr(tokenizer_spm, "SACREBLEU_DIR", str(tmp_path))
    for known in tokenizer_spm.SPM_MODELS.values():
        name = known["url"].rsplit("/", 1)[-1]
        monkeypatch.setitem(known, "url", f"http://127.0.0.1:9/{name}")
    spbleu.spm_bleu.cache_clear()
    yield tmp_path / "models"
    spbleu.spm_bleu.cache_clear()


FILES = {
    "spbleu": ("flores200", "flores200sacrebleuspm"),
    "spbleu101": ("flores101", "sacrebleu_tokenizer_spm.model"),
}


def sacrebleu_metric(name):
    return {"bleu": BLEU, "chrf": CHRF, "chrf++": lambda: CHRF(word_order=2)}.get(
        name, lambda: BLEU(tokenize=FILES[name][0])
    )()


@pytest.mark.parametrize("seed", range(3))
def test_every_metric_of_a_study_agrees_with_sacrebleu(cache, pieces, seed):
    cache.mkdir()
    for _, file in FILES.values():
        (cache / file).write_bytes(pieces)
    hypotheses = REFERENCES[:3] + corrupted(seed)[3:]
    segments = quality.Segments(["s"] * len(hypotheses), REFERENCES, "uk")
    found = quality.measure(segments, hypotheses, list(quality.METRICS), {})
    assert list(found) == ["bleu", "chrf", "chrf++", "spbleu", "spbleu101"]
    for name, measurement in found.items():
        metric = sacrebleu_metric(name)
        assert measurement.point == metric.corpus_score(hypotheses, [REFERENCES]).score
        assert measurement.signature.endswith(metric.get_signature().format())
    assert "tok:flores200" in found["spbleu"].signature
    assert "nw:2" in found["chrf++"].signature and "nw:0" in found["chrf"].signature
    assert len({m.point for m in found.values()}) >= 4, "they are different metrics"


@pytest.mark.parametrize("name", FILES)
def test_a_piece_model_that_cannot_be_had_is_said_before_training(cache, name):
    file = cache / FILES[name][1]
    with pytest.raises(ModelError, match="cannot be downloaded") as caught:
        quality.string_metrics(["comet", name], "`evaluation.metrics`", ["uk"])
    assert str(file) in str(caught.value) and "http://127.0.0.1:9/" in str(caught.value)
    assert not file.exists()
    cache.mkdir()
    file.write_bytes(b"<html>not found</html>")
    with pytest.raises(ModelError, match="not a SentencePiece model") as caught:
        quality.string_metrics([name], "`evaluation.metrics`", ["uk"])
    assert str(file) in str(caught.value) and file.exists()


def test_names_of_metrics():
    names = ["chrf", "comet", "bleu", "chrf"]
    assert quality.string_metrics(names, "k") == ["chrf", "bleu"]
    with pytest.raises(ConfigError, match=r"k: unknown metric 'BLEU'; allowed: comet, bleu, chrf"):
        quality.string_metrics(["BLEU"], "k")


def test_segments_of_a_document_are_drawn_together():
    clusters = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    hypotheses = corrupted(1)
    segments = quality.Segments(["s"] * 8, REFERENCES, "uk", clusters)
    found = quality.measure(segments, hypotheses, ["chrf"], {"learned": Fixed(np.arange(8.0))})
    assert list(found) == ["learned", "chrf"]
    for measurement in found.values():
        assert measurement.n == 2
        units, stats = measurement.by_unit()
        assert units.tolist() == [0, 1]
        assert stats[0].tolist() == measurement.stats[:4].sum(axis=0).tolist()
        weighted = measurement.value(unit_weights(units, 200, 0) @ stats)
        stretched = measurement.point + small_sample(2) * (weighted - measurement.point)
        np.testing.assert_allclose(replicate_values(measurement, 200, 0), stretched)


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
