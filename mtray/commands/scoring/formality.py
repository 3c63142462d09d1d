"""`score formality`: the register of translations, by CoCoA-MT's annotated references."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtray.commands.scoring.suite_scores import SuiteScores, parallel_lines

TEXT = "Register of translations, by CoCoA-MT's annotated references"


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--hyp", type=Path, required=True, help="translations, one per line")
    add("--formal", type=Path, required=True, help="formal references with [F]...[/F]")
    add("--informal", type=Path, required=True, help="informal references with [F]...[/F]")
    add("--language", required=True, help="target language, such as de")
    add("--register", required=True, choices=("formal", "informal"), help="requested register")


def measure(args: argparse.Namespace) -> SuiteScores:
    """Accuracy, guarded and strict accuracy and coverage of one register, in both forms."""
    from mtray.data.benchmarks.cocoa_mt import read_annotated
    from mtray.evaluation.metrics.cocoa_matching import one_register

    lines = parallel_lines(hyp=args.hyp, formal=args.formal, informal=args.informal)
    annotated = read_annotated(args.formal), read_annotated(args.informal)
    # stripped, as in the official scorer
    hypotheses = [line.strip() for line in lines["hyp"]]
    values, counts = one_register(hypotheses, annotated, args.language, args.register)
    notes = []
    if not counts["official.FORMAL"] + counts["official.INFORMAL"]:
        notes.append(
            "no output contains annotated phrases of only one register: the accuracy is 0, as in "
            "the official scorer"
        )
    return SuiteScores(values, counts, notes)
