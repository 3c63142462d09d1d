"""Formality: labels and values worked by hand, and the systems that the official metric can be won
with."""

import json
import math

import numpy as np
import pytest
from ability_factory import TOOLS

from mtray.analysis.uncertainty import replicate_values, score
from mtray.data.benchmarks.cocoa_mt import phrases
from mtray.errors import ConfigError, DataError
from mtray.evaluation.abilities import build_ability
from mtray.evaluation.abilities.base import Context
from mtray.evaluation.inference.requests import Output
from mtray.evaluation.metrics.cocoa_matching import (
    control,
    control_floor,
    guarded_accuracy,
    label_normalised,
    label_official,
    normalised,
)
from mtray.schema import AbilitySpec

# hypothesis, formal phrases, informal phrases, official label, normalised label
LABELS = [
    ("Ви знаєте це", ["Ви", "знаєте"], ["Ти", "знаєш"], "FORMAL", "FORMAL"),
    ("Ти знаєш це", ["Ви", "знаєте"], ["Ти", "знаєш"], "INFORMAL", "INFORMAL"),
    ("Він знає це", ["Ви", "знаєте"], ["Ти", "знаєш"], "NEUTRAL", "NEUTRAL"),
    ("Ви знаєш це", ["Ви", "знаєте"], ["Ти", "знаєш"], "OTHER", "OTHER"),
    # case and attached punctuation count officially
    ("Що ви, пане?", ["Ви"], ["Ти"], "NEUTRAL", "FORMAL"),
    ("Це знаєте?", ["знаєте"], ["знаєш"], "NEUTRAL", "FORMAL"),
    # a phrase of several words: a set, in any order and any place, but all of them
    ("Sie können gern gehen", ["können Sie"], ["kannst du"], "FORMAL", "FORMAL"),
    ("können wir", ["können Sie"], ["kannst du"], "NEUTRAL", "NEUTRAL"),
    # a doubled space makes an empty token that the hypothesis does not have
    ("können Sie", ["können  Sie"], ["du"], "NEUTRAL", "FORMAL"),
    # whole words only
    ("Прочитайте це", ["Прочитайте"], ["Прочитай"], "FORMAL", "FORMAL"),
    # an apostrophe of either kind
    ("ви пʼєте", ["п'єте"], ["п'єш"], "NEUTRAL", "FORMAL"),
    # a phrase of punctuation alone is in no text once it is stripped
    ("так", ["!"], ["?"], "NEUTRAL", "NEUTRAL"),
    ("", ["Ви"], ["Ти"], "NEUTRAL", "NEUTRAL"),
]


@pytest.mark.parametrize("hypothesis, formal, informal, official, normal", LABELS)
def test_labels(hypothesis, formal, informal, official, normal):
    assert label_official(hypothesis, formal, informal) == official
    assert label_normalised(hypothesis, formal, informal) == normal


def test_unsegmented_text_is_searched_for_parts():
    args = ["ですか"], ["なの"]
    assert label_official("そうですか。", *args, segmented=False) == "FORMAL"
    assert label_normalised("そうで、すか。", *args, segmented=False) == "FORMAL"
    assert label_official("そうですか。", *args) == "NEUTRAL"


def test_vowel_signs_of_indic_scripts_stay():
    assert normalised("क्या आप जाएँगे?") == "क्या आप जाएँगे"


def test_phrases_are_what_stands_between_the_tags():
    assert phrases("[F]Ви[/F] ж [F]знаєте[/F], що") == ["Ви", "знаєте"]
    assert phrases("нічого") == []


# correct, opposite, labelled references: formal then informal; guarded accuracy; control
VALUES = {
    "the references": ([8, 0, 8, 8, 0, 8], 1.0, 1.0),
    "no phrase at all": ([0, 0, 8, 0, 0, 8], 0.0, 0.0),
    "one sure phrase, avoids the rest": ([1, 0, 8, 1, 0, 8], 1 / 8, 1 / 8),
    "always formal": ([8, 0, 8, 0, 8, 8], 0.5, 0.0),
    "always formal, half the coverage": ([4, 0, 8, 0, 4, 8], 0.25, 0.0),
    "a coin": ([4, 4, 8, 4, 4, 8], 0.5, 0.0),
    "three of four right, full coverage": ([6, 2, 8, 6, 2, 8], 0.75, 0.5),
    "the opposite of what is asked": ([0, 8, 8, 0, 8, 8], 0.0, -1.0),
    "covers more than the references": ([8, 0, 4, 8, 0, 4], 1.0, 1.0),
    "nothing to label in a resample": ([0, 0, 0, 0, 0, 0], 0.0, 0.0),
}


@pytest.mark.parametrize("sums, guarded, controlled", VALUES.values(), ids=VALUES)
def test_values(sums, guarded, controlled):
    assert guarded_accuracy(np.array(sums, float)) == pytest.approx(guarded)
    assert control(np.array(sums, float)) == pytest.approx(controlled)
    many = np.array([sums, sums], float)
    assert control(many).tolist() == pytest.approx([controlled] * 2)


@pytest.mark.parametrize("formal, informal", [(8, 8), (10, 5), (3, 9)])
def test_the_floor_is_the_most_without_listening(formal, informal):
    """Every system with p FORMAL and q INFORMAL outputs under both instructions, of 12."""
    best = max(
        float(control(np.array([p, q, formal, q, p, informal], float)))
        for p in range(13)
        for q in range(13 - p)
    )
    assert control_floor(formal, informal) == pytest.approx(best)


ROWS = [
    ("You know.", "Ви знаєте.", "Ти знаєш.", "[F]Ви[/F] [F]знаєте[/F].", "[F]Ти[/F] [F]знаєш[/F]."),
    ("Read it!", "Прочитайте!", "Прочитай!", "[F]Прочитайте[/F]!", "[F]Прочитай[/F]!"),
    ("For you.", "Для вас.", "Для тебе.", "Для [F]вас[/F].", "Для [F]тебе[/F]."),
    ("I see you.", "Я вас бачу.", "Я тебе бачу.", "Я [F]вас[/F] бачу.", "Я [F]тебе[/F] бачу."),
]
COLUMNS = ("en", "formal", "informal", "formal_annotated", "informal_annotated")


def build(tmp_path, rows=ROWS, **options):
    path = tmp_path / "formality.jsonl"
    lines = [json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    spec = AbilitySpec(measure="formality", path=str(path), **({"direction": "en-uk"} | options))
    return build_ability(spec, Context("register", "labels", 16, tokenizer=None))


def outputs(*texts):
    return [Output(text, -1.0, 1) for text in texts]


def test_requests_name_the_register(tmp_path):
    ability = build(tmp_path)
    assert [r.prompt for r in ability.requests[:2]] == [
        "English: You know.\nUkrainian (formal):",
        "English: You know.\nUkrainian (informal):",
    ]
    assert len(ability.requests) == 8
    assert ability.floor == 0.0


def test_references_as_outputs_have_all(tmp_path):
    ability = build(tmp_path)
    texts = [text for row in ROWS for text in row[1:3]]
    measured = ability.measure(outputs(*texts), TOOLS)
    assert measured.point == 1.0
    assert ability.extras(outputs(*texts), TOOLS)["guarded_accuracy"].point == 1.0
    assert measured.n == 4
    assert "normalised" in measured.signature
    counts = ability.counts(outputs(*texts))
    assert counts["normalised.formal.FORMAL"] == counts["normalised.informal.INFORMAL"] == 4
    # officially the phrases next to a full stop are missed: only `Ви`, `Ти` and the last row's
    # count
    assert counts["official.formal.FORMAL"] == 2
    assert counts["official.formal.NEUTRAL"] == 2
    assert counts["references.official.informal.INFORMAL"] == 2
    assert counts["sentences"] == 4


def test_who_avoids_every_phrase_has_nothing(tmp_path):
    """One phrase in eight outputs, the right one: the official accuracy is 1.0."""
    ability = build(tmp_path)
    assert ability.measure(outputs(*["Так."] * 8), TOOLS).point == 0.0
    assert score(ability.measure(outputs(*["Так."] * 8), TOOLS), 200).value == 0.0
    found = ability.measure(outputs("Ви знаєте.", *["Так."] * 7), TOOLS)
    assert found.point == pytest.approx((1 / 4 + 0) / 2)


def test_one_register_for_everything_is_the_floor(tmp_path):
    ability = build(tmp_path)
    texts = [row[1] for row in ROWS for _ in range(2)]
    assert ability.measure(outputs(*texts), TOOLS).point == 0.0
    assert ability.extras(outputs(*texts), TOOLS)["guarded_accuracy"].point == 0.5


def test_both_registers_of_a_sentence_are_drawn_together(tmp_path):
    """Always-formal is 0 on every resample only when a draw takes a sentence's two outputs at
    once."""
    ability = build(tmp_path)
    texts = [row[1] for row in ROWS for _ in range(2)]
    assert replicate_values(ability.measure(outputs(*texts), TOOLS), 100, 0) == pytest.approx(0.0)


def test_a_part_keeps_both_registers_of_a_sentence(tmp_path):
    whole = build(tmp_path, ROWS * 20)
    part = whole.part(0.25)
    keep = [i * len(whole.expected) // len(part.expected) for i in range(len(part.expected))]
    assert len(part.expected) == math.ceil(len(whole.expected) / 4)
    assert part.requests == [whole.requests[2 * i + side] for i in keep for side in (0, 1)]
    texts = [text for i in keep for text in whole.references[i]]
    assert part.measure(outputs(*texts), TOOLS).point == pytest.approx(1.0)
    assert part.floor == whole.floor


def test_what_cannot_be_measured_is_refused(tmp_path):
    bare = [(*row[:3], row[1], row[4]) for row in ROWS]
    with pytest.raises(DataError, match="no formal reference"):
        build(tmp_path, bare)
    with pytest.raises(ConfigError, match="does not know `shot`"):
        build(tmp_path, shot=2)
    open_tag = [(*row[:3], "[F]" + row[1], row[4]) for row in ROWS]
    with pytest.raises(DataError, match=r"formality.jsonl: no formal reference contains \[F\]"):
        build(tmp_path, open_tag)  # as the official scorer reads it
    with pytest.raises(ConfigError, match=r"`direction`: .*found None"):
        build(tmp_path, direction=None)
    with pytest.raises(ConfigError, match="unknown key 'polite' in `columns`"):
        build(tmp_path, columns={"polite": "x"})
