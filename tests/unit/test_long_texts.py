"""Segments longer than COMET reads, scored in parts; a model that reads ten characters stands for
COMET, and where the order of translations matters it is the embedded one."""

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest

from mtray.analysis.uncertainty import score
from mtray.commands.scoring.quality import COMET_LONG
from mtray.evaluation.metrics.comet import CometScorer, Scored, load_comet, loader
from mtray.evaluation.metrics.long_texts import FORMS, SENTENCES, SLIDING, TRUNCATE, divided
from mtray.evaluation.metrics.quality import comet
from mtray.evaluation.metrics.truncated_references import truncation_notes
from mtray.schema import Evaluation, Score


class First:
    """Reads the first characters of each text; the score is the share of equal ones in translation
    and reference."""

    def __init__(self, size: int = 10) -> None:
        self.size = size

    def score(self, triples: Any) -> Scored:
        found = [(h[: self.size], r[: self.size]) for _, h, r in triples]
        scores = [sum(map(str.__eq__, h, r)) / max(len(h), len(r)) for h, r in found]
        letters = [
            "".join(n for n, t in zip("shr", texts, strict=True) if len(t) > self.size)
            for texts in triples
        ]
        return Scored(scores, letters)


def scored(form: str, *triples: tuple[str, str, str]) -> Any:
    scorer = CometScorer(First(), "t", long=form)
    return scorer.segment_scores(*map(list, zip(*triples, strict=True)))


LINES = ("aaaa\nbbbb\ncccc", "AAAA\nBBXX\nCCCC", "AAAA\nBBBB\nCCCC")
SENTENCE = "Abcdefghi"  # and a full stop: ten characters
OTHER = "Kmnpqrstu"
# form, source, translation, reference -> score, still cut, how it was divided
CASES = {
    # the beginning alone: "AAAA BBXX " of "AAAA BBBB "
    "truncated": (TRUNCATE, *LINES, 0.8, 1, {}),
    "short": (SENTENCES, "a", "AX", "AA", 0.5, 0, {}),
    # by lines 1, .5 and 1 of equal length
    "lines": (SENTENCES, *LINES, 2.5 / 3, 0, {"lines": 1}),
    # lines of 1 and 9 characters weigh so
    "weights": (SENTENCES, "a\nbbbbbbbbb", "X\nBBBBBBBBB", "A\nBBBBBBBBB", 0.9, 0, {"lines": 1}),
    # windows of one line of three (at most half of them), so the same
    "three lines slide": (SLIDING, *LINES, 2.5 / 3, 0, {"lines": 1}),
    # four lines, windows of two: 1, .8 (AA XX of five characters with its space), .8 ... by hand:
    # AA AA 1; AA XX 3/5; XX AA 3/5; weights 2 + 1, 1 + 1, 1 + 2 of 8
    "windows of two": (
        SLIDING, "a\nb\nc\nd", "AA\nAA\nXX\nAA", "AA\nAA\nAA\nAA",
        (3 * 1 + 2 * 0.6 + 3 * 0.6) / 8, 0, {"lines": 1},
    ),
    # the longer translation alone is cut: no sentence to divide by, so its beginning is scored
    "a translation too long": (SENTENCES, "a", "Abcd" * 9, "Abcd", 0.4, 1, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_values_by_hand(case: str) -> None:
    form, *texts, value, truncated, ways = CASES[case]
    found = scored(form, tuple(texts))
    assert found.values.tolist() == pytest.approx([value])
    assert (found.truncated, dict(found.divided)) == (truncated, ways)
    measured = comet(CometScorer(First(), "t", long=form), *([text] for text in texts))
    assert (measured.truncated, measured.divided) == (truncated, ways)
    assert score(measured, 100).divided == ways


def test_a_sentence_without_translation_has_the_score_of_an_empty_one() -> None:
    """Of a sentence of 80 and one of 60 characters the second is missing: 1 and the lowest score,
    which is 0, or that of another segment."""
    kept, gone = "Abcdefgh " * 8 + "Abcdefg.", "Mnopqrst " * 6 + "Mnopq."
    text = f"{kept} {gone}"
    scorer = CometScorer(First(80), "t", long=SENTENCES)
    found = scorer.segment_scores([text, "a"], [kept, "b"], [text, "c"])
    assert found.values.tolist() == pytest.approx([80 / 140, 0.0])
    assert found.divided == {"sentences": 1}
    below = CometScorer(Below(80), "t", long=SENTENCES)
    found = below.segment_scores([text, "a"], [kept, "b"], [text, "c"])
    assert found.values.tolist() == pytest.approx([(80 * 0.5 - 60 * 0.5) / 140, -0.5])


class Below(First):
    """With scores from -.5 to .5, as COMET's may be negative."""

    def score(self, triples: Any) -> Scored:
        found = super().score(triples)
        return Scored([value - 0.5 for value in found.scores], found.truncated)


def test_a_line_that_is_too_long_is_divided_further() -> None:
    long = f"{SENTENCE}. {OTHER}."
    found = scored(SENTENCES, (f"a\n{long}", f"A\n{SENTENCE}. Kmnpq.", f"A\n{long}"))
    # "A" is whole; of the second line Abcdefghi. is whole, and of Kmnpqrstu. "Kmnpq" of ten
    # characters is equal, and its full stop is not; the weights are 1, and 21 by tens
    assert found.values.tolist() == pytest.approx([(1 + 21 * 0.75) / 22])
    assert found.divided == {"sentences": 1} and found.truncated == 0


def test_texts_without_sentences_are_divided_into_pieces() -> None:
    text = " ".join(f"word{n:03d}" for n in range(60))
    way, parts = divided((text, text, text), "shr", SENTENCES)
    assert way == "pieces" and " ".join(p.texts[1] for p in parts) == text
    assert all(p.texts[0] == p.texts[1] == p.texts[2] for p in parts)
    assert max(len(p.texts[2]) for p in parts) <= 4 * 50 + 3
    assert divided((text, text, text), "h", SENTENCES) == (None, [])


def test_a_model_without_references_aligns_to_the_source() -> None:
    texts = (f"{SENTENCE}. {OTHER}.", "Uno dos tres. Cuatro.", "")
    way, parts = divided(texts, "s", SENTENCES)
    assert way == "sentences"
    assert [p.texts for p in parts] == [
        (f"{SENTENCE}.", "Uno dos tres.", ""), (f"{OTHER}.", "Cuatro.", ""),
    ]  # fmt: skip
    assert [p.weight for p in parts] == [10, 10]


def test_windows_slide_over_groups_and_every_character_counts_once() -> None:
    text = "\n".join("abcdefghij"[:n] for n in range(1, 11))
    way, parts = divided((text, text, text), "s", SLIDING)
    assert way == "lines"
    assert [p.texts[2].count("\n") + 1 for p in parts] == [5, 5, 5, 4]
    assert [p.texts[2][:1] for p in parts] == ["a"] * 4
    assert sum(p.weight for p in parts) == pytest.approx(sum(range(1, 11)))


@pytest.mark.parametrize("form", [SENTENCES, SLIDING])
def test_a_segment_that_is_not_too_long_has_the_same_score_to_the_last_digit(form: str) -> None:
    short = [("The cat sleeps.", f"El gato duerme {n}.", "El gato duerme.") for n in range(70)]
    long = ("The cat sleeps. " * 90, "El gato duerme. " * 90, "El gato duerme. " * 90)
    asked = [*short, ("The dog.", "", "El perro."), long]
    values = {}
    for name in (TRUNCATE, form):
        scorer = replace(load_comet("embedded", long=name), memory={})
        values[name] = scorer.segment_scores(*zip(*asked, strict=True)).values
    assert values[TRUNCATE][:-1].tolist() == values[form][:-1].tolist()
    assert values[TRUNCATE][-1] != values[form][-1]


SOURCE = (
    "The old man went to the market on Monday. He bought seven apples and a loaf of bread. Then he "
    "walked home through the rain. His daughter was waiting at the door with a towel. They ate "
    "soup together in the small kitchen. After that they talked about the journey to the coast. "
)
REFERENCE = (
    "El viejo fue al mercado el lunes. Compró siete manzanas y una barra de pan. Luego caminó a "
    "casa bajo la lluvia. Su hija lo esperaba en la puerta con una toalla. Comieron sopa juntos "
    "en la pequeña cocina. Después hablaron del viaje a la costa. "
)


def translations(reference: str) -> tuple[str, str, str]:
    """A perfect one, one whose second half is garbled, and one whose second half is missing."""
    words = reference.split()
    half = len(words) // 2
    garbled = [word[::-1] for word in reversed(words[half:])]
    return " ".join(words), " ".join(words[:half] + garbled), " ".join(words[:half])


@pytest.mark.parametrize("punctuated", [True, False])
def test_of_400_words_the_perfect_translation_is_best_and_the_half_one_worst(
    punctuated: bool,
) -> None:
    """By their beginnings the three score the same."""
    source, reference = SOURCE * 9, REFERENCE * 9
    if not punctuated:
        source, reference = source.replace(".", ""), reference.replace(".", "")
    assert len(reference.split()) >= 400
    hypotheses = translations(reference)
    asked = [source] * 3, list(hypotheses), [reference] * 3
    beginning = loader("cpu")("embedded").segment_scores(*asked)
    assert np.ptp(beginning.values) < 0.02 and beginning.truncated == 3
    for form in (SENTENCES, SLIDING):
        found = load_comet("embedded", long=form).segment_scores(*asked)
        perfect, garbled, half = found.values
        assert perfect > garbled + 0.15 > half + 0.15
        assert perfect == pytest.approx(beginning.values[0], abs=0.01)
        assert half == pytest.approx(perfect / 2, abs=0.03), "the missing half has the score 0"
        assert found.truncated == 0 and sum(found.divided.values()) == 3


def test_the_form_is_in_the_signature_and_the_scores_are_remembered_once() -> None:
    plain, parts = load_comet("embedded"), load_comet("embedded", long=SENTENCES)
    assert parts.signature == f"{plain.signature}|long:sentences"
    assert parts.memory is plain.memory and parts is load_comet("embedded", long=SENTENCES)


def test_the_forms_are_the_same_everywhere() -> None:
    allowed = get_args(Evaluation.model_fields["comet_long"].annotation)
    assert allowed == FORMS == COMET_LONG
    assert Evaluation.model_fields["comet_long"].default == TRUNCATE


@pytest.mark.parametrize(
    ("form", "end"),
    [
        (TRUNCATE, "the beginning alone (`evaluation.comet_long: sentences` scores them in parts)"),
        (SLIDING, "that comet reads: 1 of 2 in de; they are scored in parts "
                  "(`evaluation.comet_long: sliding`)"),
    ],
)  # fmt: skip
def test_check_says_what_becomes_of_long_references(form: str, end: str) -> None:
    [note] = truncation_notes(
        {"comet": load_comet("embedded", long=form)}, {"de": ["x " * 400, "x"]}
    )
    assert note.endswith(end)


def test_old_records_have_no_parts() -> None:
    assert Score(value=0.5, low=0.4, high=0.6, n=2, signature="t").divided == {}
