"""Multiple choice: files, requests, accuracies and floors worked out by hand."""

import json
import pickle

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ability_factory import TOOLS
from tiny_models import byte_level, llama

from mtray.errors import ConfigError, DataError, EvaluationError
from mtray.evaluation.abilities import build_ability
from mtray.evaluation.abilities.base import Context
from mtray.evaluation.abilities.choice import credit
from mtray.evaluation.abilities.questions import Question, read_questions
from mtray.evaluation.inference.engine import run_requests
from mtray.evaluation.inference.requests import Output
from mtray.schema import AbilitySpec

ROWS = [
    {"question": "Which is\nwet?", "choices": ["salt", "water"], "answer": 1},
    {"question": "Which flies?", "choices": ["a cow", "a bee", "a cab", "dad"], "answer": "B"},
]


def jsonl(tmp_path, rows=ROWS):
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(json.dumps(r) for r in rows), encoding="utf-8")
    return str(path)


def build(tmp_path, rows=ROWS, **options):
    spec = AbilitySpec(measure="choice", path=jsonl(tmp_path, rows), **options)
    return build_ability(spec, Context("english", "labels", 16, byte_level()))


def scored(ability, *values):
    return [Output(str(r.target), v, 1) for r, v in zip(ability.requests, values, strict=True)]


def test_requests_by_text(tmp_path):
    ability = build(tmp_path)
    prompt = "Question: Which is wet?\nAnswer:"
    assert [(r.prompt, r.target) for r in ability.requests[:2]] == [
        (prompt, "salt"),
        (prompt, "water"),
    ]
    assert len(ability.requests) == 6
    assert ability.floor == (1 / 2 + 1 / 4) / 2
    assert pickle.loads(pickle.dumps(ability)) == ability


def test_requests_by_letter(tmp_path):
    ability = build(tmp_path, style="letters")
    assert ability.requests[0].prompt == "Question: Which is wet?\nA. salt\nB. water\nAnswer:"
    assert [r.target for r in ability.requests] == ["A", "B", "A", "B", "C", "D"]


def test_own_prompts(tmp_path):
    ability = build(tmp_path, prompt="{question}")
    assert ability.requests[0].prompt == "Which is wet?"
    rows = [{"question": "What is {x}?", "choices": ["{y}", "z"], "answer": 0}]
    ability = build(tmp_path, rows, style="letters", prompt="{question} | {choices} |")
    assert ability.requests[0].prompt == "What is {x}? | A. {y}\nB. z |"


def test_accuracy_by_hand(tmp_path):
    ability = build(tmp_path)
    # right: water; wrong: a cow is likelier than a bee, also by its five characters each
    answers = scored(ability, -9, -8, -2, -3, -9, -9)
    assert ability.measure(answers, TOOLS).point == 0.5
    assert ability.extras(answers, TOOLS)["acc_norm"].point == 0.5
    counts = ability.counts(answers)
    assert counts == {"questions": 2, "requests": 6, "log_likelihood_of_the_answer": -5.5}
    with pytest.raises(EvaluationError, match="6 requests but 5 outputs"):
        ability.measure(answers[:-1], TOOLS)


def test_length_matters(tmp_path):
    ability = build(tmp_path, ROWS[:1])
    # salt -8 / 4 = -2, water -9 / 5 = -1.8
    answers = scored(ability, -8, -9)
    assert ability.measure(answers, TOOLS).point == 0
    assert ability.extras(answers, TOOLS)["acc_norm"].point == 1


def test_no_opinion_is_chance(tmp_path):
    assert credit([-1, -1, -2, -1], 3) == pytest.approx(1 / 3)
    assert credit([-1, -1, -2, -1], 2) == 0
    ability = build(tmp_path)
    assert ability.measure(scored(ability, *[-1.0] * 6), TOOLS).point == ability.floor


def test_rotations_take_away_a_liking_for_a_letter(tmp_path):
    ability = build(tmp_path, style="letters", rotations=True)
    assert len(ability.requests) == 2 * 2 + 4 * 4
    assert ability.requests[2].prompt == "Question: Which is wet?\nA. water\nB. salt\nAnswer:"
    first = [0.0 if r.target == "A" else -1.0 for r in ability.requests]
    found = ability.measure(scored(ability, *first), TOOLS)
    assert found.point == ability.floor and found.n == 2
    # without them it is right or wrong by where the answers happen to stand
    alone = build(tmp_path, style="letters")
    second = [0.0 if r.target == "B" else -1.0 for r in alone.requests]
    assert alone.measure(scored(alone, *second), TOOLS).point == 1.0
    assert alone.extras(scored(alone, *second), TOOLS) == {}


def test_rotated():
    turned = [Question("q", ("a", "b", "c"), 1).rotated(by) for by in range(3)]
    assert [q.choices for q in turned] == [("a", "b", "c"), ("c", "a", "b"), ("b", "c", "a")]
    assert [q.choices[q.answer] for q in turned] == ["b"] * 3


def test_a_part(tmp_path):
    rows = [{"question": f"q{i}", "choices": ["x", "y", f"z{i}"], "answer": 2} for i in range(20)]
    ability = build(tmp_path, rows, style="letters", rotations=True)
    part = ability.part(0.5)
    assert [r[0].text for r in part.asked] == [f"q{i}" for i in range(0, 20, 2)]
    assert len(part.requests) == 10 * 9 and part.floor == ability.floor
    assert part.requests[9:18] == ability.requests[18:27]
    assert ability.part(1.0) == ability


def read(path, **options):
    spec = AbilitySpec(measure="choice", path=str(path), **options)
    return read_questions(str(path), spec, Context("english", "labels", 16, None))


def test_questions_past_the_size_are_read_too(tmp_path):
    """Of ten rows 3, 7 and 8, counted from 0, are the sample of three."""
    rows = [ROWS[0] | {"question": f"Question {i}?"} for i in range(10)]
    found = read(jsonl(tmp_path, rows), size=3)
    assert [question.text for question in found] == [f"Question {i}?" for i in (3, 7, 8)]
    broken = jsonl(tmp_path, [*rows[:8], rows[8] | {"answer": 9}, rows[9] | {"answer": 9}])
    with pytest.raises(DataError, match=r"jsonl:9: answer 9"):
        read(broken, size=3)
    assert len(read(broken, size=3, take="first")) == 3, "what is not asked may be damaged"
    with pytest.raises(DataError, match=r"jsonl:1: nothing under 'subject'"):
        read(broken, size=3, columns={"domain": "subject"})


def test_files_of_every_format(tmp_path):
    expected = [Question("Which?", ("salt", "water"), 1)]
    row = {"q": "Which?", "choices": ["salt", "water"], "answer": 1}
    (tmp_path / "a.json").write_text(json.dumps([row]))
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text('q,choices,answer\nWhich?,"[""salt"", ""water""]",b\n')
    (tmp_path / "a.tsv").write_text('q\tchoices\tanswer\nWhich?\t["salt", "water"]\tB\n')
    arc = row | {"choices": {"text": ["salt", "water"], "label": ["1", "2"]}, "answer": "2"}
    (tmp_path / "a.jsonl").write_text(json.dumps(arc) + "\n\n")
    for suffix in ("json", "parquet", "csv", "tsv", "jsonl"):
        assert read(tmp_path / f"a.{suffix}", columns={"question": "q"}) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": 2}, r"jsonl:1: answer 2; allowed: 0 to 1, or A to B"),
        ({"answer": "C"}, "answer 'C'"),
        ({"answer": -1}, "answer -1"),
        ({"answer": True}, "answer True"),
        ({"answer": None}, "nothing under 'answer'; keys there: question, choices, answer"),
        ({"choices": ["one"]}, "expected 2 to 26 choices"),
        ({"choices": ["one", " "]}, "each with text"),
        ({"choices": "one, two"}, "choices: not JSON"),
        ({"choices": {"text": ["a", "b"], "label": ["1", "2"]}, "answer": "0"}, "labels 1, 2"),
        ({"question": " "}, "question is empty"),
    ],
)
def test_bad_rows(tmp_path, change, message):
    with pytest.raises(DataError, match=message):
        build(tmp_path, [ROWS[0] | change])


def test_bad_files(tmp_path):
    for name, text, message in [
        ("a.txt", "", "unknown format '.txt'; known: .jsonl"),
        ("b.jsonl", "", "no questions"),
        ("c.jsonl", "{", "c.jsonl:1: not JSON"),
        ("d.jsonl", "[]", "expected an object, found list"),
        ("e.json", "{}", "expected a list"),
        ("f.parquet", "PAR1", "not a readable Parquet"),
    ]:
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match=message):
            read(tmp_path / name)
    with pytest.raises(DataError, match="no such file"):
        read(tmp_path / "none.parquet")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"style": "numbers"}, "`style`"),
        ({"rotations": True}, "need a `prompt` with the slot {choices}"),
        ({"style": "letters", "prompt": "{question}"}, "slot {choices}"),
        ({"prompt": "What?"}, "needs the slot {question}"),
        ({"prompt": "{question} {choice}"}, "may have {choices}"),
        ({"prompt": "{question"}, "`prompt`"),
        ({"columns": {"choice": "x"}}, "unknown key 'choice' in `columns`"),
        ({"direction": "en-de"}, "does not know `direction`"),
    ],
)
def test_wrong_options(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        build(tmp_path, **options)


def test_on_a_model(tmp_path):
    """Every choice is scored after the same prompt, and the same twice."""
    tokenizer = byte_level()
    rows = [{"question": "a bad cab", "choices": ["abc", "abc", "dad"], "answer": 1}]
    ability = build(tmp_path, rows)
    found = run_requests(llama(tokenizer), tokenizer, ability.requests)
    assert found[0].log_likelihood == found[1].log_likelihood < 0
    assert ability.measure(found, TOOLS).point in (0.0, 0.5)
    assert run_requests(llama(tokenizer), tokenizer, ability.requests) == found
