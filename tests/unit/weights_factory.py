"""A study with three monolingual sources of different weights, and spaces that search these."""

from mtray.data.mixing import plan
from mtray.schema import Recipe, Source
from mtray.search_space.space import load_space


def source(name, kind="mono", weight=1.0, **keys):
    languages = {"parallel": ("en", "uk"), "mono": ("en",)}.get(kind, ())
    return Source(name=name, kind=kind, path="x.txt", languages=languages, weight=weight, **keys)


PAIRS = source("pairs", "parallel")
SOURCES = (PAIRS, source("web", weight=3), source("news"), source("books", weight=2))
NAMED = ("weight.web", "weight.news", "weight.books")
LINES = """
parallel_size: {type: int, low: 100, high: 1000, log: true}
mono_ratio: {type: float, low: 0.0, high: 2.0}
learning_rate: 0.001
"""
SHARES = "".join(f"{name}: {{type: share}}\n" for name in NAMED)


def space_of(folder, lines=SHARES, sources=SOURCES, defaults=None):
    (folder / "space.yaml").write_text(LINES + lines, encoding="utf-8")
    return load_space(folder / "space.yaml", defaults, sources)


def recipe(**weights):
    given = {f"weight.{name}": weight for name, weight in weights.items()}
    return Recipe.model_validate({"parallel_size": 60, "mono_ratio": 1.0, **given})


def counts(found, sources=SOURCES):
    return {part.source: part.count for part in plan(found, sources)}
