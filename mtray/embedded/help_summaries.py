"""A substitute for data of summarisation across languages, from LibreOffice's help: the article is
an English page without its introduction, and the summary is the introduction (the first paragraph)
of the same page in another language. An introduction says what the page is about, as a headline or
a lead does; it does not summarise everything in the article."""

from __future__ import annotations

from pathlib import Path

from mtray.embedded.help_blocks import Blocks
from mtray.embedded.help_corpora import Pages, split_of_page
from mtray.embedded.row_tables import Row, write_rows

LEAST_SUMMARY, LEAST_ARTICLE = 40, 200  # characters; shorter ones say too little
LONG = 600  # characters from which an article is long


def page_summary(english: Blocks, other: Blocks, most: int) -> tuple[str, str] | None:
    """Article and summary of a page; None where one of them is too short or the other language
    lacks the introduction. The article ends with its last block within `most` characters."""
    paragraphs = [key for key in english if key[0].startswith("par_id")]
    if not paragraphs or paragraphs[0] not in other:
        return None
    summary = other[paragraphs[0]]
    if summary == english[paragraphs[0]]:
        return None  # not translated
    article = ""
    for key in paragraphs[1:]:
        longer = f"{article} {english[key]}".strip()
        if len(longer) > most:
            break
        article = longer
    fits = len(article) >= LEAST_ARTICLE and len(summary) >= LEAST_SUMMARY
    return (article, summary) if fits else None


def summary_tables(english: Pages, other: Pages, code: str, most: int) -> dict[str, list[Row]]:
    """Rows with the article as `en`, the summary as `code` and the `document`: for training
    (`train`), and `short` and `long` articles of the held-out pages. A summary of a held-out page
    is in no row for training, and stands once."""
    found: dict[str, list[Row]] = {"short": [], "long": [], "train": []}
    known: set[str] = set()
    pages = sorted(english.keys() & other.keys(), key=lambda p: (split_of_page(p) == "train", p))
    for page in pages:
        texts = page_summary(english[page], other[page], most)
        if texts is None or texts[1] in known:
            continue
        known.add(texts[1])
        length = "long" if len(texts[0]) >= LONG else "short"
        name = "train" if split_of_page(page) == "train" else length
        found[name].append({"en": texts[0], code: texts[1], "document": page})
    return found


def write_summaries(folder: Path, english: Pages, others: dict[str, Pages], most: int) -> None:
    """Write `summaries.LANGUAGE.NAME.parquet` for every language and table."""
    for code, pages in others.items():
        for name, rows in summary_tables(english, pages, code, most).items():
            write_rows(rows, folder / f"summaries.{code}.{name}.parquet")
