"""`score technical`: translations of a specialised domain, by chrF, COMET and glossary terms."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtray.commands.scoring.suite_scores import SuiteScores, parallel_lines

TEXT = "Translations of a specialised domain, by chrF, COMET and glossary terms"


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--hyp", type=Path, required=True, help="translations, one per line")
    add("--src", type=Path, required=True, help="sources, one per line")
    add("--ref", type=Path, required=True, help="references, one per line")
    add("--docs", type=Path, help="document of each line; intervals then resample documents")
    add("--glossary", type=Path, help=".csv or .tsv; columns as in TICO-19, or source and target")
    add("--source-language", default="en", help="source language (default: en)")
    add("--language", required=True, help="target language, such as fr")
    add("--comet", metavar="NAME", help="a checkpoint, its folder, a hub name, or embedded")


def measure(args: argparse.Namespace) -> SuiteScores:
    """chrF, COMET if a model is given, and term accuracy if a glossary is."""
    from mtray.data.benchmarks.glossary import read_glossary
    from mtray.data.readers.paragraphs import one_line
    from mtray.data.testsets import require_text
    from mtray.evaluation.abilities.technical import measure_technical
    from mtray.evaluation.metrics import quality
    from mtray.evaluation.metrics.terminology import find_terms

    files = {"hyp": args.hyp, "src": args.src, "ref": args.ref, "docs": args.docs}
    lines = parallel_lines(**{role: path for role, path in files.items() if path})
    for role, what in (("src", "source"), ("ref", "reference"), ("docs", "document")):
        require_text(lines.get(role, []), files[role], what)
    sources, references = ([one_line(x) for x in lines[role]] for role in ("src", "ref"))
    hypotheses = [line.strip() for line in lines["hyp"]]
    clusters = quality.document_clusters(lines.get("docs"))
    counts = {"segments": float(len(hypotheses)), "empty": float(hypotheses.count(""))}
    terms, scorer, notes = None, None, []
    if args.glossary:
        languages = args.source_language, args.language
        terms = find_terms(read_glossary(args.glossary, *languages), sources, references, languages)
        counts |= terms.counts(hypotheses)
        if not terms.counted:
            notes.append("no term of the glossary is in a source and its reference")
    if "docs" in lines and clusters is None:
        notes.append("too few documents to resample: intervals are over segments")
    if args.comet:
        from mtray.evaluation.metrics.comet import load_comet

        scorer = load_comet(args.comet, device="auto")
    segments = quality.Segments(sources, references, args.language, clusters)
    return SuiteScores(measure_technical(segments, hypotheses, terms, scorer), counts, notes)
