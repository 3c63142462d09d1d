"""Translations of a run's trials, to be read: which are listed, in which order, with what beside
them."""

import json
from importlib.metadata import version

import pytest
from kept_outputs_factory import REFERENCES, answers, make_run
from sacrebleu.metrics import CHRF

from mtray.cli import main
from mtray.commands import outputs
from mtray.report.translations import Answer, Segment, chosen
from mtray.run_files import trial_dir


@pytest.fixture
def run_dir(tmp_path):
    return make_run(tmp_path)


def listed(capsys, *argv):
    assert main(["outputs", *map(str, argv), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def chrf(text, reference):
    return CHRF().sentence_score(text, [reference]).score


def test_the_worst_are_those_that_lose_most_against_the_other_trial(run_dir, capsys):
    found = listed(capsys, run_dir, "2", "--set", "en-uk", "--worst", 4)
    assert (found["trial"], found["against"], found["found"]) == ("2", "base", 30)
    texts = {n: [o.text for o in answers("en-uk", d)] for n, d in {"base": 3, "2": 1}.items()}
    gains = [
        chrf(mine, reference) - chrf(other, reference)
        for mine, other, reference in zip(
            texts["2"], texts["base"], REFERENCES["en-uk"], strict=True
        )
    ]
    shown = [s["answer"]["score"] - s["other"]["score"] for s in found["segments"]]
    assert shown == pytest.approx(sorted(gains)[:4])
    for segment in found["segments"]:
        index = segment["index"]
        assert segment["reference"] == REFERENCES["en-uk"][index]
        assert segment["source"] == REFERENCES["uk-en"][index]
        assert segment["answer"]["text"] == texts["2"][index]
        assert segment["other"]["text"] == texts["base"][index]
    best = listed(capsys, run_dir, "2", "--set", "en-uk", "--best", 4)
    shown = [s["answer"]["score"] - s["other"]["score"] for s in best["segments"]]
    assert shown == pytest.approx(sorted(gains, reverse=True)[:4])


def test_alone_a_trial_is_ordered_by_its_own_scores(run_dir, capsys):
    for trial, options in (("base", ()), ("2", ("--against", "none"))):
        found = listed(capsys, run_dir, trial, *options, "--worst", 60)
        scores = [s["answer"]["score"] for s in found["segments"]]
        assert found["against"] == "" and scores == sorted(scores) and len(scores) == 60
        assert {s["other"] for s in found["segments"]} == {None}


def test_segments_of_one_failure_label(tmp_path, capsys):
    run_dir = make_run(tmp_path, base_dropped=5)
    every = listed(capsys, run_dir, "base", "--worst", 60)["segments"]
    short = [s for s in every if "under_translation" in s["answer"]["labels"]]
    assert len(short) == 20, "every third of 30 in two directions"
    found = listed(capsys, run_dir, "base", "--worst", 60, "--label", "under_translation")
    assert found["segments"] == short and found["found"] == 20
    assert listed(capsys, run_dir, "base", "--label", "copy")["segments"] == []


def test_what_a_person_reads(run_dir, capsys):
    assert main(["outputs", str(run_dir), "3", "--set", "uk-en", "--first", "1"]) == 0
    base = chrf("cat number 0 sits on", REFERENCES["uk-en"][0])
    assert capsys.readouterr().out.splitlines() == [
        "trial 3 beside the base model: 1 of 30 segments, in the order of the evaluation set",
        "",
        f"quality.uk-en 0  {100 - base:+.1f}",
        "  source     кіт номер 0 сидить на килимі 0",
        "  reference  cat number 0 sits on the mat 0",
        f"  base       cat number 0 sits on  [{base:.1f}]",
        "  trial 3    cat number 0 sits on the mat 0  [100.0]",
        "",
    ]


def test_an_ability_shows_prompt_and_answer(run_dir, capsys):
    assert main(["outputs", str(run_dir), "2", "--set", "a"]) == 0
    assert capsys.readouterr().out.splitlines()[2:] == [
        "a 0", "  prompt   other", "  base     x", "  trial 2  x", "",
    ]  # fmt: skip


class Lengths:
    signature = "lengths"

    def scores(self, sources, hypotheses, references):
        return [len(h) for h in hypotheses]


def test_scores_of_the_study_s_comet(run_dir, capsys, monkeypatch):
    monkeypatch.setattr(outputs, "load_comet", lambda name, device, long: Lengths())
    found = listed(capsys, run_dir, "2", "--against", "none", "--metric", "comet", "--best", 1)
    longest = max(len(o.text) for d in REFERENCES for o in answers(d, 1))
    assert [s["answer"]["score"] for s in found["segments"]] == [longest]


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["9"], ["trial 9 has no record", "base, 2, 3, 4, 5"]),
        (["two"], ["NUMBER", "'two'"]),
        (["4"], ["trial 4 has kept no outputs", "mtray rerun", " 4`"]),
        (["2", "--against", "2"], ["--against", "the trial itself"]),
        (["2", "--set", "de-en"], ["--set", "'de-en'", "allowed: en-uk, uk-en, a"]),
        (["2", "--label", "wrong"], ["--label", "'wrong'", "off_target"]),
        (["2", "--set", "a", "--label", "copy"], ["--label", "a is no direction"]),
    ],
)
def test_mistakes(run_dir, capsys, options, parts):
    assert main(["outputs", str(run_dir), *options]) == 2
    err = capsys.readouterr().err
    assert all(part in err for part in parts), err


@pytest.mark.parametrize("count", ["0", "-1", "x"])
def test_a_count_is_a_whole_number(run_dir, capsys, count):
    with pytest.raises(SystemExit) as stop:
        main(["outputs", str(run_dir), "2", f"--worst={count}"])
    assert stop.value.code == 2 and "whole number" in capsys.readouterr().err


def segment(index, score, other=None, text="a", beside="b"):
    with_other = None if other is None else Answer(text=beside, score=other)
    answer = Answer(text=text, score=score)
    return Segment(
        part="quality.en-uk", index=index, source="", reference="", answer=answer, other=with_other
    )


@pytest.mark.parametrize(
    ("segments", "order", "expected"),
    [
        ([segment(0, 5), segment(1, 3), segment(2, 4)], "worst", [1, 2, 0]),
        ([segment(0, 5), segment(1, 3), segment(2, 4)], "best", [0, 2, 1]),
        ([segment(0, 5), segment(1, 3), segment(2, 4)], "first", [0, 1, 2]),
        ([segment(0, 5, 4), segment(1, 3, 1), segment(2, 4, 9)], "worst", [2, 0, 1]),
        ([segment(0, 5, 4), segment(1, 3, 1), segment(2, 4, 9)], "best", [1, 0, 2]),
        ([segment(0, 1, 1, beside="a"), segment(1, 1, 1)], "worst", [1, 0]),
        ([segment(0, 1, 1, beside="a"), segment(1, 1, 1)], "best", [1, 0]),
        ([segment(0, None), segment(1, 3)], "worst", [1, 0]),
    ],
)
def test_orders_by_hand(segments, order, expected):
    count, found = chosen(segments, order, 3)
    assert count == len(segments) and [s.index for s in found] == expected


def test_a_run_is_found_by_its_name(run_dir, capsys, monkeypatch):
    monkeypatch.chdir(run_dir.parent.parent)
    assert listed(capsys, run_dir.name, "2") == listed(capsys, run_dir, "2")
    assert main(["outputs", "another", "2"]) == 2
    assert "runs there: runs/mine" in capsys.readouterr().err


def test_a_damaged_file_of_outputs(run_dir, capsys):
    (trial_dir(run_dir, 2) / "outputs.parquet").write_bytes(b"x")
    assert main(["outputs", str(run_dir), "2", "--set", "a"]) == 2
    assert "not a readable file of outputs" in capsys.readouterr().err


def test_without_a_command(capsys):
    assert main([]) == 0 and "commands:" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"mtray {version('mtray')}\n"
