"""CoCoA-MT's files as they are shipped, few-shot prompts made of them, and `score formality`."""

import json

import pytest
from ability_factory import TOOLS
from public_files import COCOA_MT, needs

from mtray.cli import main
from mtray.data.benchmarks.cocoa_mt import (
    has_lone_tag,
    phrases,
    plain,
    read_cocoa,
    read_domains,
)
from mtray.data.readers.remarks import collected
from mtray.errors import ConfigError, DataError
from mtray.evaluation.abilities import build_ability
from mtray.evaluation.abilities.base import Context
from mtray.evaluation.inference.requests import Output
from mtray.evaluation.metrics.cocoa_matching import register_values
from mtray.schema import AbilitySpec

SOURCES = ["You go.", "Your hat!", "I see you."]
FORMAL = ["[F]Sie gehen[/F].", "[F]Ihr[/F] Hut!", "Ich sehe [F]Sie[/F]."]
INFORMAL = ["[F]Du gehst[/F].", "[F]Dein[/F] Hut!", "Ich sehe [F]dich[/F]."]
# where each release has them: folder, stem, suffix of the source, what is behind `.annotated`
LAYOUTS = {
    "CoCoA-MT test": ("en-de", "formality-control.test.telephony.en-de", "", "", "de"),
    "CoCoA-MT test, Dutch": ("en-nl", "formality-control.test.telephony.en-nl", ".en", ".nl", "nl"),
    "Portuguese": ("en-pt", "formality-control.test.telephony.en-ptpt", ".en", ".pt", "pt"),
    "CoCoA-MT train": ("en-de", "formality-control.train.telephony.en-de", ".en", ".de", "de"),
    "train, Japanese": ("en-ja", "formality-control.train.telephony.en-ja", "", "", "ja"),
    "IWSLT train": ("en-de", "formality-control.train.topical-chat.en-de", ".en", ".de", "de"),
    "IWSLT test": ("en-ru", "formality-control.test.en-ru", ".en", ".ru", "ru"),
}


def write(folder, stem, source="", target="", rows=(SOURCES, FORMAL, INFORMAL)):
    folder.mkdir(parents=True, exist_ok=True)
    endings = (source, f".formal.annotated{target}", f".informal.annotated{target}")
    for ending, lines in zip(endings, rows, strict=True):
        (folder / (stem + ending)).write_text("".join(f"{x}\n" for x in lines), encoding="utf-8")
    # files that are there too and must not be taken for another stem
    (folder / f"{stem}.formal{target}").write_text("x\n")
    (folder / f"{stem}.formal.feminine{target}").write_text("x\n")
    return folder / stem


@pytest.mark.parametrize("folder, stem, source, ending, language", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts(tmp_path, folder, stem, source, ending, language):
    whole = write(tmp_path / folder, stem, source, ending)
    found = read_cocoa(tmp_path / folder, "en", language)
    assert [row.source for row in found] == SOURCES
    assert found[0].formal == "Sie gehen."
    assert found[2].informal_annotated == "Ich sehe [F]dich[/F]."
    assert read_cocoa(tmp_path, "en", language) == found, "the folder above it"
    assert read_cocoa(whole, "en", language) == found, "the stem alone"


def test_domains(tmp_path):
    for domain in ("topical_chat", "call_center"):
        rows = ([f"{domain} {s}" for s in SOURCES], FORMAL, INFORMAL)
        write(tmp_path, f"formality-control.test.{domain}.en-de", rows=rows)
    every = [row.source.split()[0] for row in read_cocoa(tmp_path, "en", "de")]
    assert every == ["call_center"] * 3 + ["topical_chat"] * 3
    one = read_domains(tmp_path, "en", "de", ["topical-chat"])
    assert list(one) == ["topical_chat"] and len(one["topical_chat"]) == 3
    assert {row.source.split()[0] for row in one["topical_chat"]} == {"topical_chat"}
    with pytest.raises(DataError, match="no domain 'telephony'; there are call_center, topical"):
        read_domains(tmp_path, "en", "de", ["telephony"])


@pytest.mark.parametrize("seed", range(8))
def test_a_sample_has_of_every_domain(tmp_path, seed):
    for domain in ("topical_chat", "call_center"):
        rows = ([f"{domain} {s}" for s in SOURCES], FORMAL, INFORMAL)
        write(tmp_path, f"formality-control.test.{domain}.en-de", rows=rows)
    spec = AbilitySpec(measure="formality", path=str(tmp_path), size=4, direction="en-de")
    ability = build_ability(spec, Context("register", "labels", 16, None, seed))
    asked = [request.prompt.split()[1] for request in ability.requests[::2]]
    assert asked == ["call_center"] * 2 + ["topical_chat"] * 2


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match=r"looked for formality-control.*en-de\[.SUFFIX\]"):
        read_cocoa(tmp_path, "en", "de")
    stem = write(tmp_path, "formality-control.test.telephony.en-de")
    (tmp_path / "formality-control.test.telephony.en-de.informal.annotated").unlink()
    looked = r"no annotated informal references; looked for .*informal.annotated, .*annotated.de"
    with pytest.raises(DataError, match=looked):
        read_cocoa(tmp_path, "en", "de")
    stem.unlink()
    with pytest.raises(DataError, match=r"no source file; looked for .*en-de.en, .*en-de"):
        read_cocoa(tmp_path, "en", "de")
    write(tmp_path, "formality-control.train.telephony.en-de", ".en", ".de")
    with pytest.raises(DataError, match="has train and test files"):
        read_cocoa(tmp_path, "en", "de")


@pytest.mark.parametrize(
    "rows, message",
    [
        ((SOURCES, FORMAL[:2], INFORMAL), r"en-de has 3, .*formal.annotated has 2"),
        ((SOURCES, [FORMAL[0], "[F][/F]", FORMAL[2]], INFORMAL), r"annotated:2: the reference is"),
        ((SOURCES, [FORMAL[0], "", FORMAL[2]], INFORMAL), r":2: the reference is empty"),
        (([*SOURCES[:2], " "], FORMAL, INFORMAL), r"en-de:3: the source sentence is empty"),
        ((SOURCES, ["a", "b", "c"], INFORMAL), r"no \[F\]...\[/F\] phrase"),
        (([], [], []), r"no \[F\]"),
    ],
)
def test_bad_files_are_refused(tmp_path, rows, message):
    write(tmp_path, "formality-control.test.telephony.en-de", rows=rows)
    with pytest.raises(DataError, match=message):
        read_cocoa(tmp_path, "en", "de")


def test_tags():
    assert phrases("[F]Sie[/F] und [F]Ihr Hut[/F].") == ["Sie", "Ihr Hut"]
    assert plain("[F]Sie[/F] und [F]Ihr Hut[/F].") == "Sie und Ihr Hut."
    assert not has_lone_tag("nichts")
    assert not has_lone_tag("[F]Sie[/F] und [F]Ihr Hut[/F].")


@pytest.mark.parametrize(
    "annotated, found, text",
    [
        # line 203 of IWSLT 2022's informal Japanese references has the first form
        ("Ich [F]sehe[/F] [F]dich", ["sehe"], "Ich sehe dich"),
        ("Ich[/F] [F]sehe[/F]", ["sehe"], "Ich sehe"),
        ("[F]Sie[F] gehen[/F]", ["Sie[F] gehen"], "Sie gehen"),
    ],
)
def test_a_tag_without_its_partner_is_read_as_officially(tmp_path, annotated, found, text):
    """The official scorer's phrases are `\\[F\\](.*?)\\[/F\\]`."""
    rows = SOURCES, FORMAL, [*INFORMAL[:2], annotated]
    write(tmp_path, "formality-control.test.telephony.en-de", rows=rows)
    with collected() as remarks:
        row = read_cocoa(tmp_path, "en", "de")[2]
    assert has_lone_tag(annotated)
    assert (phrases(row.informal_annotated), row.informal) == (found, text)
    (line,) = remarks.lines()
    assert "informal.annotated: 1 references with [F] or [/F] without its partner" in line
    assert "the first in line 3" in line


def test_the_values_of_one_register():
    """Five outputs asked for formal: two FORMAL, one INFORMAL, one NEUTRAL, one OTHER; of the
    references three are FORMAL, one of them where the output is FORMAL."""
    labels = ["FORMAL", "FORMAL", "INFORMAL", "NEUTRAL", "OTHER"]
    references = ["FORMAL", "NEUTRAL", "FORMAL", "FORMAL", "OTHER"]
    found = register_values(labels, references, "formal", "x")
    assert {name: m.point for name, m in found.items()} == {
        "accuracy": pytest.approx(2 / 3),
        "guarded_accuracy": pytest.approx(2 / 3),  # coverage as that of the references: 3/5
        "strict_accuracy": pytest.approx(1 / 3),
        "coverage": pytest.approx(3 / 5),
        "reference_coverage": pytest.approx(3 / 5),
    }
    assert found["accuracy"].n == 5
    mirrored = register_values(labels, references, "informal", "x")
    assert mirrored["accuracy"].point == pytest.approx(1 / 3)
    assert "strict_accuracy" not in mirrored, "no reference is INFORMAL"


def test_avoiding_every_phrase_but_one():
    labels, references = ["FORMAL"] + ["NEUTRAL"] * 9, ["FORMAL"] * 8 + ["NEUTRAL"] * 2
    found = register_values(labels, references, "formal", "x")
    assert found["accuracy"].point == 1.0
    assert found["guarded_accuracy"].point == pytest.approx(1 / 8)
    assert found["strict_accuracy"].point == pytest.approx(1 / 8)


def build(path, **options):
    options = {"direction": "en-de", "size": 3} | options
    spec = AbilitySpec(measure="formality", path=str(path), **options)
    return build_ability(spec, Context("register", "labels", 16, tokenizer=None))


@pytest.fixture
def folders(tmp_path):
    write(tmp_path / "test" / "en-de", "formality-control.test.telephony.en-de")
    n = 30
    rows = (
        [f"Train {i}." for i in range(n)] + ["Nothing marked."],
        [f"[F]Sie[/F] formell {i}." for i in range(n)] + ["Gleich."],
        [f"[F]Du[/F] locker {i}." for i in range(n)] + ["Gleich."],
    )
    write(tmp_path / "train", "formality-control.train.telephony.en-de", ".en", ".de", rows)
    return tmp_path


def test_shots_are_in_the_register_and_the_same_in_both(folders):
    ability = build(folders / "test" / "en-de", shots=2, shots_path=str(folders / "train"))
    formal, informal = (r.prompt.split("\n") for r in ability.requests[:2])
    assert [line.split(":")[0] for line in formal] == ["English", "German"] * 3
    assert formal[-2:] == informal[-2:] == ["English: You go.", "German:"]
    assert [line for line in formal if line.startswith("German: Sie formell")] == formal[1:4:2]
    assert [line for line in informal if line.startswith("German: Du locker")] == informal[1:4:2]
    assert formal[0::2] == informal[0::2], "the same sentences"
    # a sentence's shots depend on it alone: fewer sentences, the same prompts
    alone = build(folders / "test", size=1, shots=2, shots_path=str(folders / "train"))
    assert len(alone.requests) == 2 and set(alone.requests) < set(ability.requests)
    assert ability.requests[2].prompt.split("\n")[:4] != formal[:4]
    texts = [Output(t, -1.0, 1) for pair in ability.references for t in pair]
    assert ability.measure(texts, TOOLS).signature.endswith("|shots:2")
    assert ability.measure(texts, TOOLS).point == 1.0


def test_shots_never_show_what_both_registers_share(folders):
    ability = build(folders / "test", shots=30, shots_path=str(folders / "train"))
    assert all("Gleich" not in r.prompt for r in ability.requests)
    with pytest.raises(DataError, match="too few"):
        build(folders / "test", shots=31, shots_path=str(folders / "train"))


def test_the_register_can_be_named_beside_shots(folders):
    path = str(folders / "train")
    ability = build(folders / "test", shots=1, shots_path=path, instruction=True)
    assert ability.requests[1].prompt.count("German (informal):") == 2


def test_the_zero_shot_prompt_of_a_folder(folders):
    prompts = [r.prompt for r in build(folders / "test").requests]
    assert prompts[0] == "English: You go.\nGerman (formal):"
    assert len(prompts) == 6


def test_options_that_do_not_fit_are_refused(folders):
    for options in ({"shots": 2}, {"shots_path": "x"}):
        with pytest.raises(ConfigError, match="must be given together"):
            build(folders / "test", **options)
    with pytest.raises(ConfigError, match="`instruction` cannot be false"):
        build(folders / "test", instruction=False)
    with pytest.raises(ConfigError, match="is a table"):
        build(folders / "test.jsonl", domain="telephony")
    with pytest.raises(ConfigError, match="`columns` is for tables"):
        build(folders / "test", columns={"en": "x"})


def test_extras_are_by_form_and_register(folders):
    """Asked for both registers of three sentences, always formal. The full stop behind `Sie` hides
    it officially, in the references too."""
    ability = build(folders / "test")
    texts = [Output(f, -1.0, 1) for f, _ in ability.references for _ in range(2)]
    values = {name: m.point for name, m in ability.extras(texts, TOOLS).items()}
    assert values["official.formal.accuracy"] == 1.0
    assert values["official.informal.accuracy"] == 0.0
    assert values["official.formal.coverage"] == pytest.approx(1 / 3)  # `Ihr` of `Ihr Hut!`
    assert values["normalised.formal.coverage"] == 1.0
    assert values["normalised.informal.strict_accuracy"] == 0.0


def score(tmp_path, capsys, hyp, register="formal"):
    files = {"hyp": hyp, "formal": FORMAL, "informal": INFORMAL}
    for name, lines in files.items():
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    options = [part for name in files for part in (f"--{name}", str(tmp_path / name))]
    options += ["--language", "de", "--register", register, "--bootstrap", "100"]
    code = main(["score", "formality", *options])
    return code, capsys.readouterr()


def test_score_formality(tmp_path, capsys):
    """`Ihr` is a token, `Sie.` is not `Sie`, `Du` is: officially FORMAL, NEUTRAL, INFORMAL."""
    code, printed = score(tmp_path, capsys, ["Du gehst", "Ihr Hut  ", "Da sind Sie."])
    assert code == 0
    found = json.loads(printed.out)
    # `Du gehst` against the phrase `Du gehst`
    assert {k: found["counts"][f"official.{k}"] for k in ("FORMAL", "INFORMAL", "NEUTRAL")} == {
        "FORMAL": 1, "INFORMAL": 1, "NEUTRAL": 1,
    }  # fmt: skip
    assert found["counts"]["references.official.FORMAL"] == 1
    scores = found["scores"]
    assert scores["official.accuracy"]["value"] == 0.5
    assert scores["official.coverage"]["value"] == pytest.approx(2 / 3)
    assert scores["official.reference_coverage"]["value"] == pytest.approx(1 / 3)
    assert scores["official.guarded_accuracy"]["value"] == 0.5
    assert scores["normalised.accuracy"]["value"] == pytest.approx(2 / 3)
    assert all(s["n"] == 3 and s["low"] <= s["value"] <= s["high"] for s in scores.values())
    assert scores["official.accuracy"]["signature"] == (
        "M-Acc|lang:de|match:official|register:formal"
    )
    assert found["notes"] == []


def test_nothing_matched_is_zero_as_officially(tmp_path, capsys):
    code, printed = score(tmp_path, capsys, ["Ja", "Nein", "Doch"], "informal")
    found = json.loads(printed.out)
    assert (code, found["scores"]["official.accuracy"]["value"]) == (0, 0.0)
    assert "official scorer" in found["notes"][0]


def test_files_of_unequal_length_are_refused(tmp_path, capsys):
    code, printed = score(tmp_path, capsys, ["Ja", "Nein"])
    assert code == 2
    assert "hyp has 2" in printed.err


@needs(COCOA_MT)
@pytest.mark.parametrize(
    "language, official, normal", [("de", (551, 540), (598, 570)), ("es", (470, 460), (596, 583))]
)
def test_references_against_themselves(language, official, normal):
    """The counts behind the published-data figures: .918 and .900 of 600 for German, .783 and .767
    for Spanish; normalised .997, .950, .993, .972."""
    ability = build(COCOA_MT / "test" / f"en-{language}", direction=f"en-{language}", size=600)
    texts = [Output(t, -1.0, 1) for pair in ability.references for t in pair]
    counts, extras = ability.counts(texts), ability.extras(texts, TOOLS)
    for form, expected in (("official", official), ("normalised", normal)):
        for register, labelled in zip(("formal", "informal"), expected, strict=True):
            assert counts[f"{form}.{register}.{register.upper()}"] == labelled
            assert extras[f"{form}.{register}.accuracy"].point == 1.0
            coverage = extras[f"{form}.{register}.coverage"].point
            assert coverage == pytest.approx(labelled / 600)
    assert ability.measure(texts, TOOLS).point == 1.0


@needs(COCOA_MT)
def test_shots_of_the_real_train_set():
    options = {"direction": "en-es", "shots": 5, "shots_path": str(COCOA_MT / "train" / "en-es")}
    ability = build(COCOA_MT / "test", size=60, domain=["call_center", "telephony"], **options)
    assert len(ability.requests) == 120
    assert all(r.prompt.count("\n") == 11 for r in ability.requests)
    same = [r for r in read_cocoa(COCOA_MT / "train", "en", "es") if r.formal == r.informal]
    assert len(same) == 49
    assert not any(f"Spanish: {row.formal}\n" in r.prompt for r in ability.requests for row in same)
