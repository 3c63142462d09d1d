"""Report of 004, tasks across languages: summaries in another language by rate, batch, epochs and
what is trained, of short and of long articles."""

from __future__ import annotations

import tempfile
from pathlib import Path

from mtray.embedded.help_corpora import read_pages
from mtray.embedded.help_packages import (
    HELP_VERSION,
    PACKAGES,
    check_version,
    fetch_package,
    help_version,
)
from mtray.embedded.help_summaries import write_summaries
from mtray.papers.forest import ForestPanel, forest_png
from mtray.papers.preset import Scale
from mtray.papers.results import PaperResults, Report, RunResults, difference_text, of, value_text
from mtray.report.printing import EMPTY, Sheet
from mtray.schema import Recipe, training_of

LANGUAGES = {"tiny": "es", "small": "de"}  # of the summaries; at full scale they are the user's
MOST_CHARACTERS = {"tiny": 1_000, "small": 3_000}  # of an article, which must fit the models
DONE = "complete"  # a file with the version of the packages, written last
MEASURES = ("quality", "short", "long")
CAPTION = (
    "Differences from the untouched model with 95 % intervals over segments and seeds; * marks "
    "those that exclude 0. quality: the metric on short articles; short, long: chrF."
)
SUBSTITUTE = (
    "These are not summaries written for the purpose: the introduction of a page of LibreOffice's "
    "help in another language serves as the summary of the rest of the English page. No published "
    "figures of 004 are available to compare with."
)


def prepare(folder: Path, data: Path | None, scale: Scale) -> None:
    """Articles and summaries from LibreOffice's help; at full scale they are the user's."""
    target = folder / scale
    if scale not in LANGUAGES:
        return
    if (target / DONE).is_file():
        check_version([(target / DONE).read_text().strip() or HELP_VERSION], target)
        return
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".made-") as scratch:
        codes = ("en", LANGUAGES[scale])
        found = [fetch_package(PACKAGES[code], Path(scratch)) for code in codes]
        pages = [
            read_pages(package, PACKAGES[code].folder)
            for package, code in zip(found, codes, strict=True)
        ]
        for package in filter(lambda package: package.note, found):
            print(f"note: {package.note}")
    write_summaries(target, pages[0], {codes[1]: pages[1]}, MOST_CHARACTERS[scale])
    (target / DONE).write_text(f"{help_version()}\n")


def report(found: PaperResults) -> Report:
    parts: list[Sheet | str] = [] if found.scale == "full" else [SUBSTITUTE]
    figures = {name: recipe_figure(run) for name, run in found.runs.items()}
    return Report([*parts, *(recipe_sheet(run, name) for name, run in found.runs.items())], figures)


def recipe_figure(run: RunResults) -> bytes:
    """A panel for each measure, a row for each recipe."""
    names = [name for name in MEASURES if of(run.base, name)]
    panels = [ForestPanel(n, [run.gain(record, n) for record in run.recipes]) for n in names]
    rows = []
    for record in run.recipes:
        training = training_of(record.recipe, run.study.training)
        rows.append(
            f"{what(record.recipe)}, rate {record.recipe.learning_rate:g}, "
            f"batch {training.batch_examples}, epochs {training.epochs:g}"
        )
    return forest_png(rows, panels, "Differences from the untouched model, 95 % intervals")


def recipe_sheet(run: RunResults, title: str) -> Sheet:
    """Every recipe's gain in every measure, beside the untouched model."""
    names = [name for name in MEASURES if of(run.base, name)]
    own = [of(run.base, name) for name in names]
    rows = [["untouched", *[EMPTY] * 4, *map(value_text, own)]]
    for record in run.recipes:
        training = training_of(record.recipe, run.study.training)
        rows.append([
            what(record.recipe), f"{record.recipe.learning_rate:g}", str(training.batch_examples),
            f"{training.epochs:g}", str(len(run.seeds(record))),
            *(difference_text(run.gain(record, name)) for name in names),
        ])  # fmt: skip
    head = ["trained", "rate", "batch", "epochs", "seeds", *names]
    return Sheet(head, rows, title=title, caption=CAPTION, left=frozenset({"trained"}), named=4)


def what(recipe: Recipe) -> str:
    """`all weights`, or the adapter's method and rank."""
    return "all weights" if recipe.method == "full" else f"{recipe.method}, rank {recipe.lora_rank}"
