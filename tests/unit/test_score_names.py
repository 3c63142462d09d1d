"""Every name that an evaluation measures is known before it, and a study that names another is
refused at once."""

import json
from pathlib import Path

import pytest
from fresh_process import modules_after
from test_suite import SEGMENTS, LengthComet, study, suite_of  # noqa: F401

from mtray.errors import ConfigError
from mtray.evaluation.costs import cost_scores
from mtray.evaluation.inference.requests import Output
from mtray.evaluation.score_names import check_measured, extra_names, score_names
from mtray.preparation import check_metric, prepare
from mtray.schema import Resources, Study

LETTERS = [
    {"question": f"a {i}?", "choices": ["b", "c"], "answer": int(i % 4 == 0)}
    for i in range(SEGMENTS)
]


@pytest.fixture
def everything(study, tmp_path):  # noqa: F811
    """Two directions, one into a language that the detector does not know, a further COMET, and
    abilities with scores beside their value."""
    evaluation, path = study["evaluation"], study["evaluation"]["quality"][0]["path"]
    rows = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]
    rows = [{**row, "ha": f"dabba {i}"} for i, row in enumerate(rows)]
    Path(path).write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (tmp_path / "letters.jsonl").write_text("\n".join(map(json.dumps, LETTERS)))
    evaluation["more_comet"] = {"kiwi": "tabulated"}
    evaluation["quality"].append({"direction": "en-ha", "path": path, "size": 20})
    table = {"path": path, "size": SEGMENTS, "direction": "en-es"}
    evaluation["abilities"] |= {
        "letters": {"measure": "choice", "path": str(tmp_path / "letters.jsonl")},
        "idioms.es": {"measure": "idioms", **table},
        "special": {"measure": "technical", "shots": 1, "shots_path": path, "metric": "chrf",
                    "path": str(tmp_path / "special.tsv"), "direction": "en-es"},
        "followed": {"measure": "instructions", **table},
    }  # fmt: skip
    (tmp_path / "special.tsv").write_text(
        "en\tes\n" + "".join(f"big cab {i}\tgran taxi {i}\n" for i in range(9))
    )
    return study


def measured(suite):
    """The names in a result of outputs that are right, in all abilities."""
    outputs = [Output("dabba", -1.0, 3) for d in suite.directions for _ in d.requests]
    for ability in suite.abilities:
        right = getattr(ability, "references", None) or [
            pair[1] for pair in getattr(ability, "segments", getattr(ability, "pairs", ()))
        ]
        texts = right or [request.target for request in ability.requests]
        outputs += [Output(text, -1.0 - i % 2, 3) for i, text in enumerate(texts)]
    found = suite.score(outputs, None, 100, 0, lambda name: LengthComet())
    assert not found.left_out, "else their names would not be among the scores"
    return {*found.scores, *found.objectives, *cost_scores({}, Resources())}


def test_the_names_are_those_of_a_result(everything):
    suite = suite_of(everything)
    names = score_names(suite)
    assert len(names) == len(set(names))
    extras = {name for ability in suite.abilities for name in extra_names(ability)}
    assert {"letters.acc_norm", "idioms.es.chrf", "followed.gated_chrf"} <= extras
    assert measured(suite) == {*names, *extras}
    assert "failures.off_target.en-uk" in names and "failures.off_target.en-ha" not in names
    assert "failures.off_target.mean" not in names and "failures.any.mean" in names


GOOD = ["kiwi.mean", "chrf.en-ha", "failures.copy.mean", "retention.worst", "retention.idioms.es",
        "letters.acc_norm", "idioms.es", "idioms.es.chrf", "cost.device_hours"]  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_what_is_measured_may_be_named(everything, name):
    named = {"objectives": {"quality": "max", name: "max"}, "constraints": {name: {"at_least": 0}}}
    found = Study.model_validate(everything | named)
    check_measured(found, suite_of(everything))


BAD = {
    "cometkiwi.mean": "Nearest: comet.mean",
    "chrf.en-yy": r"Nearest: chrf\.en-uk",
    "chrf": r"Nearest: chrf\.mean",
    "failures.off_target.en-ha": r"Nearest: failures\.off_target\.en-uk",
    "retention.frensh": "Nearest: retention.spanish",
    "retension": "Nearest: retention",
    "idioms.es.chfr": r"Nearest: idioms\.es\.chrf",
    "cost.hours": r"Nearest: cost\.device_hours",
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("key", ["objectives", "constraints"])
def test_what_is_not_measured_is_refused_with_the_nearest_name(everything, key, name):
    named = {
        "objectives": {"quality": "max", "retention": "max", name: "max"},
        "constraints": {name: {"at_most": 1}},
    }
    found = Study.model_validate(everything | {key: named[key]})
    with pytest.raises(
        ConfigError, match=rf"`{key}` names '{name}', .*{BAD[name]}.* Measured: quality, retention"
    ):
        check_measured(found, suite_of(everything))


def test_an_ability_that_cannot_tell_may_report_anything(everything, monkeypatch):
    found = Study.model_validate(
        everything | {"objectives": {"quality": "max", "letters.exact": "max"}}
    )
    suite = suite_of(everything)
    with pytest.raises(ConfigError, match="Nearest: letters"):
        check_measured(found, suite)

    def fails(*_):
        raise KeyError("a task that wants a real answer")

    monkeypatch.setattr(type(suite.abilities[2]), "extras", fails)
    check_measured(found, suite)


WITHOUT = {
    "quality": r"since `evaluation\.comet` is none\. Nearest: bleu\.en-uk, chrf\.en-uk\.",
    "comet.en-uk": r"since `evaluation\.comet` is none\. Nearest: bleu\.en-uk, chrf\.en-uk\.",
    "chrf.mean": r": means are over directions, and the study has one\. Nearest: chrf\.en-uk\.",
}


@pytest.mark.parametrize("name", WITHOUT)
def test_without_comet_the_alternatives_are_named(study, name):  # noqa: F811
    study["evaluation"]["comet"] = "none"
    found = Study.model_validate(study | {"objectives": {name: "max", "retention": "max"}})
    with pytest.raises(ConfigError, match=f"not measured,? ?{WITHOUT[name]}"):
        check_measured(found, suite_of(study))


def test_without_comet_and_with_two_directions_their_means_are(study):  # noqa: F811
    path = study["evaluation"]["quality"][0]["path"]
    study["evaluation"] |= {"comet": "none"}
    study["evaluation"]["quality"].append({"direction": "uk-en", "path": path})
    with pytest.raises(ConfigError, match=r"'quality'.* Nearest: bleu\.mean, chrf\.mean\."):
        check_measured(Study.model_validate(study), suite_of(study))


def test_a_suite_without_comet_loads_none(study, monkeypatch):  # noqa: F811
    def refuse(*_, **__):
        raise AssertionError("no metric is to be loaded")

    monkeypatch.setattr("mtray.evaluation.metrics.comet.load_comet", refuse)
    study["evaluation"]["comet"] = "none"
    study["objectives"] = {"chrf.en-uk": "max", "retention": "max"}
    found = Study.model_validate(study)
    assert found.evaluation.metrics == ("bleu", "chrf")
    check_metric(found)
    suite = suite_of(study)
    check_measured(found, suite)
    from test_suite import outputs

    answers = outputs(suite, "таксі", 1.0, 0.1)
    whole = suite.score(answers, answers, 100, 0, refuse)
    assert set(whole.objectives) == {"retention"} and "chrf.en-uk" in whole.scores
    assert not [name for name in whole.scores if name.startswith("comet")]
    part = suite.part(0.5)
    few = part.score(suite.outputs_of(part, answers), None, 100, 0, refuse)
    assert {*found.objectives} <= {*few.scores, *few.objectives}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"idioms": {"measure": "idioms"}}, "'idioms' is measured by COMET, .* none: drop it, or"),
        (
            {"special": {"measure": "technical", "split": {"test": 0.5}}},
            "'special' is measured by COMET, .* none: set its `metric: chrf`, or name a COMET",
        ),
    ],
)
def test_an_ability_that_needs_comet_is_refused_without(study, change, message):  # noqa: F811
    table = {"path": study["evaluation"]["quality"][0]["path"], "direction": "en-es"}
    ((name, spec),) = change.items()
    study["evaluation"]["abilities"][name] = {**table, **spec}
    suite_of(study)
    study["evaluation"]["comet"] = "none"
    with pytest.raises(ConfigError, match=message):
        suite_of(study)


def test_the_sweep_asks_before_it_reads_a_source(study, monkeypatch):  # noqa: F811
    """`prepare` is what check, --dry-run and a sweep do first."""
    monkeypatch.setattr("mtray.data.store.build_store", lambda *_: pytest.fail("too late"))
    found = Study.model_validate(study | {"objectives": {"quality": "max", "bluerr.mean": "max"}})
    with pytest.raises(ConfigError, match=r"'bluerr\.mean', which is not measured"):
        prepare(found, None)


def test_importing_the_names_is_light():
    heavy = {"torch", "transformers", "comet", "ray"}
    assert not heavy & modules_after("import mtray.evaluation.score_names")
