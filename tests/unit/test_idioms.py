"""IdiomsInCtx-MT: files, clusters, the ability and its score, worked by hand."""

import json
import pickle

import numpy as np
import pytest
from ability_factory import TOOLS
from public_files import IDIOMS, needs

from mtray.cli import main
from mtray.data.benchmarks.idioms import (
    MarkedIdiom,
    idiom_clusters,
    read_dictionary,
    read_idioms,
    read_spans,
    without_header,
)
from mtray.errors import ConfigError, DataError, EvaluationError
from mtray.evaluation.abilities import build_ability
from mtray.evaluation.abilities.base import Context, floor_of
from mtray.evaluation.inference.requests import Output
from mtray.schema import AbilitySpec

HEADER = ["// Copyright of somebody.  ", "", "// SPDX-License-Identifier: none", ""]
SENTENCES = [f"Satz {i // 2} wort{i}." for i in range(1000)]


def write(path, lines):
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_the_header_is_left_out(tmp_path):
    assert read_idioms(write(tmp_path / "with", HEADER + SENTENCES)) == SENTENCES
    assert read_idioms(write(tmp_path / "without", SENTENCES)) == SENTENCES
    assert without_header([*HEADER, "a"]) == ["a"]
    assert without_header(["a", "b"]) == ["a", "b"]


WRONG = [
    (HEADER + SENTENCES[:-1], "found 1,003 lines with that header"),
    (SENTENCES[:-1], "found 999 lines without that header"),
    (["", "", "", "", *SENTENCES], "found 1,004 lines without that header"),  # header missing
    (HEADER + SENTENCES[4:], "found 1,000 lines with that header"),
    ([*HEADER, " ", *SENTENCES[1:]], "file:5: no text"),
    ([], "found 0 lines"),
]


@pytest.mark.parametrize("lines, message", WRONG)
def test_files_of_another_length(tmp_path, lines, message):
    with pytest.raises(DataError, match=message):
        read_idioms(write(tmp_path / "file", lines))


def split(*texts):
    return [text.split() for text in texts]


def test_neighbours_that_share_a_rare_word_are_a_cluster():
    sources = split("a Daumen", "b daumen", "c", "d", "e", "f")
    references = split("x", "y", "z z1", "w z1", "v", "u z1")
    assert idiom_clusters([sources], pairs=False).tolist() == [0, 0, 1, 2, 3, 4]
    assert idiom_clusters([sources, references], pairs=False).tolist() == [0, 0, 1, 1, 2, 3]
    assert idiom_clusters([sources, references], pairs=True).tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("others, clusters", [(1, 4), (2, 6)])
def test_a_word_in_more_than_three_sentences_is_not_rare(others, clusters):
    """Two neighbours have it, and one or two others that are nobody's neighbours."""
    texts = split("es 1", "es 2", "3", "es 4", "5", *(["es 6"] if others == 2 else []))
    assert len(set(idiom_clusters([texts], pairs=False).tolist())) == clusters


def test_pairs_that_share_a_word_are_joined():
    texts = split("1", "zopf 2", "zopf 3", "4")
    assert idiom_clusters([texts], pairs=True).tolist() == [0, 0, 0, 0]


def test_dictionaries(tmp_path):
    forward = write(tmp_path / "f", ["the der", "the den", "kick\ttreten", "", "a b c"])
    back = write(tmp_path / "b", ["der the", "die the", "Eimer\tice bucket"])
    alone = read_dictionary(forward)
    assert alone.entries == {"the": ("der", "den"), "kick": ("treten",)}
    assert alone.skipped == 1
    both = read_dictionary(forward, back)
    assert both.entries["the"] == ("der", "den", "die")
    assert both.entries["ice bucket"] == ("Eimer",)
    with pytest.raises(DataError, match="no line holds a word and its translation"):
        read_dictionary(write(tmp_path / "x", ["one", "two three four"]))


def test_spans(tmp_path):
    path = write(tmp_path / "s", ["kick\t[(0, 4), (5, 7)]", "", "x\t[]", "y\t[[1, 2]]"])
    found = read_spans(path, ["He is it"] * 4)
    assert found == [MarkedIdiom("kick", ((0, 4), (5, 7))), None, None, MarkedIdiom("y", ((1, 2),))]


WRONG_SPANS = [
    ("kick [(0, 4)]", "expected a label, a tab and a list"),
    ("kick\t(0, 4)", "expected pairs of whole numbers, found 0"),
    ("kick\t[(0, 4", "expected a label, a tab and a list"),
    ("kick\t__import__('os').getcwd()", "expected a label, a tab and a list"),
    ("kick\t[(0, '4')]", "expected pairs of whole numbers"),
    ("kick\t[(0, 1, 2)]", "expected pairs of whole numbers"),
    ("kick\t[(4, 4)]", r"\(4, 4\) is outside a sentence of 8 characters"),
    ("kick\t[(0, 9)]", "is outside a sentence of 8 characters"),
    ("kick\t[(-2, 3)]", "is outside a sentence"),
]


@pytest.mark.parametrize("line, message", WRONG_SPANS)
def test_malformed_spans(tmp_path, line, message):
    with pytest.raises(DataError, match=rf"s:2: .*{message}"):
        read_spans(write(tmp_path / "s", ["", line]), ["He is it"] * 2)


def test_as_many_spans_as_sentences(tmp_path):
    with pytest.raises(DataError, match="has 1 lines of spans for 2 sentences"):
        read_spans(write(tmp_path / "s", [""]), ["a", "b"])


@pytest.fixture
def files(tmp_path):
    write(tmp_path / "src", HEADER + SENTENCES)
    write(tmp_path / "ref", HEADER + [s.replace("Satz", "Sentence") for s in SENTENCES])
    write(tmp_path / "dictionary", ["Satz clause", "Satz sentence"])
    rows = [{"de": "drei Daumen", "en": "three"}, {"de": "zwei Daumen", "en": "two"}]
    rows += [{"de": "ein Hund", "en": "one dog"}]
    (tmp_path / "table.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return tmp_path


def build(files, path=None, **options):
    path = path or {"de": str(files / "src"), "en": str(files / "ref")}
    spec = AbilitySpec(measure="idioms", path=path, **({"direction": "de-en"} | options))
    return build_ability(spec, Context("idiom", "labels", 16, None))


def outputs(*texts):
    return [Output(text, -1.0, 1) for text in texts]


def test_the_ability(files):
    """The metric is |output| / |reference|, at most 1."""
    ability = build(files, size=10)
    assert len(ability.requests) == 10
    first = build(files, size=10, take="first")
    assert first.requests[1].prompt == "German: Satz 0 wort1.\nEnglish:"
    references = [r for _, r in ability.pairs]
    assert ability.measure(outputs(*references), TOOLS).point == 1.0
    halves = ["x" * (len(r) // 2) for r in references]
    expected = np.mean([len(h) / len(r) for h, r in zip(halves, references, strict=True)])
    assert ability.measure(outputs(*halves), TOOLS).point == pytest.approx(expected)
    copied = np.mean([len(s) / len(r) for s, r in ability.pairs])
    assert floor_of(ability, TOOLS) == pytest.approx(copied)
    assert floor_of(ability.part(0.1), TOOLS) == pytest.approx(copied)
    assert set(ability.extras(outputs(*references), TOOLS)) == {"chrf"}
    assert ability.counts(outputs(*references))["clusters"] == 10
    assert pickle.loads(pickle.dumps(ability)) == ability
    with pytest.raises(EvaluationError, match="idiom: 10 requests but 1 outputs"):
        ability.measure(outputs("a"), TOOLS)


def test_a_sample_of_half_has_a_sentence_of_every_idiom(files):
    ability = build(files, size=500)
    assert ability.clusters == list(range(500))
    firsts = sum(source in SENTENCES[::2] for source, _ in ability.pairs)
    assert 150 < firsts < 350, "either one of the two"


def test_neighbours_are_resampled_together(files):
    ability = build(files, size=1000)
    assert ability.measure(outputs(*["x"] * 1000), TOOLS).n == 500


def test_a_table_has_clusters_by_shared_words_alone(files):
    ability = build(files, path=str(files / "table.jsonl"))
    assert ability.clusters == [0, 0, 1]
    assert ability.measure(outputs("three", "two", "one dog"), TOOLS).n == 2


def test_the_proxy_stands_beside_the_value(files):
    ability = build(files, size=10, dictionary_path=str(files / "dictionary"))
    literal = outputs(*["clause"] * 10)
    proxy = ability.extras(literal, TOOLS)["literalness_proxy"]
    assert proxy.point == pytest.approx(100.0)
    counts = ability.counts(literal)
    assert counts["source_words"] == 30  # Satz, number, wort
    assert counts["source_words_in_the_dictionary"] == 10
    assert 0 < counts["literalness_proxy_of_the_references"] < 50
    assert len(ability.part(0.1).glosses) == 8


WRONG_OPTIONS = [
    ({"path": {"de": "x"}}, r"takes a file for each language \(de, en\)"),
    ({"columns": {"de": "x"}}, "without `columns`"),
    ({"reverse_dictionary_path": "x"}, "needs `dictionary_path`"),
    ({"spans_path": "x"}, "does not know `spans_path`"),
]


@pytest.mark.parametrize("options, message", WRONG_OPTIONS)
def test_wrong_options_are_errors(files, options, message):
    with pytest.raises(ConfigError, match=message):
        build(files, **options)


def scored(files, capsys, *more, hyp="hyp"):
    arguments = ["--hyp", files / hyp, "--src", files / "src", "--ref", files / "ref"]
    languages = ["--source-language", "de", "--target-language", "en"]
    code = main(["score", "idioms", *map(str, [*arguments, *languages, *more])])
    return code, capsys.readouterr()


def test_score_without_spans(files, capsys):
    write(files / "hyp", [f"clause {i}" for i in range(1000)])
    code, printed = scored(files, capsys, "--dictionary", files / "dictionary")
    found = json.loads(printed.out)
    assert code == 0
    assert set(found["scores"]) == {"chrf", "literalness_proxy"}
    assert found["scores"]["chrf"]["n"] == found["counts"]["clusters"] == 500
    assert found["notes"] == ["lower is better: literalness_proxy"]


def test_score_with_spans(files, capsys):
    """Labels a and b; `clause` is literal in sentence 0, `sentence` is the reference's in 1."""
    for name, lines in {
        "src": ["Ein Satz.", "Der Satz da.", "Kein Bock."],
        "ref": ["A leap.", "The sentence there.", "No mood."],
        "hyp": ["A clause.", "The clause there.", "No buck."],
        "spans": ["a\t[(4, 8)]", "b\t[(4, 8)]", "b\t[(5, 9)]"],
        "ref-spans": ["a\t[(2, 6)]", "", "b\t[(3, 7)]"],
        "hyp-spans": ["a\t[(2, 8)]", "", ""],
    }.items():
        write(files / name, lines)
    spans = [o for n in ("spans", "ref-spans", "hyp-spans") for o in (f"--{n}", files / n)]
    code, printed = scored(files, capsys, "--dictionary", files / "dictionary", *spans)
    found = json.loads(printed.out)
    assert code == 0
    values = {name: s["value"] for name, s in found["scores"].items()}
    assert values["litter.micro"] == pytest.approx(1 / 3)
    assert values["litter.macro"] == pytest.approx((1 + 0) / 2)
    # `leap` to `clause`: distance 4 of 4; the other has no span in the output
    assert values["score_mwe"] == 0.0
    counts = {k: v for k, v in found["counts"].items() if k.startswith("litter.")}
    assert counts == {
        "litter.sentences": 3,
        "litter.skipped": 0,
        "litter.errors": 1,
        "litter.labels": 2,
        "litter.idiom_words": 3,
        "litter.idiom_words_in_the_dictionary": 2,
        "litter.idioms_without_an_entry": 1,
    }


WRONG_ARGUMENTS = [
    (["--spans", "x"], "LitTER needs --dictionary"),
    (["--ref-spans", "x"], "Score_MWE needs both"),
    (["--fuzzy"], "--fuzzy is an option of LitTER, which needs --spans"),
    (["--reverse-dictionary", "x"], "needs --dictionary"),
]


@pytest.mark.parametrize("more, message", WRONG_ARGUMENTS)
def test_arguments_that_do_not_fit(files, capsys, more, message):
    code, printed = scored(files, capsys, *more)
    assert code == 2
    assert message in printed.err


def test_files_of_unequal_length(files, capsys):
    write(files / "hyp", SENTENCES[:999])
    code, printed = scored(files, capsys)
    assert code == 2
    assert "hyp has 999" in printed.err and "src has 1,000" in printed.err


REAL = [("de-en", "dede-enus", 474), ("en-de", "enus-dede", 496)]


@needs(IDIOMS)
@pytest.mark.parametrize("direction, stem, clusters", REAL)
def test_the_real_set(direction, stem, clusters):
    names = {"de": "dede", "en": "enus"}
    path = {code: str(IDIOMS / f"idioms_in_context-test.{stem}.{names[code]}") for code in names}
    spec = AbilitySpec(measure="idioms", path=path, direction=direction, size=1000)
    ability = build_ability(spec, Context("idiom", "labels", 16, None))
    assert len(ability.requests) == 1000
    assert len(set(ability.clusters)) == clusters
