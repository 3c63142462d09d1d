"""Technical translation: glossaries and term accuracy worked by hand, the split by document, the
prompts, the floor, and `score technical`."""

import json
import pickle
from collections import Counter

import numpy as np
import pytest
from ability_factory import TOOLS
from public_files import TICO, needs

from mtray.analysis.uncertainty import difference
from mtray.analysis.uncertainty import score as interval_of
from mtray.cli import main
from mtray.data.benchmarks.glossary import read_glossary
from mtray.errors import ConfigError, DataError, EvaluationError
from mtray.evaluation.abilities import build_ability
from mtray.evaluation.abilities.base import Context, Tools, floor_of
from mtray.evaluation.abilities.technical import Segment, Split, split_segments
from mtray.evaluation.inference.requests import Output
from mtray.evaluation.metrics.quality import chrf
from mtray.evaluation.metrics.terminology import find_terms, folded, occurs
from mtray.evaluation.scoring import Scoring
from mtray.evaluation.suite import Suite
from mtray.schema import AbilitySpec

# term, text, occurs as whole words
OCCURS = [
    ("virus", "the virus spreads", True),
    ("virus", "(Virus!)", True),
    ("virus", "coronavirus", False),
    ("virus", "viruses and a virus", True),
    ("virus", "virus2", False),
    ("hand  washing", "Hand\u00a0washing helps", True),
    ("l'épidémie", "L’épidémie", True),
    ("covid-19", "anti-COVID-19.", True),
    ("straße", "STRASSE", True),
    # a vowel sign of Hindi continues the word, though `\w` does not hold it
    ("जा", "जाओ", False),
    ("जाँ", "जाँच", False),
    ("जाँच", "की जाँच।", True),
]


@pytest.mark.parametrize("term, text, whole", OCCURS)
def test_occurs(term, text, whole):
    assert occurs(folded(term), folded(text), bounded=True) is whole
    assert occurs(folded(term), folded(text), bounded=False) is True


GLOSSARY = [
    ("virus", "virus"), ("fever", "fièvre"), ("Fever", "Fièvre"), ("mask", "masque"),
    ("outbreak", "épidémie"), ("face mask", "masque facial"),
]  # fmt: skip
SOURCES = ["A virus and fever.", "A face mask.", "The mask", "Outbreak!"]
REFERENCES = ["Un virus et la fièvre.", "Un masque facial.", "La protection", "Épidémie !"]


def test_terms_are_counted_by_hand():
    """Counted: virus and fever; mask and face mask; nothing where the reference says otherwise;
    outbreak. Found below: virus, mask, and not épidémies."""
    terms = find_terms(GLOSSARY, SOURCES, REFERENCES, ("en", "fr"))
    assert terms.wanted == [["virus", "fièvre"], ["masque", "masque facial"], [], ["épidémie"]]
    texts = ["Le virus et le virus", "Un MASQUE", "Le masque", "Des épidémies"]
    assert terms.found(texts) == [1, 1, 0, 0]
    measured = terms.measure(texts)
    assert measured.point == pytest.approx(2 / 5)
    assert measured.n == 4
    assert "lang:en-fr|match:words-caseless|entries:5" in measured.signature
    assert terms.counts(texts) == {
        "terms": 5, "terms_found": 2, "terms_not_in_source": 4, "segments_with_terms": 3,
    }  # fmt: skip
    # a copy has `virus`, and nothing of what has to be translated
    assert terms.measure(SOURCES).point == pytest.approx(1 / 5)
    assert terms.translated().measure(SOURCES).point == 0.0
    assert terms.translated().measure(REFERENCES).point == 1.0
    better = terms.measure(REFERENCES)
    assert difference(better, measured, 200).value == pytest.approx(3 / 5)


def test_unsegmented_targets_are_searched_for_parts():
    terms = find_terms(
        [("virus", "病毒")], ["A virus.", "Viruses"], ["新病毒。", "病毒"], ("en", "zh")
    )
    assert terms.wanted == [["病毒"], []]
    assert "match:substring" in terms.signature


def test_a_resample_without_terms_is_left_out():
    terms = find_terms(GLOSSARY, SOURCES, REFERENCES, ("en", "fr")).take([0, 2])
    found = interval_of(terms.measure(REFERENCES[0:3:2]), 200)
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)


LAYOUTS = {
    "tico.csv": "id,sourceLang,targetLang,sourceString,targetString\n"
    '1,en,fr-FR,"fever, high",fièvre\n2,en,de,mask,Maske\n3,en_US,fr,mask,masque\n',
    "plain.tsv": "source\ttarget\nfever, high\tfièvre\nmask\tmasque\n",
    "codes.csv": 'fr,en\nfièvre,"fever, high"\nmasque,mask\n',
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_glossaries(tmp_path, name):
    (tmp_path / name).write_text(LAYOUTS[name], encoding="utf-8")
    expected = [("fever, high", "fièvre"), ("mask", "masque")]
    assert read_glossary(tmp_path / name, "en", "fr") == expected


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("a.csv", "term,meaning\na,b\n", r"needs the columns sourceString and .*there: term, mean"),
        ("a.csv", "", r"columns there: none"),
        ("a.txt", "a b", r"unknown format '.txt' of a glossary; known: .csv, .tsv"),
        ("a.csv", LAYOUTS["tico.csv"].replace("fr", "it"), r"no term of en-fr; .*en-de"),
        ("a.csv", "source,target\n", r"the corpus is empty"),
        ("b.csv", None, r"b.csv: no such file"),
    ],
)
def test_bad_glossaries(tmp_path, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message):
        read_glossary(tmp_path / name, "en", "fr")


def segments(*documents):
    return [Segment(f"s{i}", f"r{i}", d) for i, d in enumerate(documents)]


def test_the_split_keeps_documents_whole():
    every = segments(*"aaabbbccddddee")
    test, pool = split_segments(every, Split(seed=3, test=0.5), "x")
    assert sorted(test + pool) == sorted(every)
    assert not {s.document for s in test} & {s.document for s in pool}
    # whole documents until half is reached: 7 of 14, and not a document more than needed
    sizes = {d: "aaabbbccddddee".count(d) for d in "abcde"}
    assert len(test) >= 7 > len(test) - max(sizes[s.document] for s in test)
    assert split_segments(every, Split(seed=3, test=0.5), "x") == (test, pool)
    splits = {
        tuple(s.document for s in split_segments(every, Split(seed=i), "x")[0]) for i in range(9)
    }
    assert len(splits) > 1, "the seed decides"


def test_the_split_of_text_without_documents():
    test, pool = split_segments(segments(*[None] * 10), Split(test=0.7), "x")
    assert (len(test), len(pool)) == (7, 3)
    assert len(split_segments(segments("a", "b"), Split(test=0.99), "x")[1]) == 1
    with pytest.raises(DataError, match="x: all segments belong to one document"):
        split_segments(segments("a", "a"), Split(), "x")


UNITS = [(f"D_{d}:{i}", f"Fever {d} {i} is high.", f"Fièvre {d} {i}.") for d in range(10)
         for i in range(4)]  # fmt: skip


@pytest.fixture
def files(tmp_path):
    units = "".join(
        f'<tu tuid="{name}"><tuv xml:lang="en"><seg>{s}</seg></tuv>'
        f'<tuv xml:lang="fr"><seg>{t}</seg></tuv></tu>'
        for name, s, t in [*UNITS, ("D_9:9", UNITS[0][1], UNITS[0][2])]
    )
    (tmp_path / "a.tmx").write_text(f"<tmx><body>{units}</body></tmx>", encoding="utf-8")
    rows = [{"en": s, "fr": t, "part": name.split(":")[0]} for name, s, t in UNITS]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    pool = [{"en": f"Pool {i}.", "fr": f"Fonds {i}."} for i in range(20)]
    (tmp_path / "pool.jsonl").write_text("\n".join(map(json.dumps, pool)))
    (tmp_path / "g.csv").write_text("en,fr\nfever,fièvre\nmask,masque\n", encoding="utf-8")
    return tmp_path


def build(folder, file="a.tmx", **options):
    options = {"direction": "en-fr", "size": 1000} | options
    spec = AbilitySpec(measure="technical", path=str(folder / file), **options)
    return build_ability(spec, Context("tech", "labels", 16, tokenizer=None))


def outputs(texts):
    return [Output(text, -1.0, 1) for text in texts]


def test_shots_come_from_documents_that_are_not_tested(files):
    ability = build(files, shots=3)
    tested = {s.document for s in ability.segments}
    assert 7 <= len(tested) < 10
    known = {s: name.split(":")[0] for name, s, _ in UNITS}
    for request, segment in zip(ability.requests, ability.segments, strict=True):
        lines = request.prompt.split("\n")
        assert lines[-2:] == [f"English: {segment.source}", "French:"]
        shown = [line.removeprefix("English: ") for line in lines[:-2:2]]
        assert len(set(shown)) == 3
        assert not {known[s] for s in shown} & tested
        assert segment.source not in shown
    # a sentence's shots depend on it alone
    fewer = build(files, shots=3, size=10)
    assert len(fewer.requests) == 10
    assert set(fewer.requests) <= set(ability.requests)
    # of every document its share, and not the first ones
    sizes = Counter(s.document for s in ability.segments)
    for document, count in Counter(s.document for s in fewer.segments).items():
        assert abs(count - sizes[document] * 10 / len(ability.segments)) < 1
    assert len({s.document for s in fewer.segments}) > 5


def test_a_text_of_the_test_is_never_in_the_pool(files):
    """Unit D_9:9 repeats D_0:0; whichever of the two documents is in the pool, its text is not
    shown where the other is tested."""
    for seed in range(6):
        ability = build(files, shots=2, split={"seed": seed})
        tested = {s.source for s in ability.segments}
        shown = {
            line.removeprefix("English: ")
            for r in ability.requests
            for line in r.prompt.split("\n")[:-2:2]
        }
        assert not shown & tested


def test_a_pool_of_its_own(files):
    path = str(files / "pool.jsonl")
    ability = build(files, "a.jsonl", shots=2, shots_path=path, columns={"document": "part"})
    assert len(ability.segments) == 40
    assert ability.requests[0].prompt.split("\n")[0].startswith("English: Pool ")
    assert ability.measure(outputs([s.reference for s in ability.segments]), TOOLS).n == 10
    plain = build(files, "a.jsonl", shots=2, shots_path=path)
    assert plain.measure(outputs([s.reference for s in plain.segments]), TOOLS).n == 40
    with pytest.raises(ConfigError, match="`split` is for"):
        build(files, "a.jsonl", shots_path=path, split={"seed": 1})


def test_comet_is_the_value_and_copies_its_floor(files):
    """The factory's metric: length over the reference's, at most 1."""
    ability = build(files, glossary_path=str(files / "g.csv"))
    perfect = outputs([s.reference for s in ability.segments])
    assert ability.measure(perfect, TOOLS).point == 1.0
    assert ability.measure(perfect, TOOLS).signature == "length"
    halves = [s.reference[: len(s.reference) // 2] for s in ability.segments]
    shares = [len(h) / len(s.reference) for h, s in zip(halves, ability.segments, strict=True)]
    found = ability.measure(outputs(halves), TOOLS).point
    assert found == pytest.approx(sum(shares) / len(shares))
    assert floor_of(ability, TOOLS) == 1.0, "the sources are longer than the references"
    extras = ability.extras(perfect, TOOLS)
    assert set(extras) == {"chrf", "term_accuracy", "term_accuracy_translated"}
    assert extras["chrf"].point == pytest.approx(100.0)
    nothing = ability.extras(outputs(["Fievre"] * len(halves)), TOOLS)
    assert nothing["term_accuracy"].point == 0.0
    assert ability.counts(perfect)["terms"] == len(ability.segments)
    assert pickle.loads(pickle.dumps(ability)) == ability
    with pytest.raises(EvaluationError, match="requests but 1 outputs"):
        ability.measure(perfect[:1], TOOLS)


def test_chrf_as_value(files):
    ability = build(files, metric="chrf")
    sources = [s.source for s in ability.segments]
    references = [s.reference for s in ability.segments]
    assert ability.measure(outputs(sources), TOOLS).point == floor_of(ability, TOOLS)
    assert floor_of(ability, TOOLS) == chrf(sources, references).point
    assert set(ability.extras(outputs(sources), TOOLS)) == set()
    part = ability.part(0.4)
    assert floor_of(part, TOOLS) == floor_of(ability, TOOLS)
    assert set(part.requests) < set(ability.requests)


def test_the_suite_takes_the_floor_from_the_metric(files):
    """Base 0.9, tuned 0.75, copies 0.5: kept is (0.75 - 0.5) / (0.9 - 0.5)."""

    class Scorer:
        signature, references = "made-up", True

        def scores(self, sources, hypotheses, references):
            known = {"base": 0.9, "tuned": 0.75}
            return np.array([known.get(h, 0.5) for h in hypotheses])

    ability = build(files)
    suite = Suite([], [ability], {"tech": 1.0}, "made-up")
    n = len(ability.requests)
    scoring = Scoring(suite, {}, Tools(Scorer), 100, 0)
    scoring.abilities([outputs(["tuned"] * n)], [outputs(["base"] * n)], [None])
    assert scoring.result.objectives["retention"].value == pytest.approx(0.25 / 0.4)


def test_wrong_options_and_files(files):
    with pytest.raises(ConfigError, match=r"`metric`: .*'bleu'"):
        build(files, metric="bleu")
    with pytest.raises(ConfigError, match=r"`split.test`"):
        build(files, split={"test": 1})
    with pytest.raises(DataError, match="too few pairs"):
        build(files, shots=50)
    (files / "g.csv").write_text("en,fr\nmask,masque\n")
    with pytest.raises(DataError, match=r"g.csv: none of its 1 terms"):
        build(files, glossary_path=str(files / "g.csv"))


def score(tmp_path, hyp, *more):
    texts = {"hyp": hyp, "src": SOURCES, "ref": REFERENCES}
    for name, lines in texts.items():
        (tmp_path / name).write_text("".join(f"{x}\n" for x in lines), encoding="utf-8")
    given = [part for name in texts for part in (f"--{name}", str(tmp_path / name))]
    return main(["score", "technical", *given, "--language", "fr", "--bootstrap", "100", *more])


def test_score_technical(tmp_path, capsys):
    rows = "".join(f"{a},{b}\n" for a, b in GLOSSARY)
    (tmp_path / "g.csv").write_text("source,target\n" + rows, encoding="utf-8")
    texts = ["Le virus et le virus", "Un MASQUE", "", "Des épidémies"]
    assert score(tmp_path, texts, "--glossary", str(tmp_path / "g.csv")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["scores"]["term_accuracy"]["value"] == pytest.approx(2 / 5)
    assert found["scores"]["chrf"]["value"] == pytest.approx(chrf(texts, REFERENCES).point)
    assert (found["counts"]["terms"], found["counts"]["empty"]) == (5, 1)
    assert score(tmp_path, texts[:3]) == 2
    assert "hyp has 3" in capsys.readouterr().err
    (tmp_path / "g.csv").write_text("word,meaning\na,b\n")
    assert score(tmp_path, texts, "--glossary", str(tmp_path / "g.csv")) == 2
    assert "a glossary needs the columns" in capsys.readouterr().err


@needs(TICO)
def test_tico():
    """The references have all terms, the sources those that are the same in both languages."""
    ability = build(TICO, "all.en-fr.tmx.zip", size=300, glossary_path=str(TICO / "g_en_fr-FR.csv"))
    documents = {s.document for s in ability.segments}
    assert len(ability.segments) == 300 and 8 <= len(documents) < 31
    for texts, share, translated in (("reference", 1.0, 1.0), ("source", None, 0.0)):
        found = ability.extras(outputs([getattr(s, texts) for s in ability.segments]), TOOLS)
        assert found["term_accuracy_translated"].point == translated
        assert found["term_accuracy"].n == len(documents)
        assert share is None or found["term_accuracy"].point == share
    assert all(r.prompt.count("English:") == 6 for r in ability.requests)
