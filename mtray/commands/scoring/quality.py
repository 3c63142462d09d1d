"""`score quality`: translations by string metrics and COMET models, with or without references."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mtray.commands.scoring.suite_scores import SuiteScores, parallel_lines
from mtray.errors import ConfigError

if TYPE_CHECKING:
    from mtray.evaluation.metrics.comet import CometScorer

TEXT = "Translations by BLEU, chrF, chrF++, spBLEU and COMET models"
DEFAULT = "bleu,chrf"
COMET_LONG = ("truncate", "sentences", "sliding")  # those of `evaluation.comet_long`


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--hyp", type=Path, required=True, help="translations, one per line")
    add("--src", type=Path, help="sources, one per line; for --comet")
    add(
        "--ref", type=Path, help="references, one per line; a reference-free COMET model needs none"
    )
    add("--docs", type=Path, help="document of each line; intervals then resample documents")
    add("--language", required=True, help="target language, such as de")
    add(
        "--metrics",
        help=f"comma-separated: bleu, chrf, chrf++, spbleu, spbleu101 (default: {DEFAULT})",
    )
    add("--comet", metavar="NAME", help="a checkpoint, its folder, a hub name, or embedded")
    add(
        "--comet-long",
        choices=COMET_LONG,
        default=COMET_LONG[0],
        help="how --comet scores lines that are longer than it reads: their beginning, or in parts",
    )


def measure(args: argparse.Namespace) -> SuiteScores:
    """The requested metrics over the lines of the files."""
    from mtray.data.testsets import require_text
    from mtray.evaluation.metrics import quality

    metrics = quality.string_metrics(_names(args), "--metrics", [args.language])
    if metrics and args.ref is None:
        raise ConfigError(f"--metrics {','.join(metrics)} needs --ref")
    files = {"hyp": args.hyp, "src": args.src, "ref": args.ref, "docs": args.docs}
    lines = parallel_lines(**{role: path for role, path in files.items() if path})
    for role, what in (("src", "source"), ("ref", "reference"), ("docs", "document")):
        require_text(lines.get(role, []), files[role], what)
    scorers = {"comet": _scorer(args)} if args.comet else {}
    nothing = [""] * len(lines["hyp"])
    clusters = quality.document_clusters(lines.get("docs"))
    segments = quality.Segments(
        lines.get("src", nothing), lines.get("ref", nothing), args.language, clusters
    )
    counts = {"segments": len(lines["hyp"]), "empty": sum(not h.strip() for h in lines["hyp"])}
    notes = []
    if "docs" in lines:
        counts["documents"] = len(set(lines["docs"]))
        if clusters is None:
            notes.append("too few documents to resample: intervals are over segments")
    values = quality.measure(segments, lines["hyp"], metrics, scorers)
    return SuiteScores(values, {name: float(count) for name, count in counts.items()}, notes)


def _names(args: argparse.Namespace) -> list[str]:
    """Metrics by name; only the COMET model where nothing else can be measured."""
    default = "" if args.comet and args.ref is None else DEFAULT
    text = default if args.metrics is None else args.metrics
    names = [name.strip() for name in text.split(",") if name.strip()]
    if "comet" in names and not args.comet:
        raise ConfigError("--metrics comet: say which model with --comet NAME")
    if not names and not args.comet:
        raise ConfigError("--metrics: none given; name some, or a model with --comet")
    return names


def _scorer(args: argparse.Namespace) -> CometScorer:
    from mtray.evaluation.metrics.comet import load_comet

    if args.src is None:
        raise ConfigError("--comet needs --src")
    scorer = load_comet(args.comet, "auto", args.comet_long)
    if scorer.references and args.ref is None:
        raise ConfigError(f"--comet {args.comet}: this model needs --ref")
    return scorer
