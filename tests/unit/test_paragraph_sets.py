"""Paragraph and document test sets, from the file to the scores and the outputs' file."""

import subprocess
import sys

import numpy as np
import pytest
import yaml
from paragraph_factory import FORMS, SEGMENTS, put_set

from mtray.data.readers.paragraphs import joined
from mtray.data.store import build_store
from mtray.errors import ConfigError
from mtray.evaluation.output_files import read_outputs, write_outputs
from mtray.evaluation.suite import build_suite, set_lines
from mtray.preparation import prepare
from mtray.schema import AbilitySpec, Recipe
from mtray.search_space.space import load_space
from mtray.study import load_study
from mtray.sweep_plan import plan_lines
from mtray.training.models import load_tokenizer
from mtray.trial.job import Job, RunOptions
from mtray.trial.run import run_trial

SPACE = "parallel_size: {type: int, low: 1, high: 2}\nlearning_rate: 0.003\n"
BASE = {
    "name": "paragraphs",
    "model": "embedded",
    "paragraphs": "keep",
    "filters": {"leakage": "allow"},
    "training": {"max_length": 96, "batch_examples": 4, "epochs": 60},
    "objectives": {"chrf.en-es": "max", "cost.seconds": "min"},
}


@pytest.fixture
def made(tmp_path, monkeypatch):
    """A function that makes the study and loads it: trained and evaluated on the set of a form."""
    monkeypatch.setenv("MTRAY_STORE", str(tmp_path / "store"))
    (tmp_path / "space.yaml").write_text(SPACE)

    def make(form="wmt24pp", source=None, quality=None, **changes):
        wanted = put_set(tmp_path, form)
        columns = {k: v for k, v in wanted["columns"].items() if k != "domain"}
        pairs = {"name": "pairs", "kind": "parallel", "languages": ["en", "es"]}
        pairs |= {"path": wanted["path"], "columns": columns, **(source or {})}
        evaluation = {"comet": "none", "quality": [wanted | (quality or {})], "abilities": {}}
        evaluation |= {"max_new_tokens": 24, "divergence": {"prompts": 0}}
        given = BASE | {"sources": [pairs], "evaluation": evaluation} | changes
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(given, allow_unicode=True))
        return load_study(tmp_path / "study.yaml")

    return make


def prepared(study, tmp_path):
    return prepare(study, load_space(tmp_path / "space.yaml"))


ABILITIES = {
    # measure: its options, whether requests keep line breaks, and the first one's text
    "translation": ({"direction": "en-es"}, True, "English: The ferry is late.\n\nWe wait at the "),
    "technical": (
        {"direction": "en-es", "shots": 1, "split": {"test": 0.5}, "metric": "chrf"},
        True,
        None,
    ),
    "few_shot": ({"direction": "en-es", "shots": 1}, False, " ->"),
    "instructions": ({"direction": "en-es"}, False, "The ferry is late. We wait at the pier. ["),
    "perplexity": ({"language": "en", "columns": {"text": "source"}}, False, "late.\n\nWe wait"),
}


@pytest.mark.parametrize("measure", ABILITIES)
def test_abilities_keep_line_breaks_or_have_prompts_of_one_line(made, tmp_path, measure):
    options, kept, shown = ABILITIES[measure]
    wanted = put_set(tmp_path, "wmt24pp")
    columns = {k: v for k, v in wanted["columns"].items() if measure != "perplexity" or k == "text"}
    more = {"shots_path": wanted["path"]} if measure == "few_shot" else {}
    spec = {"measure": measure, "path": wanted["path"], "columns": columns, **more, **options}
    study = made()
    evaluation = study.evaluation.model_copy(
        update={"abilities": {"kept": AbilitySpec.model_validate(spec)}}
    )
    study = study.model_copy(update={"evaluation": evaluation})
    (ability,) = build_suite(study, load_tokenizer("embedded")).abilities
    assert any(not request.one_line for request in ability.requests) == kept
    texts = [f"{request.prompt}{request.target or ''}" for request in ability.requests]
    assert shown is None or any(shown in text for text in texts)
    if measure in ("few_shot", "instructions"):
        assert all("\n\n" not in text for text in texts)


@pytest.mark.parametrize("form", FORMS)
def test_a_set_is_the_same_in_every_form(made, form):
    study = made(form)
    (direction,) = build_suite(study, load_tokenizer("embedded")).directions
    assert direction.sources == [source for _, _, source, _ in SEGMENTS]
    assert direction.references == [target for _, _, _, target in SEGMENTS]
    assert direction.documents == ["harbour", "harbour", "letter", "letter"]
    assert [r.one_line for r in direction.requests] == [False, True, False, True]
    assert direction.requests[0].prompt == f"English: {SEGMENTS[0][2]}\nSpanish:"


def test_check_says_how_long_texts_are_and_that_they_have_line_breaks(made, tmp_path):
    text = "\n".join(plan_lines(prepared(made(), tmp_path)))
    assert "  quality en-es: 4 of 4 segments, 2 documents" in text
    assert "    2 of 4 sources have line breaks, which prompts keep" in text
    assert "    2 rows have line breaks, which examples keep" in text
    assert "median tokens: examples " in text and "median tokens: sources " in text
    assert "note:" not in text
    short = made(training={"max_length": 40})
    short = short.model_copy(
        update={"evaluation": short.evaluation.model_copy(update={"max_new_tokens": 3})}
    )
    text = "\n".join(plan_lines(prepared(short, tmp_path)))
    # the answers of several lines may be three times as long as their sources
    assert "note: 2 of 4 references are longer than an answer may be; the longest needs " in text
    assert "prompts with their answers are longer than any training example" in text
    text = "\n".join(plan_lines(prepared(made(paragraphs="auto"), tmp_path)))
    assert "note: 2 of 4 sources have line breaks, which are joined (`template: labels` is" in text
    assert "note: 2 rows have line breaks, which are joined (`template: labels` is one" in text
    text = "\n".join(plan_lines(prepared(made(paragraphs="join"), tmp_path)))
    assert "which are joined (`paragraphs: join`)" in text


def test_from_training_to_scores_and_outputs(made, tmp_path):
    """A model that learns its references by heart writes their paragraphs."""
    study = made()
    found = prepared(study, tmp_path)
    recipe = Recipe(parallel_size=4, learning_rate=0.003)
    job = Job(0, "search", recipe, 1)
    outcome = run_trial(job, study, found.store, found.suite.requests, RunOptions("torch"))
    texts = [output.text for output in outcome.outputs]
    assert texts == [target for _, _, _, target in SEGMENTS]
    result = found.suite.score(outcome.outputs, None, 100, 1)
    assert result.scores["chrf.en-es"].value == pytest.approx(100)
    assert result.scores["bleu.en-es"].value == pytest.approx(100)
    counts = result.counts["quality.en-es"]
    assert (counts["several_lines"], counts["other_line_count"]) == (2, 0)
    file = tmp_path / "outputs.parquet"
    write_outputs(file, found.suite.parts, found.suite.requests, outcome.outputs)
    assert [output.text for output in read_outputs(file, found.suite.requests)] == texts


def test_documents_are_one_text_in_evaluation_and_in_training(made):
    study = made(source={"documents": True}, quality={"unit": "document"})
    tokenizer = load_tokenizer("embedded")
    suite, store = build_suite(study, tokenizer), build_store(study, tokenizer)
    (direction,) = suite.directions
    whole = "The ferry is late.\n\nWe wait at the pier.\nThen it rains."
    assert direction.sources[0] == whole and len(direction.sources) == 2
    assert set_lines(suite) == ["  quality en-es: 2 of 2 documents"]
    table = store["pairs"]
    rows = {tokenizer.decode(table.example(i)[0], skip_special_tokens=True) for i in range(2)}
    assert len(table) == 2 and any(whole in row for row in rows)
    assert any("tarde.\n\nEsperamos en el muelle.\nLuego llueve." in row for row in rows)


def test_documents_are_cut_where_they_would_be_too_long(made):
    study = made(source={"documents": True}, training={"max_length": 45})
    table = build_store(study, load_tokenizer("embedded"))["pairs"]
    assert len(table) > 2 and table.dropped == 0 and max(table.lengths()) <= 45


def test_documents_without_their_ids_are_no_documents(made):
    columns = {"en": "source", "es": "target"}
    study = made(quality={"unit": "document", "columns": columns})
    with pytest.raises(ConfigError, match="needs the document of every segment"):
        build_suite(study, load_tokenizer("embedded"))


@pytest.mark.parametrize("metric", ["bleu", "chrf", "chrf++"])
def test_scores_are_those_of_the_official_command_line(tmp_path, metric):
    """WMT's files have a segment a line, its paragraphs joined by spaces. The hyphen before a break
    is one that sacrebleu's 13a would delete."""
    from mtray.evaluation.metrics import quality

    outputs = ["A well-\nknown fact.\n\nNo more of it.", "It rains again.", "Bread,\n cheese."]
    references = ["A well-\nknown fact.\n\nThere is more.", "It rains.", "Bread and\ncheese."]
    segments = quality.Segments([""] * 3, references, "en")
    ours = quality.measure(segments, outputs, [metric], {})[metric].point
    files = {}
    for name, texts in (("hyp", outputs), ("ref", references)):
        files[name] = tmp_path / name
        files[name].write_text("".join(f"{joined(text)}\n" for text in texts))
    options = {"bleu": ["bleu"], "chrf": ["chrf"], "chrf++": ["chrf", "--chrf-word-order", "2"]}
    asked = [files["ref"], "-i", files["hyp"], "-b", "-w", "6", "-m", *options[metric]]
    done = subprocess.run(
        [sys.executable, "-m", "sacrebleu", *asked], capture_output=True, text=True, check=True
    )
    assert ours == pytest.approx(float(done.stdout), abs=1e-5)


def test_a_learned_metric_sees_one_line():
    from mtray.evaluation.metrics import quality

    class Lines:
        signature = "lines"

        def scores(self, *sides):
            return np.array([[text.count("\n") for text in texts] for texts in sides]).sum(axis=0)

    texts = ["a\n\nb", "c"]
    segments = quality.Segments(texts, texts, "en")
    assert quality.measure(segments, texts, [], {"lines": Lines()})["lines"].point == 0
