"""Cross-lingual summaries: prompts, ROUGE-L of any script, lengths and the floor, by hand."""

import json
import pickle

import pytest
from ability_factory import TOOLS
from sacrebleu.metrics import CHRF
from tiny_models import byte_level

from mtray.cli import main
from mtray.errors import ConfigError, DataError, EvaluationError
from mtray.evaluation.abilities import build_ability
from mtray.evaluation.abilities.base import Context
from mtray.evaluation.abilities.summarisation import lead, shortened, trivial_value
from mtray.evaluation.inference.requests import Output
from mtray.evaluation.metrics.summaries import measure_summaries, rouge_l
from mtray.schema import AbilitySpec

# output, reference, language, F1 of the longest common subsequence
ROUGE = [
    ("the cat sat", "the cat sat", "en", 1.0),
    ("sat the cat", "the cat sat", "en", 2 / 3),  # order counts: `the cat`
    ("The cat!", "the cat sat down", "en", 2 * 1 * 0.5 / 1.5),
    ("кіт сидів тут", "кіт сидів", "uk", 2 * (2 / 3) * 1 / (5 / 3)),
    ("हिन्दी है", "हिन्दी, है।", "hi", 1.0),
    ("猫在这", "猫在", "zh", 2 * (2 / 3) * 1 / (5 / 3)),  # by characters
    ("猫在这", "猫在这", "zh", 1.0),
    ("", "кіт", "uk", 0.0),
    ("der Hund", "кіт", "uk", 0.0),
]


@pytest.mark.parametrize("output, reference, language, value", ROUGE)
def test_rouge_l(output, reference, language, value):
    assert rouge_l([output], [reference], language).point == pytest.approx(value)


def test_values():
    measured = measure_summaries(["ab cd", ""], ["ab cd", "wxyz o"], "en")
    assert measured["rouge_l"].point == 0.5
    assert measured["length_ratio"].point == pytest.approx(5 / 11)
    expected = CHRF().corpus_score(["ab cd", ""], [["ab cd", "wxyz o"]]).score
    assert measured["chrf"].point == pytest.approx(expected)
    assert "tok:word" in measured["rouge_l"].signature
    with pytest.raises(EvaluationError, match="1 summaries and 2 references"):
        measure_summaries(["a"], ["a", "b"], "en")


@pytest.mark.parametrize(
    "characters, words", [(0, "One"), (3, "One"), (6, "One"), (7, "One two"), (99, "One two six")]
)
def test_the_lead_is_no_longer_than_asked(characters, words):
    assert lead("One two six", characters) == words


def test_the_floor_is_the_better_trivial_answer():
    articles = ["Kyiv 2024 news here and more of it.", "Lviv 1999 book with more words in it."]
    names = ["Kyiv 2024 news", "Lviv 1999 book"]  # what the beginnings say
    assert trivial_value(articles, names) == pytest.approx(100.0)
    alike = ["кіт сидів тут", "кіт сидів там"]  # what another article's reference says
    expected = CHRF().corpus_score(alike[::-1], [alike]).score
    assert trivial_value(articles, alike) == pytest.approx(expected)
    assert expected > 50
    assert trivial_value(articles[:1], alike[:1]) == 0.0  # no other article


ROWS = [
    {"article": "The cat sat\non the mat.", "summary": "Кіт сидів."},
    {"article": "It rained all day.", "summary": "Дощ йшов увесь день."},
    {"article": "Bread is dear.", "summary": "Хліб дорогий."},
]


@pytest.fixture
def path(tmp_path):
    (tmp_path / "s.jsonl").write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8")
    return tmp_path / "s.jsonl"


def build(path, **options):
    spec = AbilitySpec(measure="summarisation", path=str(path), **({"language": "uk"} | options))
    return build_ability(spec, Context("sum", "labels", 16, byte_level()))


def outputs(*texts):
    return [Output(text, -1.0, 1) for text in texts]


def test_the_ability(path):
    ability = build(path)
    first = "Article: The cat sat on the mat.\nSummary in Ukrainian:"
    assert ability.requests[0].prompt == first
    assert ability.requests[0].max_new_tokens == 16
    references = outputs(*(row["summary"] for row in ROWS))
    assert ability.measure(references, TOOLS).point == pytest.approx(100.0)
    extras = ability.extras(references, TOOLS)
    assert (extras["rouge_l"].point, extras["length_ratio"].point) == (1.0, 1.0)
    assert set(extras) == {"rouge_l", "length_ratio"}
    assert 0 < ability.floor < 50
    leads = outputs(*(row["article"] for row in ROWS))
    assert ability.measure(leads, TOOLS).point <= ability.floor
    assert ability.counts(references)["articles_cut"] == 0
    assert ability.part(1.0) == pickle.loads(pickle.dumps(ability)) == ability
    with pytest.raises(EvaluationError, match="sum: 3 requests but 1 outputs"):
        ability.measure(outputs("a"), TOOLS)


def test_long_articles_are_cut(path):
    tokenizer = byte_level()
    limit = len(tokenizer("It rained all day.", add_special_tokens=False)["input_ids"]) - 2
    (cut,) = shortened(["It rained all day."], tokenizer, limit)
    assert "It rained all day.".startswith(cut) and len(cut) < 18
    assert len(tokenizer(cut, add_special_tokens=False)["input_ids"]) <= limit
    ability = build(path, max_article_tokens=limit, max_new_tokens=99)
    assert ability.requests[1].prompt == f"Article: {cut}\nSummary in Ukrainian:"
    assert ability.requests[1].max_new_tokens == 99
    assert ability.counts(outputs("", "", ""))["articles_cut"] == sum(ability.cut) > 0
    assert ability.floor == build(path).floor  # of the whole articles


class Utf8:
    """A token for each byte, with offsets in characters or, where it is not fast, without."""

    def __init__(self, is_fast):
        self.is_fast = is_fast

    def __call__(self, texts, return_offsets_mapping=False, **_):
        found = {"input_ids": [list(text.encode()) for text in texts]}
        if return_offsets_mapping:
            found["offset_mapping"] = [
                [(i, i + 1) for i, c in enumerate(text) for _ in c.encode()] for text in texts
            ]
        return found

    def decode(self, ids, **_):
        return bytes(ids).decode(errors="replace")


@pytest.mark.parametrize("is_fast", [True, False])
def test_a_cut_within_a_character_leaves_none_of_it(is_fast):
    cuts = [shortened(["ab 猫"], Utf8(is_fast), limit)[0] for limit in range(1, 7)]
    assert cuts == ["a", "ab", "ab", "ab", "ab", "ab 猫"]


def test_an_own_prompt_and_size(path):
    ability = build(path, prompt="{article}\n\nTL;DR in {language}: ", size=1)
    assert ability.requests[0].prompt.endswith("mat.\n\nTL;DR in Ukrainian:")
    assert [a[:3] for a in build(path, size=2).articles] == ["The", "It "]


WRONG = [
    ({"prompt": "{language}"}, "needs the slot {article}"),
    ({"prompt": "{article} {x}"}, "needs the slot {article}, and may have {language}"),
    ({"prompt": "{article"}, "`prompt`: expected '}'"),
    ({"max_article_tokens": 0}, "`max_article_tokens`: .*greater than or equal to 1"),
    ({"language": "xx"}, "language 'xx' is not in ISO 639"),
    ({"columns": {"text": "x"}}, "unknown key 'text' in `columns`; allowed: article, summary"),
]


@pytest.mark.parametrize("options, message", WRONG)
def test_wrong_options_are_errors(path, options, message):
    with pytest.raises(ConfigError, match=message):
        build(path, **options)


def test_a_file_without_the_column(path):
    with pytest.raises(DataError, match=r"s.jsonl:1: no text under 'body'"):
        build(path, columns={"article": "body"})


def test_score(tmp_path, capsys):
    (tmp_path / "hyp").write_text("Кіт сидів.\n\n", encoding="utf-8")
    (tmp_path / "ref").write_text("Кіт сидів.\nДощ.\n", encoding="utf-8")
    arguments = ["--hyp", str(tmp_path / "hyp"), "--ref", str(tmp_path / "ref")]
    assert main(["score", "summarisation", *arguments, "--language", "uk"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["scores"]["rouge_l"]["value"] == 0.5
    assert found["counts"] == {"segments": 2, "empty": 1}
    (tmp_path / "hyp").write_text("Кіт.\n", encoding="utf-8")
    assert main(["score", "summarisation", *arguments, "--language", "uk"]) == 2
    assert "hyp has 1" in capsys.readouterr().err
