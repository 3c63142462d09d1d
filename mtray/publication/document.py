"""A document without a format, and how it is written in three."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

MISSING = "not recorded"


@dataclass(frozen=True)
class Heading:
    text: str


@dataclass(frozen=True)
class Table:
    """- `numbers`: columns that are right-aligned, from the left, counted from 0."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    numbers: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Figure:
    """- `name`: of the files, without an ending."""

    name: str
    caption: str


Block = Heading | Table | Figure | str

STYLE = """\
body{font:16px/1.5 system-ui,sans-serif;color:#1d2127}
body{max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:1rem 0;font-size:.9rem;display:block;overflow-x:auto}
th,td{padding:.25rem .6rem;border-bottom:1px solid #d7dbe0;text-align:left;vertical-align:top}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
figure{margin:1rem 0}img{max-width:100%}
caption,figcaption{text-align:left;color:#4b535d;font-size:.9rem}
@media print{body{max-width:none;margin:0}}"""


def as_html(title: str, blocks: Iterable[Block]) -> str:
    """One page beside its figures; everything of the run is escaped."""
    body = "\n".join(map(_html, blocks))
    shown = html.escape(title)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{shown}</title>'
        f"<style>{STYLE}</style></head><body>\n<h1>{shown}</h1>\n{body}\n</body></html>\n"
    )


def _html(block: Block) -> str:
    if isinstance(block, str):
        return f"<p>{html.escape(block)}</p>"
    if isinstance(block, Heading):
        return f"<h2>{html.escape(block.text)}</h2>"
    if isinstance(block, Figure):
        name, caption = html.escape(block.name), html.escape(block.caption)
        shown = f'<img src="{name}.svg" alt="{caption}"><figcaption>{caption}</figcaption>'
        return f"<figure>{shown}</figure>"
    lines = [_html_row("th", block.head, block.numbers)]
    lines += [_html_row("td", row, block.numbers) for row in block.rows]
    caption = f"<caption>{html.escape(block.caption)}</caption>" if block.caption else ""
    return f"<table>{caption}\n" + "\n".join(lines) + "\n</table>"


def _html_row(tag: str, cells: Sequence[str], numbers: frozenset[int]) -> str:
    made = [
        f"<{tag}{' class=n' if place in numbers else ''}>{html.escape(cell)}</{tag}>"
        for place, cell in enumerate(cells)
    ]
    return f"<tr>{''.join(made)}</tr>"


def as_markdown(title: str, blocks: Iterable[Block]) -> str:
    return "\n\n".join([f"# {_plain(title)}", *map(_markdown, blocks)]) + "\n"


def _plain(text: str) -> str:
    """Text whose signs are shown, not obeyed."""
    return re.sub(r"([\\`*_{}\[\]<>|#])", r"\\\1", " ".join(text.split()))


def _markdown(block: Block) -> str:
    if isinstance(block, str):
        return _plain(block)
    if isinstance(block, Heading):
        return f"## {_plain(block.text)}"
    if isinstance(block, Figure):
        return f"![{_plain(block.caption)}]({block.name}.svg)"
    rule = ["---:" if place in block.numbers else "---" for place in range(len(block.head))]
    rows = [list(map(_plain, block.head)), rule, *(list(map(_plain, row)) for row in block.rows)]
    lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return f"{lines}\n\n{_plain(block.caption)}" if block.caption else lines


ESCAPES = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "−": "$-$", "±": r"$\pm$", "≥": r"$\geq$", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "·": r"$\cdot$", "→": r"$\rightarrow$",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}  # fmt: skip
COMMANDS = re.compile("|".join(map(re.escape, ESCAPES)))


def latex(text: str) -> str:
    """Text whose signs are shown, not obeyed; a minus before a digit is one."""
    return COMMANDS.sub(lambda found: ESCAPES[found[0]], re.sub(r"(?<![\w-])-(?=\.?\d)", "−", text))


def latex_table(table: Table, label: str) -> str:
    """A table of booktabs, to be input."""
    shape = "".join("r" if place in table.numbers else "l" for place in range(len(table.head)))
    rows = [f"{' & '.join(map(latex, row))} \\\\" for row in table.rows]
    lines = [
        "% needs \\usepackage{booktabs}",
        "\\begin{table}", "\\centering", "\\small",
        f"\\begin{{tabular}}{{{shape}}}", "\\toprule",
        f"{' & '.join(map(latex, table.head))} \\\\", "\\midrule", *rows, "\\bottomrule",
        "\\end{tabular}", f"\\caption{{{latex(table.caption)}}}", f"\\label{{{label}}}",
        "\\end{table}",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def latex_text(paragraphs: Iterable[str]) -> str:
    return "\n\n".join(map(latex, paragraphs)) + "\n"
