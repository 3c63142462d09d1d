"""Abilities other than formality: requests, values and floors worked by hand."""

import json
import math
import pickle
import re

import pytest
from ability_factory import TOOLS
from sacrebleu.metrics import CHRF
from tiny_models import byte_level

from mtray.errors import ConfigError, DataError, EvaluationError
from mtray.evaluation.abilities import ABILITIES, build_ability
from mtray.evaluation.abilities.base import Context
from mtray.evaluation.abilities.few_shot import choose_shots
from mtray.evaluation.inference.requests import Output
from mtray.schema import AbilitySpec

PAIRS = [("a bad cab", "un mal taxi"), ("fed a bee", "dio de comer"), ("dad", "papá")]


@pytest.fixture
def files(tmp_path):
    pairs = [json.dumps({"en": s, "es": t}) for s, t in PAIRS]
    (tmp_path / "pairs.jsonl").write_text("\n".join(pairs))
    pool = [json.dumps({"en": f"word {i}", "es": f"palabra {i}"}) for i in range(200)]
    (tmp_path / "pool.jsonl").write_text("\n".join(pool))
    texts = [json.dumps({"text": t}) for t in ("aab", "ab")]
    (tmp_path / "mono.jsonl").write_text("\n".join(texts))
    return tmp_path


def build(files, measure, file="pairs", **options):
    spec = AbilitySpec(measure=measure, path=str(files / f"{file}.jsonl"), **options)
    return build_ability(spec, Context("kept", "labels", 16, byte_level()))


def outputs(*texts):
    return [Output(text, -1.0, 1) for text in texts]


def test_translation(files):
    ability = build(files, "translation", direction="es-en", size=2, take="first")
    assert ability.requests[0].prompt == "Spanish: un mal taxi\nEnglish:"
    assert ability.requests[0].target is None
    assert ability.requests[0].max_new_tokens == 16
    references, sources = ["a bad cab", "fed a bee"], ["un mal taxi", "dio de comer"]
    assert ability.measure(outputs(*references), TOOLS).point == pytest.approx(100.0)
    # copying the source is the floor, so a model that copies keeps nothing
    assert ability.floor == CHRF().corpus_score(sources, [references]).score
    assert ability.measure(outputs(*sources), TOOLS).point == ability.floor
    counts = ability.counts([Output("", -1.0, 0), Output("dio de comer", -1.0, 3, True)])
    assert counts == {"segments": 2, "empty": 1, "truncated": 1, "copied": 1}
    with pytest.raises(EvaluationError, match="kept: 2 requests but 1 outputs"):
        ability.measure(outputs("a"), TOOLS)


def test_few_shot(files):
    options = {"direction": "en-es", "shots": 2, "shots_path": str(files / "pool.jsonl")}
    ability = build(files, "few_shot", **options)
    lines = ability.requests[0].prompt.split("\n")
    assert len(lines) == 3
    assert lines[-1] == "a bad cab ->"
    for line in lines[:2]:
        source, target = line.split(" -> ")
        assert source.replace("word", "palabra") == target
    # the same query has the same shots whatever else is asked, and other queries have others
    alone = build(files, "few_shot", size=1, **options)
    assert alone.requests[0] in ability.requests
    assert ability.requests[1].prompt.split("\n")[:2] != lines[:2]
    assert ability.measure(outputs(*(t for _, t in PAIRS)), TOOLS).point == pytest.approx(100.0)


# the options of every measure that reads tables, of rows as `numbered` makes them
TABLES = {
    "formality": {"direction": "en-es"},
    "translation": {"direction": "en-es"},
    "few_shot": {"direction": "en-es", "shots": 1, "shots_path": "pool.jsonl"},
    "instructions": {"direction": "en-es"},
    "perplexity": {"language": "en"},
    "choice": {},
    "technical": {"direction": "en-es", "shots": 1, "shots_path": "pool.jsonl", "metric": "chrf"},
    "idioms": {"direction": "en-es"},
    "summarisation": {"language": "es"},
}


def numbered(i):
    """A row of a set with a document of 100 rows first, then 50 documents of two."""
    english, spanish = f"an apple {i}", f"una manzana {i}"
    return {
        "en": english, "es": spanish, "text": english, "article": english, "summary": spanish,
        "formal": f"usted {i}", "informal": f"vos {i}", "formal_annotated": f"[F]usted[/F] {i}",
        "informal_annotated": f"[F]vos[/F] {i}", "question": english, "choices": ["yes", "no"],
        "answer": 0, "doc": max(i // 2, 49), "kind": "web" if i < 100 else "news",
    }  # fmt: skip


def test_every_ability_that_reads_tables_is_among_them():
    """The others read layouts of their own."""
    assert set(ABILITIES) - set(TABLES) == {"context", "lm_eval"}


@pytest.mark.parametrize("measure", TABLES)
def test_abilities_take_a_sample_of_their_documents(files, measure):
    path = files / "set.jsonl"
    path.write_text("\n".join(json.dumps(numbered(i)) for i in range(200)))
    options = dict(TABLES[measure])
    if "shots_path" in options:
        options["shots_path"] = str(files / options["shots_path"])

    def rows_of(seed=0, **more):
        spec = AbilitySpec(measure=measure, path=str(path), **options, **more)
        ability = build_ability(spec, Context("kept", "labels", 16, byte_level(), seed))
        texts = [request.prompt or request.target for request in ability.requests]
        return list(dict.fromkeys(int(re.findall(r"\d+", text)[-1]) for text in texts))

    columns = {"document": "doc", "domain": "kind"}
    found = rows_of(size=100, columns=columns)
    assert len(found) == 100 and found == sorted(found)
    assert sum(i < 100 for i in found) == 50
    assert {i // 2 for i in found if i >= 100} == set(range(50, 100)), "one of every document"
    assert rows_of(1, size=100, columns=columns) != found != rows_of(size=100)
    assert rows_of(size=3, take="first") == [0, 1, 2]


def test_shots_never_hold_the_query():
    pool = [("Dad", "father"), ("pa", "Papá"), ("bee", "abeja"), ("bee", "abejita")]
    assert choose_shots(("dad", "papá"), pool, 1)[0][0] == "bee"
    with pytest.raises(DataError, match="too few"):
        choose_shots(("dad", "papá"), pool, 2)


def test_perplexity_in_bits_per_character(files):
    ability = build(files, "perplexity", "mono", language="en")
    assert [(r.prompt, r.target) for r in ability.requests] == [("", "aab"), ("", "ab")]
    # 4 + 6 bits for 5 characters
    found = [Output("aab", -4 * math.log(2), 3), Output("ab", -6 * math.log(2), 2)]
    assert ability.measure(found, TOOLS).point == pytest.approx(-2.0)
    assert "-bits/character|lang:en" in ability.measure(found, TOOLS).signature
    assert ability.counts(found) == {"segments": 2, "tokens": 5, "characters": 5}


def test_the_floor_of_perplexity_is_the_unigram_of_the_same_text(files):
    """Tokens a (or merged) as the tokenizer cuts them: sum of log2 frequencies over characters."""
    ability = build(files, "perplexity", "mono", language="en")
    tokens = [t for text in ("aab", "ab") for t in byte_level().tokenize(text)]
    bits = sum(math.log2(tokens.count(t) / len(tokens)) for t in tokens)
    assert ability.floor == pytest.approx(bits / 5)
    assert ability.floor < 0


WRONG = [
    ("perplexity", {"language": "en", "direction": "en-es"}, "does not know `direction`"),
    ("perplexity", {}, "needs `language`"),
    ("translation", {"direction": "en-es", "shots": 2}, "does not know `shots`"),
    ("translation", {}, "needs `direction`"),
    ("few_shot", {"direction": "en-es"}, "needs `shots_path`"),
    (
        "few_shot",
        {"direction": "en-es", "shots": 0, "shots_path": "x"},
        "greater than or equal to 1",
    ),
    ("translaton", {}, "unknown measure 'translaton'; allowed: formality, translation"),
]


@pytest.mark.parametrize("measure, options, message", WRONG)
def test_wrong_options_are_errors(files, measure, options, message):
    with pytest.raises(ConfigError, match=message):
        build(files, measure, **options)


def test_abilities_can_be_sent_to_a_worker(files):
    ability = build(files, "translation", direction="es-en")
    assert pickle.loads(pickle.dumps(ability)) == ability
    assert {"formality", "translation", "few_shot", "perplexity"} <= set(ABILITIES)
