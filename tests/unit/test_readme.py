"""What README and docs/ promise: their examples load, and they name every option, parameter and
key."""

import re
from pathlib import Path

import pytest

import mtray
from mtray.cli import _parser
from mtray.data.readers.sources import source_rows
from mtray.evaluation.abilities import ABILITIES
from mtray.evaluation.held_out import study_on_test
from mtray.evaluation.suite import build_suite
from mtray.schema import (
    AbilitySpec,
    Budget,
    EarlyStopping,
    Evaluation,
    Filters,
    Generation,
    Noise,
    QualitySet,
    Recipe,
    Resources,
    Source,
    Study,
    Training,
)
from mtray.search_space.space import load_space
from mtray.study import load_study
from mtray.sweep_command import arguments
from mtray.yaml_files import read_yaml

ROOT = Path(__file__).resolve().parents[2]
MARKDOWN = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINES = 130  # of README, at most
FILES = {
    "news.de": "Guten Tag.\nBis bald.\n",
    "news.en": "Good day.\nSee you.\n",
    "web.tsv": "german\tenglish\nJa.\tYes.\n",
    "mono.en.txt": "One.\nTwo.\n",
    "chat.jsonl": '{"prompt": "Hello", "target": "Hi"}\n',
    "dev.de": "Ja.\n",
    "dev.en": "Yes.\n",
    "test.de": "Nein.\n",
    "test.en": "No.\n",
    "back.tsv": "en\tde\nYes.\tJa.\n",
    "icl.tsv": "de\ten\nNein.\tNo.\n",
    "icl-shots.tsv": "de\ten\n" + "".join(f"Wort {i}\tword {i}\n" for i in range(9)),
    "heldout.jsonl": '{"body": "Es war einmal ein Text."}\n',
    "back-test.tsv": "en\tde\nNo.\tNein.\n",
    "icl-test.tsv": "de\ten\nJa.\tYes.\n",
    "heldout-test.jsonl": '{"body": "Es war keinmal ein Text."}\n',
}


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def example(first: str, name: str) -> str:
    """The one example of a page that begins so."""
    examples = re.findall(r"```yaml\n(.*?)```", text_of(name), re.DOTALL)
    (found,) = [text for text in examples if text.startswith(first)]
    return found


def whole_study() -> str:
    return example("name:", "docs/howto/own-data.md")


def loaded(text: str, folder: Path) -> Study:
    """A study that is shown, with its files."""
    (folder / "data").mkdir()
    for name, content in FILES.items():
        (folder / "data" / name).write_text(content, encoding="utf-8")
    (folder / "study.yaml").write_text(text, encoding="utf-8")
    return load_study(folder / "study.yaml")


def test_the_readme_is_short():
    assert len(text_of("README.md").splitlines()) <= LINES


def test_the_readmes_study_loads_with_its_files(tmp_path):
    text = example("name:", "README.md")
    assert len(text.splitlines()) <= 20
    study = loaded(text, tmp_path)
    sizes = {s.name: len(list(source_rows(s))) for s in study.sources}
    assert sizes == {"news": 2, "mono": 2, "chat": 1}
    suite = build_suite(study, FakeTokenizer())
    assert set(study.evaluation.abilities) | {"quality.de-en"} == set(suite.parts)


def test_the_study_loads_with_its_files(tmp_path):
    study = loaded(whole_study(), tmp_path)
    sizes = {s.name: len(list(source_rows(s))) for s in study.sources}
    assert sizes == {"news": 2, "web": 1, "mono": 2, "chat": 1}
    suite = build_suite(study, FakeTokenizer())
    assert set(study.evaluation.abilities) | {"quality.de-en"} == set(suite.parts)
    assert set(build_suite(study_on_test(study), FakeTokenizer()).parts) == set(suite.parts)


class FakeTokenizer:
    """A token for each character; perplexity's floor needs ids."""

    eos_token_id = 0

    def __call__(self, texts, **_):
        one = isinstance(texts, str)
        ids = [[ord(c) for c in t] for t in ([texts] if one else texts)]
        return {"input_ids": ids[0] if one else ids}

    def encode(self, text, **_):
        return [ord(c) for c in text]


def test_the_defaults_of_training_are_those_shown(tmp_path):
    (tmp_path / "study.yaml").write_text(whole_study(), encoding="utf-8")
    shown = read_yaml(tmp_path / "study.yaml")["training"]
    assert set(shown) == set(Training.model_fields)
    assert Training.model_validate(shown) == Training()


def test_the_defaults_of_filters_are_those_shown(tmp_path):
    (tmp_path / "study.yaml").write_text(whole_study(), encoding="utf-8")
    shown = read_yaml(tmp_path / "study.yaml")["filters"]
    assert set(shown) == set(Filters.model_fields)
    assert Filters.model_validate(shown) == Filters()


def test_the_space_loads(tmp_path):
    (tmp_path / "space.yaml").write_text(
        example("parallel_size:", "docs/reference/space.md"), encoding="utf-8"
    )
    space = load_space(tmp_path / "space.yaml")
    assert {*space.parameters, *space.fixed} == set(Recipe.model_fields)


MODELS = (
    Study, Source, QualitySet, AbilitySpec, Evaluation, Training, Resources, Budget, EarlyStopping,
    Noise, Generation,
)  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
def test_every_key_of_a_study_is_shown(model):
    study = whole_study()
    missing = [key for key in model.model_fields if not re.search(rf"\b{key}:", study)]
    assert missing == []


@pytest.mark.parametrize("name", Recipe.model_fields)
def test_every_parameter_has_a_row(name):
    """With what it means: the table is generated from the docstring."""
    page = text_of("docs/reference/space.md").split("## Recipe")[1].split("\n## ")[0]
    (meaning,) = re.findall(rf"^\| `{name}` \|.*\| ([^|]*) \|$", page, re.MULTILINE)
    assert meaning.strip()


@pytest.mark.parametrize("name", ABILITIES)
def test_every_measure_has_a_row(name):
    assert f"| `{name}` |" in text_of("docs/evaluation.md")


def test_every_option_of_the_sweep_has_a_row():
    options = [f"--{name.replace('_', '-')}" for name in vars(arguments([]))]
    shown = text_of("docs/reference/command-line.md")
    assert [o for o in options if f"| `{o}" not in shown] == []


def test_every_command_is_shown():
    (commands,) = (a.choices for a in _parser()._actions if a.dest == "COMMAND" or a.choices)
    examples, _ = text_of("docs/reference/command-line.md").split("<!-- generated: commands -->")
    assert [c for c in commands if f"python -m mtray {c}" not in examples] == []


def test_every_page_is_in_the_navigation_and_linked_from_the_readme():
    shown, nav = text_of("README.md"), text_of("mkdocs.yml")
    pages = [
        p.relative_to(ROOT / "docs").as_posix() for p in MARKDOWN if ROOT / "docs" in p.parents
    ]
    assert len(pages) > 10
    assert [p for p in pages if f": {p}\n" not in nav] == []
    assert [p for p in pages if f"(docs/{p})" not in shown] == []


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    local = [t for t in targets if "://" not in t]
    assert [t for t in local if not (page.parent / t).exists()] == []


NAMED = r"\b((?:mtray|benchmarks|tests|tools|sweeps|search_spaces)/[\w/.-]*\w)"
PAGES = [p for p in MARKDOWN if p.name != "CHANGELOG.md"]  # which names what there was


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_modules_that_are_named_are_there(page):
    text = page.read_text(encoding="utf-8")
    modules = [
        name.replace(".", "/")
        for name in re.findall(r"`(?:python -m )?(mtray\.[a-z_.]*[a-z_])", text)
    ]
    assert [f for f in re.findall(NAMED, text) if not (ROOT / f).exists()] == []
    modules = [m for m in modules if m.removeprefix("mtray/") not in mtray.__all__]
    # the last part may be a name within a module
    missing = [m for m in modules if not ((ROOT / m).is_dir() or is_file(m) or is_file(parent(m)))]
    assert missing == []


def is_file(module: str) -> bool:
    return (ROOT / f"{module}.py").is_file()


def parent(module: str) -> str:
    return module.rpartition("/")[0]


def test_pages_name_files():
    assert sum(len(re.findall(NAMED, p.read_text(encoding="utf-8"))) for p in PAGES) > 20
