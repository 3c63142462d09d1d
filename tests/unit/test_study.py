"""Studies from YAML: what is shipped loads, and every mistake names file, key and what is
allowed."""

from pathlib import Path

import pytest
import yaml
from records_factory import make_study

from mtray.data.templates import TEMPLATES
from mtray.errors import ConfigError
from mtray.schema import BASELINES, Budget, Evaluation, Recipe
from mtray.search_space.space import load_space
from mtray.study import load_study
from mtray.yaml_files import read_yaml

ROOT = Path(__file__).parents[2]
# those of papers are incomplete without a scale: test_papers
STUDIES = sorted((ROOT / "sweeps").glob("*.yaml"))
SPACES = sorted((ROOT / "search_spaces").glob("*.yaml"))
SMALL = """
name: small
sources:
  - {name: pairs, kind: parallel, languages: [en, uk], path: data/pairs.tsv}
  - {name: lines, kind: parallel, languages: [en, uk], path: {en: a.en, uk: /abs/a.uk}}
evaluation:
  comet: owner/comet
  quality: [{direction: en-uk, path: ../dev.tsv, size: 10}]
  abilities:
    few: {measure: few_shot, path: a.tsv, shots_path: "~/b.tsv", direction: en-uk}
"""


def put(folder, text, name="study.yaml"):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def corpora(monkeypatch, tmp_path):
    """Stands in for the corpora's folder; that they are fetched is a mistake."""
    asked = []
    monkeypatch.setattr("mtray.embedded.corpora.prepare", lambda: pytest.fail("fetched"))
    monkeypatch.setattr("mtray.study.corpora_dir", lambda: asked.append(1) or tmp_path / "corpora")
    return asked


def test_there_are_studies_and_spaces_to_load():
    assert ROOT / "sweeps/default.yaml" in STUDIES
    assert ROOT / "search_spaces/ratio.yaml" in SPACES


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.name)
def test_every_study_we_ship_loads(path, corpora, tmp_path):
    study = load_study(path)
    assert study.template in TEMPLATES
    assert set(study.defaults) <= set(Recipe.model_fields)
    paths = [s.path for s in study.sources] + [q.path for q in study.evaluation.quality]
    assert "{corpora}" not in str(study)
    if corpora:
        assert any(str(tmp_path / "corpora") in str(p) for p in paths)
    known = {f"weight.{source.name}" for source in study.sources}
    fitting = [space for space in SPACES if weights_in(space) <= known]
    assert ROOT / "search_spaces/ratio.yaml" in fitting
    for space in fitting:
        assert load_space(space, study.defaults, study.sources).distributions()


def weights_in(space):
    return {name for name in read_yaml(space) if name.startswith("weight.")}


def test_the_default_study_has_the_sources_that_a_space_of_ours_weighs():
    study = load_study(ROOT / "sweeps/default.yaml")
    space = load_space(ROOT / "search_spaces/weights.yaml", study.defaults, study.sources)
    assert {name for name in space.parameters if name.startswith("weight.")} == {
        f"weight.{source.name}" for source in study.sources if source.kind == "mono"
    }


def test_paths_become_absolute(tmp_path, corpora):
    study = load_study(put(tmp_path, SMALL))
    assert study.sources[0].path == str(tmp_path / "data/pairs.tsv")
    assert study.sources[1].path == {"en": str(tmp_path / "a.en"), "uk": "/abs/a.uk"}
    assert study.evaluation.quality[0].path == str(tmp_path.parent / "dev.tsv")
    assert study.evaluation.abilities["few"].shots_path == str(Path.home() / "b.tsv")
    assert not corpora, "a study that names no embedded corpora does not look for them"


def test_a_relative_path_is_relative_to_the_file(tmp_path, monkeypatch):
    put(tmp_path, SMALL)
    monkeypatch.chdir(tmp_path)
    assert load_study(Path("study.yaml")) == load_study(tmp_path / "study.yaml")


def test_a_folder_beside_the_study_is_a_model_and_a_hub_name_stays(tmp_path):
    (tmp_path / "own/model").mkdir(parents=True)
    own = load_study(put(tmp_path, SMALL + "model: own/model\n"))
    assert own.model == str(tmp_path / "own/model")
    for name in ("owner/model", "embedded"):
        assert load_study(put(tmp_path, SMALL + f"model: {name}\n")).model == name
    text = SMALL.replace("owner/comet", "own/model")
    assert load_study(put(tmp_path, text)).evaluation.comet == str(tmp_path / "own/model")


def test_overrides_replace_keys_and_none_keeps_them(tmp_path):
    path = put(tmp_path, SMALL + "seed: 7\n")
    study = load_study(path, seed=None, budget={"trials": 3})
    assert (study.seed, study.budget.trials) == (7, 3)
    assert load_study(path, seed=8).seed == 8
    with pytest.raises(ConfigError, match=r"study\.yaml: seed: .*found -1"):
        load_study(path, seed=-1)


WRONG = [
    ("modle: x\n", "unknown key modle; allowed here: name, model, template"),
    (
        "training: {method: lora}\n",
        "training.method: method is a parameter of recipes and belongs "
        r"into the space file \(--space\), searched or as one value, such as `method: lora`",
    ),
    ("training: {epoch: 2}\n", "unknown key training.epoch; allowed here: epochs, batch_examples"),
    ("training: {epochs: two}\n", "training.epochs: .*found 'two'"),
    ("training: {epochs: 0}\n", "training.epochs: .*greater than 0, found 0"),
    ("training: {schedule: cosin}\n", "training.schedule: .*'cosine', 'linear' or 'constant'"),
    ("objectives: {quality: max}\n", "`objectives` needs at least two"),
    ("objectives: {quality: up, retention: max}\n", "objectives.quality: .*'max' or 'min'"),
    (
        "objectives: {quality: max, cost.seconds: min}\nearly_stopping: {rungs: [0.2, 0.5]}\n",
        "'cost.seconds' has no value yet; drop one",
    ),
    ("name: again\n", r":10: key 'name' occurs twice"),
    ("training: {epochs: 1, epochs: 2}\n", r":10: key 'epochs' occurs twice"),
    ("a: [1\n", ":11: expected"),
    ("? [1, 2]\n: x\n", r":10: .*unhashable key"),
    ("model: {{corpora}}\n", r":10: .*unhashable key"),
    ("model: !!python/object/apply:os.system [exit]\n", r":10: .*constructor"),
    ("model: !!python/name:os.system\n", r":10: .*constructor"),
]


@pytest.mark.parametrize("line, message", WRONG)
def test_mistakes_name_file_and_key(tmp_path, line, message):
    with pytest.raises(ConfigError, match=rf"(?s)study\.yaml.*{message}"):
        load_study(put(tmp_path, SMALL.lstrip() + line))


def replaced(old, new):
    assert old in SMALL
    return SMALL.replace(old, new)


WRONG_WITHIN = [
    ("kind: parallel", "kind: pairs", "sources.0.kind: .*'mono', 'replay' or 'instruct'"),
    ("kind: parallel", "kind: parallel, columns: {fr: x}", "sources.0: .*'fr' .*: en"),
    ("languages: [en, uk]", "languages: [en]", "sources.0: .*needs 2 `languages`, found 1"),
    ("languages: [en, uk]", "languages: [en, ukrainian]", "sources.0.languages.1: .*'ukrainian'"),
    ("name: lines", "name: pairs", "`sources` has a name twice: 'pairs'"),
    ("kind: parallel, languages: [en, uk]", "kind: mono, languages: [en]", "one of kind parallel"),
    ("size: 10", "sise: 10", "key evaluation.quality.0.sise; allowed here: direction, path"),
    ("measure: few_shot, ", "", "key evaluation.abilities.few.measure is missing"),
    ("name: small\n", "", "key name is missing"),
    ("direction: en-uk, path", "direction: enuk, path", "quality.0.direction: .*found 'enuk'"),
]


@pytest.mark.parametrize("old, new, message", WRONG_WITHIN)
def test_mistakes_within_lists_and_tables(tmp_path, old, new, message):
    with pytest.raises(ConfigError, match=rf"(?s)study\.yaml: .*{message}"):
        load_study(put(tmp_path, replaced(old, new)))


def test_every_mistake_gets_a_line(tmp_path):
    with pytest.raises(ConfigError) as error:
        load_study(put(tmp_path, SMALL + "modle: x\nseed: -1\n"))
    lines = str(error.value).splitlines()
    assert len(lines) == 2 and all(line.startswith(str(tmp_path)) for line in lines)


@pytest.mark.parametrize("text", ["", "# only a comment\n", "- a\n", "text\n"])
def test_a_file_without_keys_is_an_error(tmp_path, text):
    with pytest.raises(ConfigError, match=r"study\.yaml: expected keys and values, found"):
        load_study(put(tmp_path, text))


def test_files_that_are_no_yaml(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        load_study(tmp_path / "nowhere.yaml")
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"name: caf\xe9\n")
    with pytest.raises(ConfigError, match=r"latin\.yaml: not valid UTF-8 \(byte 9\)"):
        load_study(path)
    path.write_bytes(b"name: \x07\n")
    with pytest.raises(ConfigError, match=r"latin\.yaml: not valid YAML"):
        load_study(path)


def test_an_unsafe_tag_runs_nothing(tmp_path):
    trap = tmp_path / "trap"
    text = f"a: !!python/object/apply:os.mkdir [{trap}]\n"
    with pytest.raises(ConfigError):
        read_yaml(put(tmp_path, text))
    assert not trap.exists()
    yaml.unsafe_load(text)
    assert trap.exists(), "else this file would prove nothing"


def test_numbers_with_an_exponent_need_no_point(tmp_path):
    """YAML 1.1 reads 1e-3 as text, which nobody means."""
    found = read_yaml(put(tmp_path, 'a: 1e-3\nb: -2E5\nc: 1.5e+2\nd: "1e-3"\ne: e5\nf: 1e\n'))
    assert found == {"a": 1e-3, "b": -2e5, "c": 150.0, "d": "1e-3", "e": "e5", "f": "1e"}


NAMED = [
    ("hub", "Unbabel/wmt22-comet-da", ("comet", "bleu", "chrf")),
    ("embedded", "embedded", ("comet", "bleu", "chrf")),
    ("none", "none", ("bleu", "chrf")),
]


@pytest.mark.parametrize("name, comet, metrics", NAMED)
def test_comet_is_what_the_study_names(tmp_path, name, comet, metrics):
    """Also where a folder beside it has one of our own names."""
    (tmp_path / "none").mkdir()
    (tmp_path / "embedded").mkdir()
    found = load_study(put(tmp_path, SMALL.replace("owner/comet", comet))).evaluation
    assert (found.comet, found.metrics) == (comet, metrics)
    assert Evaluation.model_validate(found.model_dump()) == found, "a run's folder keeps it"


MISSING = "`comet` is missing; give a COMET model .*`none` .*, or `embedded`"
UNNAMED = [
    ("  comet: owner/comet\n", "", MISSING),
    ("owner/comet", "null", MISSING),
    ("owner/comet", "none\n  metrics: [comet, chrf]", "`metrics` names comet, but `comet` is none"),
    ("owner/comet", "none\n  metrics: 3", "metrics: .*found 3"),
]


@pytest.mark.parametrize("old, new, message", UNNAMED)
def test_no_metric_stands_in_for_one_that_is_not_named(tmp_path, old, new, message):
    with pytest.raises(ConfigError, match=rf"study\.yaml: evaluation.*{message}"):
        load_study(put(tmp_path, replaced(old, new)))


BUDGETS = [
    ("", BASELINES),
    ("baselines: all", BASELINES),
    ("baselines: none", ()),
    ("baselines: []", ()),
    ("baselines: uniform", ("uniform",)),
    ("baselines: [uniform, parallel_only]", ("parallel_only", "uniform")),
]


@pytest.mark.parametrize("text, baselines", BUDGETS)
def test_baselines_are_chosen(tmp_path, text, baselines):
    found = load_study(put(tmp_path, f"{SMALL}budget: {{{text}}}\n")).budget
    assert found.baselines == baselines
    assert Budget.model_validate(found.model_dump(mode="json")) == found


@pytest.mark.parametrize("text", ["some", "[parallel]", "7", "{uniform: true}", "[[uniform]]"])
def test_a_baseline_that_there_is_not(tmp_path, text):
    with pytest.raises(
        ConfigError,
        match=r"budget\.baselines: expected all, none, or a list of parallel_only",
    ):
        load_study(put(tmp_path, f"{SMALL}budget: {{baselines: {text}}}\n"))


@pytest.mark.parametrize(
    "key, twice", [("reversion", "an alpha twice"), ("intermediate_checkpoints", "a share twice")]
)
def test_alphas_and_shares_lie_between_and_differ(key, twice):
    fields = make_study().evaluation.model_dump()
    for found, told in (([0.5, 0.5], twice), ([1.0], "less than 1"), ([0.0], "greater than 0")):
        with pytest.raises(ValueError, match=told):
            Evaluation.model_validate(fields | {key: found})


CONSTANT = "training: {schedule: constant, warmup: 0.1}\n"
EARLY = "  intermediate_checkpoints: [0.5, 0.25]\n"


@pytest.mark.parametrize("text, told", [
    (EARLY, r"`evaluation\.intermediate_checkpoints` holds 0\.5, which needs `training\.schedule: "
            r"constant`, found 'cosine': .* search a smaller `parallel_size`"),
    (f"{EARLY}training: {{schedule: linear}}\n", "found 'linear'"),
    (CONSTANT.join(("  intermediate_checkpoints: [0.5, 0.1]\n", "")),
     r"holds 0\.1, which lies within the warm-up \(`training\.warmup` 0\.1\); allowed: above 0\.1"),
])  # fmt: skip
def test_intermediate_checkpoints_need_a_rate_that_is_constant(tmp_path, text, told):
    with pytest.raises(ConfigError, match=told):
        load_study(put(tmp_path, SMALL + text))


def test_intermediate_checkpoints_are_points_after_those_of_reversion(tmp_path):
    study = load_study(put(tmp_path, f"{SMALL}{EARLY}  reversion: [0.75]\n{CONSTANT}"))
    assert study.evaluation.further_points == 3
    alone = study.evaluation.without_further_points()
    assert alone.further_points == 0
    assert study.model_copy(update={"evaluation": alone}) == load_study(
        put(tmp_path, SMALL + CONSTANT)
    )
