"""ctxpro: items, the official matching, ceilings and floors, worked by hand."""

import json
import pickle
from dataclasses import replace

import pytest
from ability_factory import TOOLS
from public_files import CTXPRO, needs

from mtray.cli import main
from mtray.data.benchmarks.ctxpro import Item, read_items, with_context
from mtray.errors import ConfigError, DataError, EvaluationError
from mtray.evaluation.abilities import build_ability
from mtray.evaluation.abilities.base import Context
from mtray.evaluation.inference.requests import Output
from mtray.evaluation.metrics.context_matching import (
    best_constant,
    fits,
    holds,
    judge,
    last_sentence,
)
from mtray.schema import AbilitySpec

# text, expected form, whether the official test finds it
MATCHES = [
    ("Ja, das glaube ich.", "glaube", True),
    ("Ja, das Glaube!", "glaube", True),
    ("Ja, das glaube ich.", "Glaube", True),
    ("Ja, das glauben wir.", "glaube", False),  # whole words only
    ("(glaube)", "glaube", True),
    ("„glaube“", "glaube", False),  # only ASCII punctuation is deleted
    ("weiß es…", "es", False),
    ("Je l'ai vu.", "ai", False),  # the apostrophe is deleted and glues
    ("C'est la nôtre.", "la nôtre", True),
    ("la nôtre", "l'autre", False),  # a form with punctuation is never found
    ("l'autre", "l'autre", False),
    ("", "es", False),
]


@pytest.mark.parametrize("text, expected, found", MATCHES)
def test_the_official_test(text, expected, found):
    assert holds(text, expected) is found


def test_the_last_sentence_is_scored():
    assert last_sentence("Er weiß es. Sie auch.", "de") == "Sie auch."
    assert last_sentence("Dr. Meier weiß es. ", "de") == "Dr. Meier weiß es."
    assert last_sentence("", "de") == ""
    with pytest.raises(ConfigError, match=r"'zh'; it has ca, .*tr"):
        last_sentence("他知道。", "zh")


@pytest.mark.parametrize("length, kept", [(4, False), (5, True), (20, True), (21, False)])
def test_the_guard_looks_at_characters(length, kept):
    assert fits("x" * length, "y" * 10) is kept


def item(expected, reference, rule="R", document="a", within=None):
    return Item("Source.", reference, expected, rule, document, within)


ITEMS = [
    item("es", "Es ist es.", document="a", within=False),  # 10 characters
    item("sie", "Hier ist sie.", document="a", within=False),  # 13
    item("sie", "Sie kam. Ja.", document="b", within=True),  # `Ja.` is scored: not found
    item("ihn", "Ich habe ihn gesehen.", rule="S", document="c"),  # 21
]
REFERENCES = [i.reference for i in ITEMS]


def test_values_by_hand():
    """Right: items 1 and 2, of which 2 is too long; three of four references are right."""
    outputs = ["Gut. Es war es.", f"Sie {'x ' * 20}ja.", "Sie?", "Ich sah ihr nach."]
    judged = judge(ITEMS, outputs, "de")
    assert judged.right.tolist() == [True, True, True, False]
    assert judged.ceiling.tolist() == [True, True, False, True]
    assert judged.fitting.tolist() == [True, False, True, True]
    assert judged.value().point == pytest.approx(2 / 3)
    extras = {name: m.point for name, m in judged.extras().items()}
    assert extras == pytest.approx(
        {
            "accuracy": 3 / 4,
            "guarded_accuracy": 2 / 4,
            "of_ceiling": 3 / 3,
            "rule.R": 2 / 2,  # the third is right although its reference is not
            "rule.S": 0.0,
            "antecedent_before": 1 / 2,  # within the sentence no reference is right: left out
        }
    )
    counts = judged.counts()
    assert (counts["items"], counts["right"], counts["references_right"]) == (4, 3, 3)
    assert (counts["antecedent_within.items"], counts["antecedent_within.right"]) == (1, 1)
    assert counts["right_but_length_not_as_the_reference"] == 1
    assert counts["rule.S.items"] == 1
    assert counts["documents"] == counts["expected_forms"] == 3
    assert judged.notes() == []
    assert "all-expect" not in judged.signature


def test_references_reach_their_ceiling_and_whole_lines_another():
    assert judge(ITEMS, REFERENCES, "de").value().point == 1.0
    assert judge(ITEMS, REFERENCES, "de").extras()["accuracy"].point == 3 / 4
    whole = judge(ITEMS, REFERENCES, "de", split=False)
    assert whole.extras()["accuracy"].point == 1.0
    assert "last:whole" in whole.signature


def test_documents_are_resampled_together():
    many = [replace(ITEMS[0], document=f"d{i // 2}") for i in range(20)]
    judged = judge(many, ["Es ist es."] * 20, "de")
    assert judged.value().n == judged.extras()["accuracy"].n == 10


def test_lengths_must_be_equal_and_a_reference_right():
    with pytest.raises(EvaluationError, match="4 items but 3 outputs"):
        judge(ITEMS, REFERENCES[:3], "de")
    with pytest.raises(DataError, match="no reference contains"):
        judge([item("x", "y")], ["x"], "de")


def test_a_set_that_expects_one_word_says_so():
    items = [item("it", "It is good to see it."), item("It", "I saw it.")]
    judged = judge(items, ["it", "it"], "en")
    assert judged.extras()["accuracy"].point == 1.0
    assert judged.value().point == 0.0  # the guard sees through it
    assert "every item expects 'it'" in judged.notes()[0]
    assert judged.value().signature.endswith("|all-expect:it")


def brute_constant(items, references):
    """Every form, padded to every length."""
    best = 0
    for form in {i.expected for i in items}:
        for length in range(len(form), 60):
            text = form.ljust(length, "_")
            got = [
                holds(form, i.expected) and fits(text, r)
                for i, r in zip(items, references, strict=True)
            ]
            best = max(best, sum(got))
    return best


LENGTHS = [
    [10, 13, 3, 21],
    [2, 8, 2, 8],
    [4, 9, 30, 30],
    [2, 2, 2, 2],
    [1, 5, 5, 9],
    [7, 14, 28, 29],
]


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("forms", [["it"] * 4, ["la", "la sua", "sua", "la"], ["a", "b", "b", "c"]])
def test_the_floor_is_the_best_constant(lengths, forms):
    references = ["x" * n for n in lengths]
    items = [item(f, r) for f, r in zip(forms, references, strict=True)]
    assert best_constant(items, references) == brute_constant(items, references)


RAW = [
    {
        "src segment": f"Yes, I do {i}.",
        "ref segment": f"Ja, das {form} ich.",
        "expected": form,
        "rule": "DO.ELL",
        "document id": f"d{i // 2}",
        "ante distance": i % 3,
    }
    for i, form in enumerate(["glaube", "will", "will", "weiß"])
]
INPUTS = [f"One.<eos> Two?<eos> Yes, I do {i}." for i in range(4)]


@pytest.fixture
def files(tmp_path):
    (tmp_path / "items.json").write_text(json.dumps(RAW), encoding="utf-8")
    (tmp_path / "inputs").write_text("\n".join(INPUTS) + "\n", encoding="utf-8")
    (tmp_path / "hyp").write_text("\n".join(r["ref segment"] for r in RAW), encoding="utf-8")
    return tmp_path


def build(files, inputs=True, **options):
    path = {"items": str(files / "items.json")}
    path |= {"inputs": str(files / "inputs")} if inputs else {}
    spec = AbilitySpec(measure="context", path=path, **({"direction": "en-de"} | options))
    return build_ability(spec, Context("doc", "labels", 16, None))


def outputs(*texts):
    return [Output(text, -1.0, 1) for text in texts]


@pytest.mark.parametrize("seed", range(5))
def test_a_sample_has_of_every_rule_and_document(tmp_path, seed):
    """Ten items of each of two rules in two documents of five."""
    items = [
        RAW[i % 4]
        | {"src segment": f"Yes, I do {i}.", "document id": f"d{i // 5}", "rule": f"R{i // 10}"}
        for i in range(20)
    ]
    (tmp_path / "items.json").write_text(json.dumps(items))
    spec = AbilitySpec(measure="context", path=str(tmp_path / "items.json"), direction="en-de",
                       context=False, size=8)  # fmt: skip
    found = build_ability(spec, Context("doc", "labels", 16, None, seed)).items
    assert [item.document for item in found] == [f"d{i // 2}" for i in range(8)]
    first = spec.model_copy(update={"take": "first"})
    kept = build_ability(first, Context("doc", "labels", 16, None, seed)).items
    assert [item.source for item in kept] == [item["src segment"] for item in items[:8]]


def test_requests_with_and_without_context(files):
    ability = build(files)
    assert ability.requests[0].prompt == "English: One. Two? Yes, I do 0.\nGerman:"
    assert ability.requests[0].max_new_tokens == 48  # the study's for each of three sentences
    shorter = build(files, max_sentences=2).requests[1]
    assert (shorter.prompt, shorter.max_new_tokens) == (
        "English: Two? Yes, I do 1.\nGerman:",
        32,
    )
    alone = build(files, inputs=False, context=False)
    assert alone.requests[0].prompt == "English: Yes, I do 0.\nGerman:"
    assert alone.requests[0].max_new_tokens == 16


def test_the_ability(files):
    ability = build(files)
    texts = [f"Eins. Zwei? {r['ref segment']}" for r in RAW]
    measured = ability.measure(outputs(*texts), TOOLS)
    assert measured.point == 1.0
    assert "context:yes" in measured.signature
    assert ability.floor == 2 / 4  # `will`
    assert ability.measure(outputs(*["das will ich _____"] * 4), TOOLS).point == ability.floor
    extras = ability.extras(outputs(*texts), TOOLS)
    assert extras["antecedent_within"].point == 1.0
    assert ability.counts(outputs(*texts))["antecedent_within.items"] == 2
    assert pickle.loads(pickle.dumps(ability)) == ability
    assert ability.part(1.0) == ability
    with pytest.raises(EvaluationError, match="doc: 4 requests but 1 outputs"):
        ability.measure(outputs("a"), TOOLS)


def test_a_size_takes_items_from_the_whole_set(files):
    assert [i.source for i in build(files, size=2).items] == ["Yes, I do 0.", "Yes, I do 2."]


WRONG_OPTIONS = [
    ({"inputs": False}, r"needs `path: \{inputs: FILE, items: FILE\}` \(no inputs without context"),
    ({"columns": {"items": "x"}}, "takes no `columns`"),
    ({"max_sentences": 1}, "`max_sentences`: .*greater than or equal to 2"),
    ({"direction": "en-zh"}, "no rules for the target language 'zh'"),
]


@pytest.mark.parametrize("options, message", WRONG_OPTIONS)
def test_wrong_options_are_errors(files, options, message):
    with pytest.raises(ConfigError, match=message):
        build(files, **options)


WRONG_ITEMS = [
    ({"expected": None}, "item 2: no text under 'expected'; keys there: src segment"),
    ({"ref segment": " "}, "item 2: no text under 'ref segment'"),
    ({"ante distance": "near"}, "item 2: `ante distance` must be a whole number, found 'near'"),
    ({"intrasegmental": 1}, "item 2: `intrasegmental` must be true or false, found 1"),
]


@pytest.mark.parametrize("change, message", WRONG_ITEMS)
def test_items_that_cannot_be_read(files, change, message):
    raw = [RAW[0], RAW[1] | change, *RAW[2:]]
    (files / "items.json").write_text(json.dumps(raw))
    with pytest.raises(DataError, match=message):
        build(files)


def test_an_item_without_the_key(files):
    raw = [{k: v for k, v in RAW[0].items() if k != "expected"}]
    (files / "items.json").write_text(json.dumps(raw))
    with pytest.raises(DataError, match="item 1: no text under 'expected'"):
        build(files)


@pytest.mark.parametrize("text", ["{}", "[]", "[1]", "[{"])
def test_files_that_are_no_set(files, text):
    (files / "items.json").write_text(text)
    with pytest.raises(DataError, match=r"expected a list|expected an object|not JSON"):
        build(files)


def test_inputs_must_be_those_of_the_items(files):
    (files / "inputs").write_text("\n".join(INPUTS[:3]) + "\n")
    with pytest.raises(DataError, match=r"items.json has 4 items, .*inputs has 3 lines"):
        build(files)
    (files / "inputs").write_text("\n".join(INPUTS[::-1]) + "\n")
    with pytest.raises(DataError, match=r"inputs:1: ends in 'Yes, I do 3\.', but item 1"):
        build(files)


def test_antecedents_in_the_same_sentence(files):
    raw = [r | {"intrasegmental": i == 1} for i, r in enumerate(RAW)]
    (files / "items.json").write_text(json.dumps(raw))
    within = [i.within for i in read_items(files / "items.json")]
    assert within == [True, True, False, True]  # distances 0, 1, 2, 0
    without = [{k: v for k, v in r.items() if k != "ante distance"} for r in RAW]
    (files / "items.json").write_text(json.dumps(without))
    assert {i.within for i in read_items(files / "items.json")} == {None}


def scored(files, capsys, *more):
    arguments = ["--hyp", files / "hyp", "--items", files / "items.json", "--target", "de", *more]
    code = main(["score", "ctxpro", *map(str, arguments)])
    return code, capsys.readouterr()


def test_score(files, capsys):
    code, printed = scored(files, capsys)
    found = json.loads(printed.out)
    assert code == 0
    assert found["scores"]["value"]["value"] == found["scores"]["accuracy"]["value"] == 1.0
    assert found["counts"]["best_constant_right"] == 2
    _, printed = scored(files, capsys, "--no-split")
    assert "last:whole" in json.loads(printed.out)["scores"]["value"]["signature"]


def test_a_truncated_file_is_refused(files, capsys):
    (files / "hyp").write_text("Ja.\nJa.\n")
    code, printed = scored(files, capsys)
    assert code == 2
    assert "items.json has 4 items" in printed.err and "hyp has 2 lines" in printed.err


@needs(CTXPRO)
@pytest.mark.parametrize("split, whole, last", [("dev", 615, 608), ("devtest", 614, 603)])
def test_ceilings_of_the_real_set(split, whole, last):
    """Of 615 references; the last sentence alone costs 1.1 and 1.8 points."""
    name = f"auxiliary.opensubtitles.en-de.{split}"
    items = read_items(CTXPRO / "evalsets" / f"{name}.json")
    items = with_context(items, CTXPRO / "evalsets" / name, CTXPRO / "inputs" / name)
    references = [i.reference for i in items]
    assert len(items) == 615
    assert max(len(i.context) for i in items) == 9
    assert judge(items, references, "de", split=False).right.sum() == whole
    judged = judge(items, references, "de")
    assert judged.right.sum() == last
    assert {i.within for i in items} == {False}
