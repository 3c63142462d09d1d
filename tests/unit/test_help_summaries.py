"""Articles and summaries from pages of LibreOffice's help."""

import pytest

from mtray.embedded.help_corpora import split_of_page
from mtray.embedded.help_summaries import LONG, page_summary, summary_tables

INTRODUCTION = "Opens a dialog in which objects are moved."
TRANSLATED = "Abre un diálogo en el que se mueven objetos."


def page(introduction, lengths, heading="Objects"):
    blocks = {("hd_id1", 0): heading, ("par_id0", 0): introduction}
    return blocks | {(f"par_id{i}", 0): "x" * n for i, n in enumerate(lengths, 1)}


OTHER = {("par_id0", 0): TRANSLATED}
CASES = {
    "headings are left out": (page(INTRODUCTION, [150, 150]), OTHER, 1000, 301),
    "ends with a whole block": (page(INTRODUCTION, [150, 150, 300]), OTHER, 600, 301),
    "too short an article": (page(INTRODUCTION, [150]), OTHER, 1000, None),
    "too long a first block": (page(INTRODUCTION, [700]), OTHER, 600, None),
    "no introduction there": (page(INTRODUCTION, [300]), {}, 1000, None),
    "not translated": (page(TRANSLATED, [300]), OTHER, 1000, None),
    "too short a summary": (page(INTRODUCTION, [300]), {("par_id0", 0): "Abre."}, 1000, None),
    "no paragraph": ({("hd_id1", 0): "Objects"}, OTHER, 1000, None),
}


@pytest.mark.parametrize("case", CASES)
def test_the_article_and_its_summary(case):
    english, other, most, length = CASES[case]
    found = page_summary(english, other, most)
    assert found == (None if length is None else (found[0], TRANSLATED))
    assert found is None or len(found[0]) == length


def test_held_out_pages_by_length_and_no_summary_twice():
    names = [f"page{i}.html" for i in range(200)]
    held = [n for n in names if split_of_page(n) != "train"][:3]
    train = [n for n in names if split_of_page(n) == "train"][:2]
    lengths = dict(zip([*held, *train], [[LONG], [LONG - 1], [300], [300], [300]], strict=True))
    english = {n: page(f"{INTRODUCTION} {n}", found) for n, found in lengths.items()}
    other = {n: {("par_id0", 0): f"{TRANSLATED} {n}"} for n in lengths}
    other[train[0]] = other[held[2]]  # the same summary as of a held-out page
    found = summary_tables(english, other, "es", 1000)
    documents = {name: [row["document"] for row in rows] for name, rows in found.items()}
    assert documents == {"long": held[:1], "short": sorted(held[1:]), "train": train[1:]}
    assert set(found["train"][0]) == {"en", "es", "document"}
