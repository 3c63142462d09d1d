"""A study's own metric: the script of docs/howto/own-metric.md, from the file to a score."""

import re
import sys
from pathlib import Path

import pytest
import yaml
from test_suite import SEGMENTS, load_comet, outputs, study, suite_of  # noqa: F401

from mtray.errors import ConfigError, EvaluationError, ModelError
from mtray.evaluation.metrics import metric_process
from mtray.evaluation.metrics.command_metric import load_command
from mtray.evaluation.metrics.truncated_references import truncation_notes
from mtray.evaluation.score_names import score_names
from mtray.evaluation.suite import build_suite
from mtray.preparation import check_metric
from mtray.report.second_metric import is_quality
from mtray.schema import Score, Study
from mtray.study import load_study

PAGE = Path(__file__).resolve().parents[2] / "docs/howto/own-metric.md"
SCRIPT = re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]


@pytest.fixture
def command(tmp_path):
    (tmp_path / "overlap.py").write_text(SCRIPT)
    yield (sys.executable, str(tmp_path / "overlap.py"))
    metric_process.command_process.cache_clear()


def test_the_script_of_the_page_scores(command):
    scorer = load_command("overlap", command)
    assert scorer.signature == "overlap|1.0|empty:0-or-min|protocol:1" and scorer.references
    found = scorer.segment_scores(
        ["s"] * 4, ["the cat sat", "a CAT", "dog", " "], ["the cat sat"] * 3 + ["x"]
    )
    assert found.values.tolist() == [1.0, 1 / 3, 0.0, 0.0] and found.truncated is None
    assert load_command("overlap", list(command)) is scorer, "started once"
    assert scorer.truncated(["long " * 999]) == 0, "it names no length"
    scorer.model.process.stop()


def test_a_suite_measures_it_as_any_other(study, command):  # noqa: F811
    study["evaluation"]["more_metrics"] = {"overlap": list(command)}
    suite = suite_of(study)
    assert suite.more_metrics == {"overlap": command}
    assert suite.part(0.5).more_metrics == {}, "nobody looks at it at a rung"
    result = suite.score(outputs(suite, "т", 1.0, 0.1), None, 100, 0, load_comet)
    names = [name for name in result.scores if name.startswith("overlap.")]
    assert names and set(names) <= set(score_names(suite))
    score = result.scores[names[0]]
    assert "|protocol:1" in score.signature and is_quality(names[0], {names[0]: score})
    assert score.truncated is None
    load_command("overlap", command, suite.comet_device).model.process.stop()


def test_parts_of_a_command_are_relative_to_the_study(study, tmp_path):  # noqa: F811
    command = ["python3", "./metrics/own.py", "../up.py", "--model", "a/b", "."]
    study["evaluation"]["more_metrics"] = {"own": command}
    file = tmp_path / "studies/study.yaml"
    file.parent.mkdir()
    file.write_text(yaml.safe_dump(study))
    assert load_study(file).evaluation.more_metrics["own"] == (
        "python3", f"{file.parent}/metrics/own.py", f"{tmp_path}/up.py", "--model", "a/b", "."
    )  # fmt: skip


@pytest.mark.parametrize("wrong", ["python3 own.py", [], ["python3", 3], [""], None])
def test_a_command_is_a_list_of_texts(study, tmp_path, wrong):  # noqa: F811
    study["evaluation"]["more_metrics"] = {"own": wrong}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    with pytest.raises(ConfigError, match=r"evaluation\.more_metrics\.own"):
        load_study(tmp_path / "study.yaml")


@pytest.mark.parametrize("name", ["chrf", "quality", "mean", "words"])
def test_names_of_other_scores_are_taken(study, name):  # noqa: F811
    study["evaluation"] |= {"more_metrics": {name: ["x"]}, "more_comet": {"words": "/w"}}
    with pytest.raises(ConfigError, match=f"`evaluation.more_metrics`: {name!r} is already taken"):
        build_suite(Study.model_validate(study), None)


def test_check_names_the_key_of_a_metric_that_cannot_start(study, tmp_path):  # noqa: F811
    study["evaluation"] |= {"comet": "none", "metrics": ["chrf"]}
    study["evaluation"]["more_metrics"] = {"own": [str(tmp_path / "absent")]}
    with pytest.raises(ModelError, match=r"^`evaluation\.more_metrics\.own`: metric own .*absent"):
        check_metric(Study.model_validate(study))


class Long:
    """A scorer that reads three letters."""

    max_length, long, signature = 3, "truncate", "long|protocol:1"

    def truncated(self, texts):
        return sum(len(text) > 3 for text in texts)


def test_references_that_are_too_long_are_said_before_training():
    references = {"de-en": ["abcd", "abc", "abcde"], "en-de": ["a"]}
    assert truncation_notes({"comet": Long()}, references) == [
        "references longer than the 3 tokens that comet reads: 2 of 3 in de-en; of longer texts it "
        "scores the beginning alone"
    ]
    assert truncation_notes({"comet": Long()}, {"en-de": ["a"]}) == []


def test_old_records_have_no_count():
    old = {"value": 1.0, "low": 1.0, "high": 1.0, "n": 1, "signature": "s"}
    assert Score.model_validate(old).truncated is None


def test_a_metric_that_fails_fails_the_evaluation(tmp_path):
    script = SCRIPT.replace('asked["do"] == "score"', 'asked["do"] == "nothing"')
    (tmp_path / "own.py").write_text(script)
    scorer = load_command("own", (sys.executable, str(tmp_path / "own.py")))
    with pytest.raises(EvaluationError, match="overlap: unknown request score"):
        scorer.scores(["s"], ["h"], ["r"])
    scorer.model.process.stop()
