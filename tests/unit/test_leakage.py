"""What overlaps with an evaluation text, by hand; and that every ability's texts are known."""

import json
import os
import pickle
import subprocess
import sys

import pytest

from mtray.data.evaluation_texts import TEXTS, EvaluationText, evaluation_texts, unread
from mtray.data.leakage import EvaluationIndex, evaluation_index, normalised
from mtray.errors import ConfigError
from mtray.evaluation.abilities import ABILITIES
from mtray.evaluation.suite import build_suite
from mtray.schema import Study


def index(*texts):
    return EvaluationIndex(EvaluationText(t, f"f: row {i}") for i, t in enumerate(texts, 1))


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("  It's  5 %, »Tom«!\n", "it s 5 tom"),
        ("STRASSE Straße", "strasse strasse"),
        ("ＡＢＣ\u00a0ﬁn", "abc fin"),
        ("हिन्दी में।", "हिन्दी में"),  # vowel signs are marks and stay
        ("a_b—c", "a b c"),
        ("?!", ""),
    ],
)
def test_normalised(text, plain):
    assert normalised(text) == plain


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("how ARE you -- today", True),
        ("How are you?", False),
        ("So, how are you today?", False),  # too short for runs
        ("English: How are you today?\nGerman:", True),
        ("How are you today? -> Wie geht es dir?\nGood. ->", True),
    ],
)
def test_equal_texts_alone_or_in_a_line_of_a_prompt(text, found):
    assert (index("How are you today?").find(text) is not None) is found


def test_texts_of_two_words_tell_nothing():
    made = index("Thank you!", "谢谢大家", "No.", "感谢大家来这")
    assert len(made) == 1  # six characters
    assert made.find("thank you") is None
    assert made.find("感谢大家来这。")


WORDS = [f"w{i}" for i in range(20)]


@pytest.mark.parametrize(
    ("evaluation", "text", "found"),
    [
        # 13 runs of 8 in 20 words; 70 % of them are 9.1
        (WORDS, ["other", *WORDS, "words"], True),
        (WORDS, WORDS[:17] + ["x"] * 9, True),  # shares 10 of its 13
        (WORDS, WORDS[:16] + ["x"] * 9, False),  # shares 9
        (WORDS[:18], WORDS[:15] + ["x"] * 9, True),  # 8 of 11
        (WORDS, [*WORDS[:10], "x", *WORDS[11:]], False),  # 3 and 2
        # of a corpus text of 9 words both runs, which is all that it has
        (WORDS, WORDS[5:14], True),
        (WORDS, WORDS[5:12], False),  # no run
        (WORDS[:7], WORDS, False),
        (WORDS[:8], WORDS, True),
    ],
)
def test_runs_of_words(evaluation, text, found):
    assert (index(" ".join(evaluation)).find(" ".join(text)) is not None) is found


def test_runs_of_characters_where_words_have_no_spaces():
    made = index("今天我们在北京的一个大公园里看见了很多漂亮的花。")
    assert made.find("他说：今天我们在北京的一个大公园里，看见了很多漂亮的花，然后回家。")
    assert made.find("今天我们在北京的一个大公园里") is None


def test_a_run_of_two_evaluation_texts_counts_for_both():
    made = index(" ".join(["a", *WORDS[:12]]), " ".join(WORDS[:12]))
    assert made.find(" ".join(["z", *WORDS[:12]])).found.where == "f: row 1"
    shorter = index(" ".join(["a"] * 30 + WORDS[:12]), " ".join(WORDS[:12]))
    assert shorter.find(" ".join(["y", "z", *WORDS[:12], "y", "z"])).found.where == "f: row 2"


def test_scored_texts_are_named_before_shown_ones():
    texts = [EvaluationText("one two three", "shots", True), EvaluationText("One two three", "dev")]
    assert EvaluationIndex(texts).find("one two three").found.where == "dev"


def test_every_ability_is_read_or_said_not_to_be():
    assert set(TEXTS) | {"lm_eval"} == set(ABILITIES)


def texts_of(tmp_path, abilities, **quality):
    (tmp_path / "dev.tsv").write_text("en\tde\nq1 en\tq1 de\nq2 en\tq2 de\n")
    (tmp_path / "train.tsv").write_text("en\tde\na\tb\n")
    study = Study(
        name="s",
        sources=({"name": "p", "kind": "parallel", "languages": ("en", "de"),
                  "path": str(tmp_path / "train.tsv")},),
        evaluation={
            "comet": "embedded",
            "quality": [{"direction": "en-de", "path": str(tmp_path / "dev.tsv"), **quality}],
            "abilities": abilities,
        },
    )  # fmt: skip
    return study, [
        (t.text, t.where.removeprefix(f"{tmp_path}/"), t.shown) for t in evaluation_texts(study)
    ]


def test_dev_and_test_of_quality_whatever_its_size(tmp_path):
    (tmp_path / "test.tsv").write_text("en\tde\nt1 en\tt1 de\n")
    _, found = texts_of(tmp_path, {}, size=1, test={"path": str(tmp_path / "test.tsv")})
    assert found == [
        ("q1 en", "dev.tsv: row 1", False),
        ("q1 de", "dev.tsv: row 1", False),
        ("q2 en", "dev.tsv: row 2", False),
        ("q2 de", "dev.tsv: row 2", False),
        ("t1 en", "test.tsv: row 1", False),
        ("t1 de", "test.tsv: row 1", False),
    ]
    with pytest.raises(ConfigError, match=r"quality en-de: `test`: size"):
        texts_of(tmp_path, {}, test={"size": 0})


@pytest.mark.parametrize("take", ["sample", "first"])
@pytest.mark.parametrize("measure", ["few_shot", "technical", "formality"])
def test_the_shots_that_are_looked_at_are_those_that_are_drawn_from(
    tmp_path, monkeypatch, measure, take
):
    """Of 40 rows four are the pool, all shown; the second row lacks a side and is none of it."""
    monkeypatch.setattr("mtray.data.evaluation_texts.SHOT_ROWS", 4)
    names = ["en", "de"]
    if measure == "formality":
        names = ["en", "formal", "informal", "formal_annotated", "informal_annotated"]

    def write(name, rows):
        lines = [[f"{name} {column} {i:02}" for column in names[:3]] for i in range(rows)]
        if rows > 1:
            lines[1][0] = ""
        table = [names] + [[*f, *(f"[F]{text}[/F]" for text in f[1:])][: len(names)] for f in lines]
        (tmp_path / name).write_text("\n".join(map("\t".join, table)))
        return str(tmp_path / name), {text for line in lines for text in line if text}

    path, _ = write("asked.tsv", 1)
    shots_path, texts = write("shots.tsv", 40)
    spec = {"measure": measure, "direction": "en-de", "path": path, "shots": 4,
            "shots_path": shots_path, "take": take}  # fmt: skip
    study, found = texts_of(tmp_path, {"shown": spec})
    prompts = "\n".join(r.prompt for r in build_suite(study, None).abilities[0].requests)
    shown = {text for text, _, shown in found if shown}
    assert len(shown) == 4 * len(names[:3])
    assert shown == {text for text in texts if text in prompts}


def test_abilities_by_their_columns_and_their_shots(tmp_path):
    def write(name, *rows):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(tmp_path / name)

    abilities = {
        "icl": {"measure": "few_shot", "direction": "en-de", "columns": {"en": "e"},
                "path": write("icl.jsonl", {"e": "icl en", "de": "icl de"}),
                "shots_path": write("shots.jsonl", {"e": "shot en", "de": "shot de"})},
        "lm": {"measure": "perplexity", "language": "de", "path": write("t.jsonl", {"text": "lm"}),
               "test": {"path": write("u.jsonl", {"text": "lm test"})}},
        "formal": {"measure": "formality", "direction": "en-de",
                   "path": write("f.jsonl", {"en": "f en", "formal": "Sie", "informal": "du"})},
        "quiz": {"measure": "choice", "path": write("c.jsonl", {"question": "Why?"})},
        "sum": {"measure": "summarisation", "language": "en",
                "path": write("s.jsonl", {"article": "long", "summary": "short"})},
        "harness": {"measure": "lm_eval", "task": "hellaswag"},
    }  # fmt: skip
    study, found = texts_of(tmp_path, abilities)
    assert [t for t in found if not t[1].startswith("dev")] == [
        ("icl en", "icl.jsonl: row 1", False), ("icl de", "icl.jsonl: row 1", False),
        ("shot en", "shots.jsonl: row 1", True), ("shot de", "shots.jsonl: row 1", True),
        ("lm", "t.jsonl: row 1", False), ("lm test", "u.jsonl: row 1", False),
        ("f en", "f.jsonl: row 1", False), ("Sie", "f.jsonl: row 1", False),
        ("du", "f.jsonl: row 1", False), ("Why?", "c.jsonl: row 1", False),
        ("long", "s.jsonl: row 1", False), ("short", "s.jsonl: row 1", False),
    ]  # fmt: skip
    assert unread(study) == ["harness"]
    assert len(evaluation_index(study)) == 0  # all of fewer than three words


def test_an_index_finds_the_same_in_another_process(tmp_path):
    """Which has other hashes of strings."""
    long = "one two three four five six seven eight nine ten"
    made = index("How are you today?", long)
    texts = ["how are you today", f"{long} and more", "nothing of this"]
    expected = [found and found.found.where for found in map(made.find, texts)]
    assert expected == ["f: row 1", "f: row 2", None]
    (tmp_path / "index").write_bytes(pickle.dumps((made, texts)))
    code = (
        "import pickle, sys; made, texts = pickle.load(open(sys.argv[1], 'rb')); "
        "print([found and found.found.where for found in map(made.find, texts)])"
    )
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "index")],
            env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, text=True,
        )  # fmt: skip
        assert done.stdout.strip() == str(expected), done.stderr
    again = pickle.loads(pickle.dumps(made))
    assert again.signature == made.signature and len(again) == len(made) == 2
