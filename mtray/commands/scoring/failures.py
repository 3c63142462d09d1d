"""`score failures`: how many translations are off-target, copies, repetitive, empty, too short or
too long."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtray.commands.scoring.suite_scores import SuiteScores, parallel_lines

TEXT = "Shares of failed translations: off-target, copied, repeated, empty, too short, too long"


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--hyp", type=Path, required=True, help="translations, one per line")
    add("--src", type=Path, required=True, help="source texts")
    add("--ref", type=Path, required=True, help="references")
    add("--source-language", required=True, help="such as de")
    add("--target-language", required=True, help="such as en")


def measure(args: argparse.Namespace) -> SuiteScores:
    """Rates of both forms, 0 to 1, and how many outputs have each label, or have it as their
    first."""
    from mtray.data.language_names import language_name
    from mtray.evaluation.metrics.output_failures import FORMS, judge

    languages = (args.source_language, args.target_language)
    for code in languages:
        language_name(code)
    lines = parallel_lines(hyp=args.hyp, src=args.src, ref=args.ref)
    judged = judge(lines["src"], lines["hyp"], lines["ref"], *languages)
    values = {
        f"{form}.{kind}": measured
        for form in FORMS
        for kind, measured in judged.measurements(form).items()
    }
    notes = [
        f"{form}: off_target is not judged, since the detector does not know "
        f"{' or '.join(languages)}"
        for form in FORMS
        if "off_target" not in judged.kinds[form]
    ]
    return SuiteScores(values, judged.counts(), notes)
