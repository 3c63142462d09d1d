"""Language identification by lingua (Apache-2.0), whose models are part of its package.

Chosen over py3langid and fastText's lid.176.ftz on WMT, TICO-19, CoCoA-MT and Tatoeba text: with
the rule of `other_language` it has the fewest false positives on sentences that are short or in a
language with close relatives (docs/evaluation.md).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

WITHOUT_SPACES = {"ja", "th", "zh"}
# languages of off-target outputs, besides the source's and the target's; few, since every candidate
# lowers the confidence in the others
COMMON = ("ar", "de", "en", "es", "fr", "hi", "ja", "ko", "pt", "ru", "zh")
# texts with fewer letters need the higher confidence
SHORT_LETTERS = 20
LEAST_CONFIDENCE, LEAST_CONFIDENCE_SHORT = 0.5, 0.8
# Japanese text with this many Han characters also contains kana, except in names and headlines
HAN_LETTERS = 10


class Guess(NamedTuple):
    """The most likely candidate and its share of the candidates' likelihood, 0 to 1; None where the
    text has no letters."""

    language: str | None
    confidence: float


def letters(text: str) -> int:
    """Number of letters and of the marks that belong to them (Unicode L* and M*: vowel signs of
    Indic scripts are marks)."""
    return sum(unicodedata.category(c)[0] in "LM" for c in text)


def knows(language: str) -> bool:
    """Whether the detector supports a language, given by its two-letter code."""
    from lingua import IsoCode639_1

    return hasattr(IsoCode639_1, language.upper())


def candidates(*languages: str) -> tuple[str, ...]:
    """`languages` and the common ones, as far as they are supported; the same for a direction in
    every study, so that rates are comparable."""
    return tuple(sorted(c for c in {*languages, *COMMON} if knows(c)))


@lru_cache(maxsize=16)
def _detector(among: tuple[str, ...], quick: bool = False) -> Any:
    from lingua import IsoCode639_1, LanguageDetectorBuilder

    codes = [getattr(IsoCode639_1, code.upper()) for code in among]
    builder = LanguageDetectorBuilder.from_iso_codes_639_1(*codes)
    return (builder.with_low_accuracy_mode() if quick else builder).build()


def identify(texts: Sequence[str], among: tuple[str, ...]) -> list[Guess]:
    """The language of each text among the two-letter codes `among`, all of them supported. The
    detector is built once per process."""
    detector, found = _detector(among), []
    for text in texts:
        if letters(text):
            best = detector.compute_language_confidence_values(text)[0]
            found.append(Guess(best.language.iso_code_639_1.name.lower(), float(best.value)))
        else:
            found.append(Guess(None, 0.0))
    return found


def identify_many(texts: Sequence[str], among: tuple[str, ...], quick: bool = False) -> list[Guess]:
    """`identify` on all cores. `quick`: lingua's low-accuracy mode, which uses only trigrams."""
    values = _detector(among, quick).compute_language_confidence_values_in_parallel(list(texts))
    return [
        Guess(best[0].language.iso_code_639_1.name.lower(), float(best[0].value))
        if letters(text)
        else Guess(None, 0.0)
        for text, best in zip(texts, values, strict=True)
    ]


def other_language(text: str, guess: Guess, target: str) -> bool:
    """Whether a text is confidently not in the `target` language: another language is detected with
    a confidence of 0.5, or of 0.8 where the text has fewer than 20 letters.

    Fewer than 10 Han characters, and nothing else, count as both Chinese and Japanese.
    """
    if guess.language in (None, target):
        return False
    count = letters(text)
    if count < HAN_LETTERS and {guess.language, target} == {"zh", "ja"} and _only_han(text):
        return False
    least = LEAST_CONFIDENCE_SHORT if count < SHORT_LETTERS else LEAST_CONFIDENCE
    return guess.confidence >= least


def _only_han(text: str) -> bool:
    return all(
        unicodedata.name(c, "").startswith("CJK") for c in text if unicodedata.category(c)[0] == "L"
    )
