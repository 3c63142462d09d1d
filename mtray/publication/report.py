"""The report of a run: its blocks, and its files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mtray.files import write_atomically
from mtray.publication import facts
from mtray.publication.document import (
    MISSING,
    Block,
    Figure,
    Heading,
    Table,
    as_html,
    as_markdown,
    latex_table,
    latex_text,
)
from mtray.publication.facts import Subject
from mtray.report.abilities import ability_sentences
from mtray.report.answer_text import answer_head, answer_lines
from mtray.report.compare import recipe_name
from mtray.report.displayed_scores import (
    points_on,
    reference_point,
    shown,
    shown_score,
    whose,
)
from mtray.report.front import Front
from mtray.report.number_text import chance_text
from mtray.report.parameters import parameter_text
from mtray.report.plots import figure_bytes, front_figure
from mtray.report.tables import shown_text, varied_parameters

# scores beside the measures of a study: parts, and shares of the base model's own
BESIDE = ("failures.", "cost.", "retention.")
FRONT, TABLE, METHODS = "front", "table.tex", "methods.tex"


def write_report(found: Subject, held_out: str, folder: Path) -> list[Path]:
    """Write `report.{html,md}`, `front.{svg,pdf}`, `table.tex` and `methods.tex`, atomically.
    `held_out`: a sentence on test segments. OSError where the folder cannot be written."""
    title = f"{found.front.study}: report of the search"
    blocks = list(report_blocks(found, held_out))
    paragraphs = facts.methods(found)
    figure = front_figure(found.front)
    content = {
        "report.html": as_html(title, blocks).encode(),
        "report.md": as_markdown(title, blocks).encode(),
        f"{FRONT}.svg": figure_bytes(figure, "svg"),
        f"{FRONT}.pdf": figure_bytes(figure, "pdf"),
        TABLE: latex_table(results_table(found.front), f"tab:{found.front.study}").encode(),
        METHODS: latex_text([*paragraphs, held_out]).encode(),
    }
    return [write_atomically(folder / name, data) for name, data in content.items()]


def report_blocks(found: Subject, held_out: str) -> Iterator[Block]:
    front = found.front
    if front.answer is not None:
        yield Heading("Answer")
        yield " ".join([*answer_head(front.answer), *answer_lines(front.answer)])
    yield Heading("Results")
    yield Figure(FRONT, f"The front of {front.study}: {front.searched} recipes searched.")
    yield results_table(front)
    yield recipe_table(front)
    yield Heading("Methods")
    yield from facts.methods(found)
    yield held_out
    yield from ability_sentences(front.abilities)
    yield source_table(found)
    yield measure_table(found)
    yield Heading("What a reader must know")
    yield from front.notes


def results_table(front: Front) -> Table:
    """The front and the baselines with intervals."""
    chosen = [p for p in front.points if p.on_front or p.role != "search"]
    chosen.sort(key=lambda p: (p.role == "search", p.number))
    rows = []
    for point in chosen:
        name = recipe_name(point.role, point.number) + (" (knee)" if point.knee else "")
        cells = [
            MISSING if score is None else shown_text(score)
            for score in (shown(front, point, o.name) for o in front.objectives)
        ]
        seeds = "" if point.role == "base" else str(point.replicates)
        rows.append([name, *cells, chance_text(point.p_front), seeds])
    head = ["recipe", *(o.name for o in front.objectives), "P(front)", "seeds"]
    labels = "; ".join(f"{o.name}: {' '.join(o.label.split())}" for o in front.objectives)
    caption = (
        f"{front.study}: baselines and front, with 95 % intervals. {_compared(front)} {labels}. "
        "P(front): probability of being on the front."
    )
    return Table(head, rows, caption, frozenset(range(1, len(head))))


def _compared(front: Front) -> str:
    reference = reference_point(front)
    if reference is None:
        return "All values are the recipes' own."
    return f"Values are minus {whose(reference)}, whose row shows its own."


def recipe_table(front: Front) -> Table:
    """The parameters of the recipes on the front, where they differ or are not the default."""
    chosen = [front.point(number) for number in front.front]
    names = varied_parameters([point.recipe for point in chosen])
    rows = [
        [recipe_name(p.role, p.number), *(parameter_text(p.recipe.get(n)) for n in names)]
        for p in chosen
    ]
    head = ["recipe", *names]
    return Table(head, rows, "Recipes on the front.", frozenset(range(1, len(head))))


def source_table(found: Subject) -> Table:
    held = facts.source_sizes(found.records)
    rows = [
        [
            source.name, source.kind, "-".join(source.languages) or "",
            f"{held[source.name]:,}" if source.name in held else MISSING,
            source.licence or MISSING,
        ]
        for source in found.study.sources
    ]  # fmt: skip
    head = ["source", "kind", "languages", "examples", "licence"]
    return Table(head, rows, "Sources of training examples.", frozenset({3}))


def measure_table(found: Subject) -> Table:
    """Every measure of the base model, or of the first recipe without it: segments, value and
    signature."""
    front = found.front
    base = min(front.points, key=lambda p: p.number)
    known = {**base.scores, **base.objectives}
    inner = (*(f"{name}." for name in found.study.evaluation.abilities), *BESIDE)
    rows = [
        [
            name, f"{score.n:,}", shown_text(shown_score(score, points_on(front, name))),
            score.signature or MISSING,
        ]
        for name, score in sorted(known.items())
        if name in base.objectives or not name.startswith(inner)
    ]  # fmt: skip
    head = ["measure", "units", recipe_name(base.role, base.number), "signature"]
    caption = "Measures with the number of independent units and the metric's signature."
    return Table(head, rows, caption, frozenset({1, 2}))
