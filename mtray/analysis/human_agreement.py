"""How often human raters agree with a difference between two systems in a metric.

    acc(D) = a / (1 + exp(-b * D))          per cent; D >= 0 in points of the metric times 100

Kocmi et al. 2024 (arXiv 2401.06760), fitted to pairs of systems of one direction; the constants are
those of their tool, MT-Thresholds. At D = 0 the curve is at a / 2, slightly below the one half of a
coin flip; it is therefore clipped at one half. It is valid only for the metrics that it was fitted
to.
"""

from __future__ import annotations

import math
from typing import NamedTuple

COIN = 0.5


class Curve(NamedTuple):
    """`unit`: points of the curve's D in one unit of the metric's own value."""

    metric: str
    a: float
    b: float
    unit: float = 1.0


COMET22 = Curve("COMET22", 96.224, 2.8359, 100)
COMETKIWI22 = Curve("CometKiwi22", 98.881, 2.7193, 100)
XCOMET_XL = Curve("xCOMET-XL", 96.567, 1.4536, 100)
XCOMET_XXL = Curve("xCOMET-XXL", 98.934, 1.1630, 100)
CHRF = Curve("chrF", 93.000, 1.1143)
BLEU = Curve("BLEU", 88.333, 0.96639)
SPBLEU101 = Curve("spBLEU-101", 84.584, 1.26251)
SPBLEU200 = Curve("spBLEU-200", 91.000, 0.80790)

# by the hub's name; a folder of that name counts as the model
CHECKPOINTS = {
    "wmt22-comet-da": COMET22,
    "wmt22-cometkiwi-da": COMETKIWI22,
    "XCOMET-XL": XCOMET_XL,
    "XCOMET-XXL": XCOMET_XXL,
}
HUB_OWNER = "Unbabel"
# sacrebleu's default tokenizers; a version may follow those of MeCab
TOKENIZERS = {"flores101": SPBLEU101, "flores200": SPBLEU200, "13a": BLEU, "zh": BLEU}
MECAB = ("ja-mecab", "ko-mecab")


def curve_of(signature: str) -> Curve | None:
    """The curve of the metric named in a score's signature; None for all others, such as chrF++ and
    mtray's own small COMET."""
    parts = signature.split("|")
    while parts and (parts[0] == "difference" or parts[0].startswith("mean:")):
        parts.pop(0)
    if not parts:
        return None
    name = parts[0]
    settings = dict(part.split(":", 1) for part in parts[1:] if ":" in part)
    if "comet" in settings:
        owner, _, model = name.rpartition("/")
        return CHECKPOINTS.get(model) if owner in ("", HUB_OWNER) else None
    if settings.get("case") != "mixed":
        return None
    if name == "CHRF":
        return CHRF if (settings.get("nc"), settings.get("nw")) == ("6", "0") else None
    if name == "BLEU":
        tokenizer = settings.get("tok", "")
        return BLEU if tokenizer.startswith(MECAB) else TOKENIZERS.get(tokenizer)
    return None


def expected_agreement(signature: str, difference: float) -> float | None:
    """Share of human judgements expected to agree with a difference, 0.5 to 1; None if the metric
    has no curve. `difference` is in the metric's own scale, with either sign."""
    curve = curve_of(signature)
    if curve is None:
        return None
    share = curve.a / 100 / (1 + math.exp(-curve.b * abs(difference) * curve.unit))
    return max(COIN, share)


def agreement_text(signature: str, difference: float) -> str:
    """The same in words, such as `human raters agree with a difference of this size in about 81% of
    cases (COMET22)`; empty if the metric has no curve. The difference is taken as given: whether it
    is beyond the noise of few segments is shown by its interval."""
    curve, share = curve_of(signature), expected_agreement(signature, difference)
    if curve is None or share is None:
        return ""
    size = f"in about {share:.0%} of cases ({curve.metric})"
    return f"human raters agree with a difference of this size {size}"
