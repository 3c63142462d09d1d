"""`score ctxpro`: whether translations contain the words that depend on context."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtray.commands.scoring.suite_scores import SuiteScores
from mtray.errors import DataError

TEXT = "Context-dependent words in translations, by ctxpro's items"


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--hyp", type=Path, required=True, help="translations, one item per line")
    add("--items", type=Path, required=True, help="the evaluation set, a JSON file")
    add("--target", required=True, help="target language, such as de")
    add(
        "--no-split",
        action="store_true",
        help="score whole lines: each line is the translation of one sentence without context",
    )


def measure(args: argparse.Namespace) -> SuiteScores:
    """The value of the ability `context`, with its components."""
    from mtray.data.benchmarks.ctxpro import read_items
    from mtray.data.readers.lines import read_lines
    from mtray.evaluation.metrics.context_matching import best_constant, judge, scored_texts

    items, lines = read_items(args.items), read_lines(args.hyp)
    if len(items) != len(lines):
        raise DataError(
            f"{args.items} has {len(items):,} items, {args.hyp} has {len(lines):,} lines; "
            "expected a line for each item"
        )
    split = not args.no_split
    judged = judge(items, lines, args.target, split)
    references = scored_texts([item.reference for item in items], args.target, split)
    constant = best_constant(items, references)
    return SuiteScores(
        {"value": judged.value(), **judged.extras()},
        judged.counts() | {"best_constant_right": float(constant)},
        judged.notes(),
    )
