"""`score summarisation`: summaries by chrF, ROUGE-L and length."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtray.commands.scoring.suite_scores import SuiteScores, parallel_lines

TEXT = "Summaries by chrF, ROUGE-L and length"


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--hyp", type=Path, required=True, help="summaries, one per line")
    add("--ref", type=Path, required=True, help="references, one per line")
    add("--language", required=True, help="language of the summaries, such as de")


def measure(args: argparse.Namespace) -> SuiteScores:
    """The measures of the ability `summarisation`."""
    from mtray.data.language_names import language_name
    from mtray.data.readers.paragraphs import one_line
    from mtray.data.testsets import require_text
    from mtray.evaluation.metrics.summaries import measure_summaries

    language_name(args.language)
    lines = parallel_lines(hyp=args.hyp, ref=args.ref)
    require_text(lines["ref"], args.ref, "reference")
    outputs, references = (list(map(one_line, lines[role])) for role in ("hyp", "ref"))
    counts = {"segments": float(len(outputs)), "empty": float(outputs.count(""))}
    return SuiteScores(measure_summaries(outputs, references, args.language), counts)
