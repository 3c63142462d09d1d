"""What a metric's difference is worth to human raters, against the table of the paper's tool."""

import math

import pytest
from sacrebleu.metrics import BLEU, CHRF

from mtray.analysis import human_agreement
from mtray.analysis.human_agreement import agreement_text, curve_of, expected_agreement
from mtray.evaluation.metrics import quality

LEARNED = "{}|comet:2.2.7|weights:0123456789ab|empty:0-or-min"
# (curve, differences in points for 60, 70, 80 and 90 %; None: never), as the paper tabulates them
TABLE = [
    (human_agreement.COMET22, (0.18, 0.35, 0.56, 0.94)),
    (human_agreement.COMETKIWI22, (0.16, 0.33, 0.53, 0.85)),
    (human_agreement.XCOMET_XL, (0.34, 0.67, 1.08, 1.80)),
    (human_agreement.XCOMET_XXL, (0.37, 0.76, 1.24, 1.99)),
    (human_agreement.CHRF, (0.54, 1.00, 1.63, 3.05)),
    (human_agreement.BLEU, (0.78, 1.39, 2.34, None)),
    (human_agreement.SPBLEU101, (0.71, 1.24, 2.27, None)),
    (human_agreement.SPBLEU200, (0.82, 1.49, 2.46, 5.57)),
]


@pytest.mark.parametrize(("curve", "points"), TABLE)
def test_the_table_of_the_paper(curve, points, monkeypatch):
    monkeypatch.setattr(human_agreement, "curve_of", lambda _: curve)
    for share, difference in zip((0.6, 0.7, 0.8, 0.9), points, strict=True):
        if difference is None:
            assert expected_agreement("", 1e6) < share
            continue
        found = expected_agreement("", difference / curve.unit)
        # the table's differences have two decimals
        slope = curve.b * curve.a / 100 / 4
        assert found == pytest.approx(share, abs=0.005 * slope + 0.001)


def test_by_hand():
    """COMET22 at 0.95 of a point: 96.224 / (1 + e^-2.694105) = 90.13 per cent."""
    signature = LEARNED.format("Unbabel/wmt22-comet-da")
    value = 0.96224 / (1 + math.exp(-2.8359 * 0.95))
    assert value == pytest.approx(0.9013, abs=1e-4)
    assert expected_agreement(signature, 0.0095) == pytest.approx(value)
    assert expected_agreement(signature, -0.0095) == pytest.approx(value)
    text = "human raters agree with a difference of this size in about 90% of cases (COMET22)"
    assert agreement_text(signature, 0.0095) == text


def test_no_difference_is_a_coin():
    for curve, _ in TABLE:
        assert curve.a / 2 < 50, "what the cut-off is for"
    assert expected_agreement(LEARNED.format("Unbabel/XCOMET-XL"), 0.0) == 0.5


def signatures(metric):
    metric.corpus_score(["a"], [["a"]])  # it knows the number of references only then
    return f"{type(metric).__name__}|{metric.get_signature().format()}"


def test_metrics_are_known_by_their_signatures():
    chrf = quality.chrf(["ab"], ["ab"]).signature
    assert curve_of(chrf) is curve_of(f"mean:2|{chrf}") is human_agreement.CHRF
    assert curve_of(f"difference|{chrf}|seeds:3") is human_agreement.CHRF
    for language in ("de", "zh"):
        assert (
            curve_of(quality.bleu(["一二"], ["一二"], language).signature) is human_agreement.BLEU
        )
    spm = "BLEU|nrefs:1|case:mixed|eff:no|tok:flores{}|smooth:exp|version:2.6.0"
    assert curve_of(spm.format(101)) is human_agreement.SPBLEU101
    assert curve_of(spm.format(200)) is human_agreement.SPBLEU200
    mecab = spm.replace("flores{}", "ja-mecab-0.996-IPA")
    assert curve_of(mecab) is human_agreement.BLEU
    for name, curve in human_agreement.CHECKPOINTS.items():
        assert curve_of(LEARNED.format(f"Unbabel/{name}")) is curve
        assert curve_of(LEARNED.format(name) + "|reference:none") is curve


def test_nothing_is_said_of_any_other_metric():
    others = [
        LEARNED.format("mtray-comet-tiny"), LEARNED.format("somebody/wmt22-comet-da"),
        LEARNED.format("Unbabel/wmt20-comet-da"), signatures(CHRF(word_order=2)),
        signatures(CHRF(char_order=4)), signatures(BLEU(lowercase=True)),
        signatures(BLEU(tokenize="char")), signatures(BLEU(tokenize="none")),
        "min(1,(s-c)/(b-c))|mean|bootstrap:1000", "made-up|1", "", "mean:2", "wmt22-comet-da",
        "mean:2|" + LEARNED.format("mtray-comet-tiny"),
    ]  # fmt: skip
    for signature in others:
        assert expected_agreement(signature, 1.0) is None, signature
        assert agreement_text(signature, 1.0) == ""
