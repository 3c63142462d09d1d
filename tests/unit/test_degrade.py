import random

import pytest

from mtray.embedded.degrade import (
    NEAR_MISS,
    ORDER_COST,
    STAND_INS,
    STEPS,
    TYPING_ERROR,
    WRONG_ENDING,
    Piece,
    Surroundings,
    degrade,
    matched,
    quality,
    stand_in,
)
from mtray.embedded.lexicon import FUNCTION_WORDS, Lexicon, key, split, stem

SENTENCE = "red dogs chase small cats today"
# 60 fillers are the most frequent, so they are the function words and the sentences' words are not
FILLERS = [f"filler{i}" for i in range(FUNCTION_WORDS - 1)] + ["the"]
SENTENCES = [
    *[" ".join(FILLERS)] * 9,
    *["Red dogs chase small cats today.", "Blue birds sing loudly.", "Old dogs sleep."] * 3,
    *["She likes chasing rabbits.", "She likes chased rabbits."] * 3,
]


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return Lexicon(SENTENCES)


def around(lexicon: Lexicon, seed: int = 0, source: str = "perros rojos") -> Surroundings:
    return Surroundings(random.Random(seed), lexicon, source, "червоні собаки")


def at(*homes: int | None, credit: float = 1.0) -> list[Piece]:
    return [Piece("new", None) if h is None else Piece("w", h, credit) for h in homes]


# the reference a b c d, where `the` weighs 0.5 and the others 1: weights 1, 0.5, 1, 1 = 3.5
REFERENCE = ["dogs", "the", "chase", "cats"]
WORKED = {
    "untouched": (at(0, 1, 2, 3), 1.0),
    "a content word lost": (at(0, 1, 2), 2.5 / 3.5),
    "a function word lost": (at(0, 2, 3), 3 / 3.5),
    "a content word replaced": (at(0, 1, 2, None), 2.5 / 3.5),
    "a word added": (at(0, 1, 2, 3, None), 3.5 / 4.5),
    "said twice": (at(0, 1, 2, 3, 3), 3.5 / 4.5),
    "reversed: 6 of 6 pairs": (at(3, 2, 1, 0), 1 - ORDER_COST),
    "neighbours swapped: 1 of 6 pairs": (at(1, 0, 2, 3), 1 - ORDER_COST / 6),
    "typing errors everywhere": (at(0, 1, 2, 3, credit=TYPING_ERROR), TYPING_ERROR),
    "nothing right": (at(None, None), 0.0),
    "empty": ([], 0.0),
}


@pytest.mark.parametrize("name", WORKED)
def test_quality_is_the_documented_rule(lexicon: Lexicon, name: str) -> None:
    pieces, label = WORKED[name]
    assert quality(REFERENCE, pieces, lexicon) == pytest.approx(label)


# severity 0.5 of six words touches three; every word of SENTENCE weighs 1
STEP_LABELS = {
    "drop": 3 / 6,
    "truncate": 3 / 6,
    "wrong_words": 3 / 6,
    "wrong_content": 3 / 6,
    "foreign_words": 3 / 6,
    "untranslated": 3 / 6,
    "insert": 6 / 9,
    "repeat": 6 / 9,
    "typing": (3 + 3 * TYPING_ERROR) / 6,
}


@pytest.mark.parametrize("step", STEP_LABELS)
def test_steps_cost_what_they_touch(lexicon: Lexicon, step: str) -> None:
    text = f"{SENTENCE}."
    found = degrade([step], text, 0.5, around(lexicon, seed=3))
    assert found.label == pytest.approx(STEP_LABELS[step])
    assert found.kind == step
    assert found.text != text and found.text.endswith(".")


def test_truncating_keeps_the_start(lexicon: Lexicon) -> None:
    assert degrade(["truncate"], "red dogs chase cats!", 0.5, around(lexicon)).text == "Red dogs!"


def test_wandering_starts_right(lexicon: Lexicon) -> None:
    found = degrade(["wander"], SENTENCE, 0.5, around(lexicon, seed=1))
    assert found.text.startswith("Red dogs chase ")
    assert 0 < found.label <= 0.5


def test_endings_take_another_form_of_the_stem(lexicon: Lexicon) -> None:
    assert stem("chasing") == stem("chased") == "chas"
    found = degrade(["endings"], "chasing", 1.0, around(lexicon))
    assert (found.text, found.label) == ("Chased", pytest.approx(WRONG_ENDING))


def test_shuffling_costs_less_than_dropping(lexicon: Lexicon) -> None:
    for seed in range(20):
        shuffled = degrade(["shuffle_all"], SENTENCE, 1.0, around(lexicon, seed))
        assert sorted(key(w) for w in split(shuffled.text)[0]) == sorted(SENTENCE.split())
        assert 1 - ORDER_COST <= shuffled.label <= 1.0
        near = degrade(["shuffle_near"], SENTENCE, 0.3, around(lexicon, seed))
        assert near.label >= 1 - ORDER_COST / 2


@pytest.mark.parametrize("step", STEPS)
def test_laws_of_every_step(lexicon: Lexicon, step: str) -> None:
    for seed in range(30):
        rng = random.Random(seed)
        text = rng.choice(SENTENCES[9:])
        found = degrade([step], text, rng.random(), around(lexicon, seed))
        assert 0.0 <= found.label <= 1.0
        untouched = degrade([step], text, 0.0, around(lexicon, seed))
        if step != "shuffle_near":
            assert (untouched.text, untouched.label) == (text, pytest.approx(1.0))


def test_same_seed_same_text(lexicon: Lexicon) -> None:
    for step in STEPS:
        first, again = (degrade([step, "drop"], SENTENCE, 0.4, around(lexicon, 7)) for _ in "ab")
        assert first == again


def test_steps_add_up(lexicon: Lexicon) -> None:
    found = degrade(["truncate", "insert"], SENTENCE, 0.5, around(lexicon))
    # three of six words stay, then two are added: recall 3/6 is below precision 3/5
    assert (found.label, found.kind) == (pytest.approx(0.5), "truncate+insert")
    assert degrade(["truncate", "insert"], SENTENCE, 1.0, around(lexicon)).text == ""


def test_no_step_no_change(lexicon: Lexicon) -> None:
    found = degrade([], "Red dogs?", 0.9, around(lexicon))
    assert (found.text, found.label, found.kind) == ("Red dogs?", 1.0, "same")


def test_stand_ins(lexicon: Lexicon) -> None:
    reference = "Red dogs chase small cats today."
    texts = {kind: stand_in(kind, reference, around(lexicon)) for kind in STAND_INS}
    assert texts["copy"].text == "perros rojos"
    assert texts["other_language"].text == "червоні собаки"
    assert texts["empty"].text == ""
    assert texts["unrelated"].text in SENTENCES
    assert {texts[k].label for k in STAND_INS if k != "near"} == {0.0}
    with pytest.raises(KeyError):
        stand_in("nonsense", reference, around(lexicon))


def test_a_near_sentence_is_worth_half_of_what_it_shares(lexicon: Lexicon) -> None:
    words = split("Old dogs sleep.")[0]
    pieces = matched("Red dogs chase small cats today.", words)
    assert [p.home for p in pieces] == [None, 1, None, None, None, None]
    two = Lexicon([*[" ".join(FILLERS)] * 9, "Dogs sleep.", "Young dogs sleep well."])
    for seed in range(20):
        found = stand_in("near", "Dogs sleep.", around(two, seed))
        # both words are there (recall 1), among four (precision 2/4), in order
        assert (found.text, found.label) == ("Young dogs sleep well.", NEAR_MISS * 0.5)


def test_a_near_sentence_is_never_the_reference_itself() -> None:
    lexicon = Lexicon([*FILLERS, "the dog", "the dog sleeps"])
    for seed in range(30):
        assert lexicon.sentence_like("the dog", random.Random(seed)) != "the dog"
        # no other sentence has the word: any will do
        assert lexicon.sentence_like("sleeps", random.Random(seed)) == "the dog sleeps"


def test_lexicon_reads_its_sentences(lexicon: Lexicon) -> None:
    assert lexicon.function == set(FILLERS)
    assert lexicon.weight("The,") == 0.5 and lexicon.weight("dogs") == 1.0
    assert lexicon.any_word(random.Random(0)) not in lexicon.function
    assert lexicon.other_form("dogs", random.Random(0)) is None
    assert Lexicon(["not the dog"]).weight("Not") == 1.0


@pytest.mark.parametrize(
    ("text", "words", "end"),
    [("¿Qué es?", ["¿Qué", "es"], "?"), ("Hi", ["Hi"], ""), ("...", [], "..."), ("", [], "")],
)
def test_split_keeps_the_end_apart(text: str, words: list[str], end: str) -> None:
    assert split(text) == (words, end)
