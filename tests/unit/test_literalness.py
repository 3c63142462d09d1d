"""LitTER, Score_MWE and the proxy, on sentences worked by hand."""

import numpy as np
import pytest

from mtray.data.benchmarks.idioms import Dictionary, MarkedIdiom
from mtray.errors import ConfigError, EvaluationError
from mtray.evaluation.metrics.gloss import gloss, literalness_proxy
from mtray.evaluation.metrics.literalness import (
    Matching,
    Sentence,
    Verdict,
    literal_error,
    litter,
    moses,
    mwe_scores,
    score_mwe,
    target_words,
    verdicts,
)

DICTIONARY = Dictionary(
    {
        "kicked": ("trat", "getreten"),
        "the": ("der", "den", "die"),
        "bucket": ("Eimer", "Kübel"),
        "water": ("Wasser",),
    }
)
IDIOM = ["kicked", "the", "bucket"]
DIED = ["Er", "ist", "gestern", "gestorben", "."]


def decide(output, idiom=IDIOM, reference=DIED, rest=(), dictionary=DICTIONARY, **switches):
    matching = Matching(**switches)
    sentence = Sentence(idiom, rest, reference, output.split())
    return literal_error(sentence, dictionary, matching, target_words(dictionary, matching))


# output, switches, whether it is a literal error
ERRORS = [
    ("Er trat gestern den Eimer .", {}, True),
    ("Er starb gestern .", {}, False),
    ("Ein Kubel !", {}, True),  # accents and case are stripped
    ("Ein Kubel !", {"strip_accents": False}, False),
    ("ein eimer", {"lower": False}, False),
    ("", {}, False),
    # any two translations in one word
    ("ein Eimertrat", {}, False),
    ("ein Eimertrat", {"compounds": True}, True),
    ("ein EimerEimer", {"compounds": True}, False),  # not one with itself
    # a compound whose rest is a word of the dictionary
    ("ein Wassereimer", {}, False),
    ("ein Wassereimer", {"partial": True}, True),
    ("ein Sandeimer", {"partial": True}, False),
    # one edit in eight, at the end; at the beginning; one in five; three in twenty
    ("er hat getretem", {"fuzzy": True}, True),
    ("er hat xetreten", {"fuzzy": True}, False),
    ("zwei Eimers", {"fuzzy": True}, True),
    ("zwei Eimers", {}, False),
]


@pytest.mark.parametrize("output, switches, error", ERRORS)
def test_errors(output, switches, error):
    assert decide(output, **switches) == Verdict(error, 3, 3)


def test_a_word_that_the_reference_translates_is_removed_as_a_whole():
    """`den` is in the reference, so no translation of `the` is blocked; `die` is one."""
    gave = ["Er", "gab", "den", "Löffel", "ab", "."]
    assert decide("Die Frau starb .").error
    assert not decide("Die Frau starb .", reference=gave).error
    assert decide("Der Eimer .", reference=gave).error  # `bucket` is still blocked


def test_compounds_of_removed_words_count_but_not_those_of_the_reference():
    kicked = ["Er", "trat"]
    assert decide("ein Eimertrat", reference=kicked, compounds=True).error
    assert not decide("ein Eimertrat", reference=["Eimertrat"], compounds=True).error
    assert not decide("ein Wassereimer", reference=["Wassereimer"], partial=True).error


def test_distances_of_fuzzy_matching():
    word = "a" * 20
    dictionary = Dictionary({"w": (word,)})
    for changed, error in ((2, True), (3, False)):
        output = word[:-changed] + "b" * changed
        assert decide(output, ["w"], ["c"], dictionary=dictionary, fuzzy=True).error is error


def test_idioms_without_an_entry_are_free_of_errors_and_without_words_skipped():
    assert decide("Er trat .", idiom=["bit", "dust"]) == Verdict(False, 2, 0)
    assert decide("Er trat .", idiom=["bit", "kicked", ","]) == Verdict(True, 2, 1)
    assert decide("Er trat .", idiom=["-", "!", "“"]) is None
    assert decide("Er trat .", idiom=["kicked"], stop_words=frozenset({"kicked"})) is None


def test_words_that_the_source_repeats():
    """`Kicked` occurs elsewhere in the source, so only the others are blocked."""
    assert decide("Er trat .", rest=["Kicked"]).error
    assert decide("Er trat .", rest=["Kicked"], drop_repeated=True) == Verdict(False, 2, 2)


def test_the_lower_cased_form_is_looked_up_too():
    assert decide("Er trat .", idiom=["Kicked"]) == Verdict(True, 1, 1)
    upper = Dictionary({"Bucket": ("Eimer",), "bucket": ("Kübel",)})
    assert upper.translations("Bucket") == ("Eimer", "Kübel")
    assert upper.translations("bucket") == ("Kübel",)


def test_micro_and_macro():
    """a: one error of three, b: one of one; a skipped sentence counts nowhere."""
    found = [Verdict(e, 1, 1) for e in (True, False, False, True)]
    measured = litter([*found, None], ["a", "a", "a", "b", "c"], Matching())
    assert measured["micro"].point == pytest.approx(2 / 4)
    assert measured["macro"].point == pytest.approx((1 / 3 + 1) / 2)
    assert measured["macro"].n == 2
    assert "case:low|acc:no|exact|avg:macro" in measured["macro"].signature
    many = litter([Verdict(False, 1, 1)] * 20, [str(i // 2) for i in range(20)], Matching())
    assert many["micro"].n == 10  # labels are resampled together
    with pytest.raises(EvaluationError, match="no sentence has an idiom"):
        litter([None], ["a"], Matching())


def test_only_the_last_span_counts():
    source = "He kicked a bucket."
    kicked, bucket = (3, 9), (12, 18)
    texts = [source], ["Er starb."], ["Er trat ihn."]
    for spans, error in (((bucket, kicked), True), ((kicked, bucket), False)):
        marked = [MarkedIdiom("kick", spans)]
        (found,) = verdicts(texts, marked, ("en", "de"), DICTIONARY, Matching())
        assert found == Verdict(error, 1, 1)
    assert verdicts(texts, [None], ("en", "de"), DICTIONARY, Matching()) == [None]


def test_tokens():
    assert moses("en")("It's ice-cold.") == ["It", "'s", "ice", "@-@", "cold", "."]
    with pytest.raises(ConfigError, match="'zh' has no spaces"):
        moses("zh")


# reference tokens, output tokens, score
MWE = [
    (["den", "Löffel"], ["den", "Löffel"], 1.0),
    (["den", "Löffel"], ["den", "Loffel"], 1 - (0 + 1 / 6) / 2),
    (["den", "Löffel"], ["Löffel", "den", "ab"], 1.0),  # in any order
    (["ab"], ["xxxxxxxx"], 0.0),  # no more than all is lost
    (["ab", "cd"], ["ax"], 1 - (1 / 2 + 1) / 2),
    (["ab"], [], 0.0),
]


@pytest.mark.parametrize("reference, output, score", MWE)
def test_score_mwe(reference, output, score):
    assert score_mwe(reference, output) == pytest.approx(score)


def test_the_mean_of_score_mwe_skips_references_without_a_span():
    texts = ["den Löffel abgeben", "nichts", "den Löffel"], ["den Loffel", "so", "weg"]
    references = [MarkedIdiom("a", ((0, 3), (4, 10))), None, MarkedIdiom("b", ((0, 3),))]
    outputs = [MarkedIdiom("a", ((0, 10),)), MarkedIdiom("b", ((0, 2),)), None]
    measured = mwe_scores(texts, [references, outputs], "de")
    assert measured.point == pytest.approx((1 - 1 / 12 + 0) / 2)
    assert len(measured.stats) == 2
    with pytest.raises(EvaluationError, match="no reference has a span"):
        mwe_scores(texts, [[None] * 3, outputs], "de")
    with pytest.raises(EvaluationError, match="empty reference"):
        score_mwe([], ["a"])


def test_a_gloss_is_word_by_word():
    assert gloss("He kicked the bucket, Water!", DICTIONARY) == ("trat der Eimer Wasser", 5, 4)
    assert gloss("Hm?", DICTIONARY) == ("", 1, 0)


def test_the_proxy_is_higher_for_literal_outputs():
    glosses = [gloss("He kicked the bucket.", DICTIONARY), gloss("Hm.", DICTIONARY)]
    literal = literalness_proxy(["trat der Eimer", "Hm."], glosses)
    assert literal.point == pytest.approx(100.0)
    assert literalness_proxy(["Er starb.", "Hm."], glosses).point < 20
    assert len(literal.stats) == 1  # without a gloss nothing is compared
    assert literal.signature.startswith("literalness-proxy:gloss|dictionary-coverage:0.600|CHRF")
    assert "LitTER" not in literal.signature
    clustered = literalness_proxy(["trat", "Hm."], glosses[::-1], np.array([4, 7]))
    assert clustered.clusters.tolist() == [7]
    with pytest.raises(EvaluationError, match="no word of any source"):
        literalness_proxy(["a"], glosses[1:])
