"""Quality in a suite: metrics by name, further learned metrics, documents, sizes of the sets."""

import json

import numpy as np
import pytest
from test_suite import SEGMENTS, LengthComet, load_comet, outputs, study, suite_of  # noqa: F401

from mtray.errors import ConfigError, ModelError
from mtray.evaluation.directions import Direction
from mtray.evaluation.inference.requests import Output
from mtray.evaluation.suite import build_suite, set_lines
from mtray.preparation import check_metric
from mtray.schema import Study
from mtray.study import load_study


class WordComet:
    """Words of the hypothesis; knows no references."""

    signature = "words|reference:none"

    def scores(self, sources, hypotheses, references):
        return np.array([float(len(h.split())) for h in hypotheses])


def load(name):
    return WordComet() if name == "/models/words" else load_comet(name)


def test_metrics_and_further_models_by_name(study):  # noqa: F811
    evaluation = study["evaluation"]
    evaluation["metrics"] = ["chrf++", "bleu"]
    evaluation["more_comet"] = {"words": "/models/words"}
    path = evaluation["quality"][0]["path"]
    one = suite_of(study).score(outputs(suite_of(study), "a b", 1.0, 0.1), None, 100, 0, load)
    named = {n for n in one.scores if n.split(".")[0] in {"comet", "words", "chrf++", "bleu"}}
    assert named == {"comet.en-uk", "words.en-uk", "chrf++.en-uk", "bleu.en-uk"}
    assert one.scores["words.en-uk"].value == 2.0
    evaluation["quality"].append({"direction": "uk-en", "path": path, "size": SEGMENTS})
    suite = suite_of(study)
    found = outputs(suite_of(study), "таксі 1", 1.0, 0.1)
    both = suite.score(found[:SEGMENTS] + outputs(suite, "a b c", 1.0, 0.1), None, 100, 0, load)
    for metric in ("comet", "words", "chrf++", "bleu"):
        parts = [both.scores[f"{metric}.{d}"].value for d in ("en-uk", "uk-en")]
        assert both.scores[f"{metric}.mean"].value == pytest.approx(sum(parts) / 2)
    assert both.scores["words.mean"].value == 2.5
    assert both.objectives["quality"] == both.scores["comet.mean"]


def test_a_quick_look_takes_the_metrics_of_the_objectives_alone(study):  # noqa: F811
    study["evaluation"] |= {"metrics": ["bleu", "chrf"], "more_comet": {"words": "/models/words"}}
    quick = suite_of(study).part(0.5)
    assert (quick.metrics, quick.more_comet) == ((), {}), "nobody looks at them at a rung"
    study["objectives"] = {"words.en-uk": "max", "chrf.mean": "max", "retention": "max"}
    quick = suite_of(study).part(0.5)
    assert (quick.metrics, quick.more_comet) == (("chrf",), {"words": "/models/words"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metrics": ["comet", "Bleu"]}, r"`evaluation.metrics`: unknown metric 'Bleu'; allowed: "),
        ({"more_comet": {"chrf": "x"}}, r"`evaluation.more_comet`: 'chrf' is already taken"),
        ({"more_comet": {"spanish": "x"}}, r"`evaluation.abilities`: 'spanish' is already taken"),
    ],
)
def test_names_that_cannot_be(study, change, message):  # noqa: F811
    study["evaluation"].update(change)
    with pytest.raises(ConfigError, match=message):
        suite_of(study)


def test_a_name_with_a_point_is_none(study):  # noqa: F811
    study["evaluation"]["more_comet"] = {"a.b": "x"}
    with pytest.raises(ValueError, match="pattern"):
        Study.model_validate(study)


def test_documents_become_clusters(study, tmp_path):  # noqa: F811
    rows = [{"en": f"s {i}", "uk": f"т {i}", "doc": f"d{i // 4:02d}"} for i in range(SEGMENTS)]
    path = tmp_path / "docs.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    study["evaluation"]["quality"][0] |= {"path": str(path), "columns": {"document": "doc"}}
    suite = suite_of(study)
    (direction,) = suite.directions
    assert direction.clusters().tolist() == [i // 4 for i in range(SEGMENTS)]
    result = suite.score(outputs(suite, "т", 1.0, 0.1), None, 100, 0, load_comet)
    for name in ("comet.en-uk", "bleu.en-uk", "chrf.en-uk"):
        assert result.scores[name].n == 10
    assert result.objectives["quality"].n == 10
    assert set_lines(suite)[0] == "  quality en-uk: 40 of 40 segments, 10 documents"
    part = direction.part(0.5)
    assert part.documents == [f"d{i // 4:02d}" for i in range(0, SEGMENTS, 2)]


def test_metrics_see_the_texts_as_they_are_and_the_model_single_spaces(study, tmp_path):  # noqa: F811
    path = tmp_path / "odd.jsonl"
    path.write_text(json.dumps({"en": "a  bad\u00a0cab\n", "uk": " одне  таксі"}))
    study["evaluation"]["quality"][0]["path"] = str(path)
    (direction,) = suite_of(study).directions
    assert direction.sources == ["a  bad\u00a0cab"] and direction.references == [" одне  таксі"]
    assert direction.requests[0].prompt == "English: a bad cab\nUkrainian:"
    suite = suite_of(study)
    found = [Output("a bad cab", -1.0, 1), *outputs(suite_of(study), "x", 1.0, 0.1)[1:]]
    counts = suite.score(found, None, 100, 0, load_comet).counts["quality.en-uk"]
    assert counts["copied"] == 1


def test_few_documents_are_not_resampled():
    few = Direction("en-uk", [], ["a"] * 8, ["b"] * 8, list("aabbccdd"), 99)
    assert few.clusters() is None and "too few to resample" in few.text()
    assert Direction("en-uk", [], ["a"] * 8, ["b"] * 8, list("abcdefgh")).clusters() is not None


def test_every_set_is_counted(study):  # noqa: F811
    study["evaluation"]["quality"][0]["size"] = 25
    assert set_lines(suite_of(study)) == [
        "  quality en-uk: 25 of 40 segments",
        "  ability spanish: 40 requests",
        "  ability modelling: 40 requests",
    ]


def test_paths_of_further_models_and_names_of_sets(study, tmp_path):  # noqa: F811
    (tmp_path / "kiwi").mkdir()
    more = {"kiwi": "kiwi", "hub": "Unbabel/wmt22-cometkiwi-da"}
    study["evaluation"] |= {"more_comet": more, "comet": "kiwi"}
    study["evaluation"]["quality"][0]["path"] = "wmt:wmt22"
    file = tmp_path / "study.yaml"
    file.write_text(json.dumps(study))
    found = load_study(file).evaluation
    assert found.more_comet == more | {"kiwi": str(tmp_path / "kiwi")}
    assert found.comet == str(tmp_path / "kiwi") and found.quality[0].path == "wmt:wmt22"


def test_a_further_model_that_is_none_is_said_before_training(study, tmp_path):  # noqa: F811
    study["evaluation"] |= {"comet": "embedded", "more_comet": {"kiwi": str(tmp_path)}}
    with pytest.raises(ModelError, match=r"`evaluation.more_comet.kiwi`: .*found none"):
        check_metric(Study.model_validate(study))


def test_a_piece_model_out_of_reach_stops_the_reading_of_a_study(study, monkeypatch, tmp_path):  # noqa: F811
    from sacrebleu.tokenizers import tokenizer_spm

    from mtray.evaluation.metrics import spbleu

    monkeypatch.setattr(tokenizer_spm, "SACREBLEU_DIR", str(tmp_path))
    monkeypatch.setattr(spbleu, "why_unreachable", lambda url: "no network")
    spbleu.spm_bleu.cache_clear()
    study["evaluation"]["metrics"] = ["comet", "spbleu"]
    with pytest.raises(ModelError, match="flores200sacrebleuspm"):
        build_suite(Study.model_validate(study), None)
