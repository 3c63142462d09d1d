"""The generated pages of docs/reference: they are what the schema and the parsers make now."""

import importlib.util
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from mtray.schema import Frozen, Recipe

ROOT = Path(__file__).resolve().parents[2]


def tool(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


reference = tool("reference")
PAGES = sorted(reference.PAGES.glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_a_page_is_what_the_code_makes_now(page):
    text = page.read_text(encoding="utf-8")
    assert reference.renewed(text) == text, "out of date: run `make reference`"


def test_every_part_is_on_one_page():
    found = [name for p in PAGES for _, name, _ in reference.BLOCK.findall(p.read_text("utf-8"))]
    assert sorted(found) == sorted(reference.PARTS)


@pytest.mark.parametrize("name", ["study", "space", "records"])
def test_every_key_has_a_row(name):
    shown = {"study": reference.STUDY, "space": reference.SPACE, "records": reference.RECORDS}[name]
    page = (reference.PAGES / f"{name}.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE))
    missing = [
        f"{model.__name__}.{key}"
        for model in shown
        for key in model.model_fields
        if f"| `{key}` |" not in sections[model.__name__]
    ]
    assert missing == []


def test_check_fails_on_a_stale_page_and_writing_mends_it(tmp_path, monkeypatch):
    page = tmp_path / "space.md"
    page.write_text(
        "# Mine\n\n<!-- generated: space -->\nstale words\n<!-- end -->\n\nafter\n", "utf-8"
    )
    monkeypatch.setattr(reference, "PAGES", tmp_path)
    monkeypatch.setattr(reference, "ROOT", tmp_path)
    assert reference.main(["--check"]) == 1
    assert "stale words" in page.read_text(encoding="utf-8")
    assert reference.main([]) == 0
    assert reference.main(["--check"]) == 0
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# Mine\n") and text.endswith("\nafter\n") and "stale words" not in text


class Inner(BaseModel):
    number: int = 3


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int, "whole number"),
        (float | None, "number or null"),
        (Annotated[int, Field(ge=1, le=50)], "whole number (at least 1, at most 50)"),
        (Annotated[float, Field(gt=0, lt=1)], "number (above 0, below 1)"),
        (Literal["a", "b", "c"], "`a`, `b` or `c`"),
        (Literal["a"] | Literal["b", "c"] | None, "`a`, `b`, `c` or null"),
        (tuple[str, ...], "list of text"),
        (tuple[int, float], "[whole number; number]"),
        (dict[str, Any], "mapping of text to anything"),
        (Inner, "[Inner](#inner)"),
        (dict[str, Inner | None], "mapping of text to [Inner](#inner) or null"),
        (Recipe, "[Recipe](space.md#recipe)"),
        (Frozen, "Frozen"),
    ],
)
def test_types_in_words(annotation, words):
    assert reference.typed(annotation, [Inner]) == words


def test_a_type_without_words_is_an_error():
    with pytest.raises(TypeError, match="no words for"):
        reference.typed(complex, [])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ((), "[]"),
        ({}, "{}"),
        ("", '""'),
        ({"a": (1, 2.5)}, "{a: [1, 2.5]}"),
    ],
)
def test_defaults_as_yaml(value, text):
    assert reference.yaml_of(value) == text


def test_meanings_come_from_the_docstring():
    class Range(BaseModel):
        """What is allowed.

        - `low`, `high`: its ends; None: none. Both belong to it.
        - `other`: no field of it, stays.

        `step`: how far apart; `unit`: of all three. It goes on here."""

        low: float
        high: float
        step: float = 1.0
        unit: str = ""

    Range.__module__ = "mtray.made_up"
    prose, meanings = reference.described(Range)
    assert prose == ["What is allowed.", "- `other`: no field of it, stays.", "It goes on here."]
    assert meanings == {
        "low": "its ends; null: none. Both belong to it",
        "high": "its ends; null: none. Both belong to it",
        "step": "how far apart",
        "unit": "of all three",
    }


def test_a_row_keeps_its_cells_apart():
    assert (
        reference.table(("a", "b"), [("x|y", "one\ntwo")])
        == "| a | b |\n| --- | --- |\n| x\\|y | one two |"
    )
