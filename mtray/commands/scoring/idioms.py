"""`score idioms`: translations of idioms by COMET and by literalness."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mtray.commands.scoring.suite_scores import SuiteScores
from mtray.errors import ConfigError, DataError

if TYPE_CHECKING:
    from mtray.analysis.uncertainty import Measurement
    from mtray.data.benchmarks.idioms import Dictionary

TEXT = "Translations of idioms: COMET, a proxy of literalness, LitTER and Score_MWE"
SWITCHES = ("compounds", "partial", "fuzzy")


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--hyp", type=Path, required=True, help="translations, one per line")
    add("--src", type=Path, required=True, help="sources; IdiomsInCtx-MT's header is skipped")
    add("--ref", type=Path, required=True, help="references, read like the sources")
    add("--source-language", required=True, help="such as de")
    add("--target-language", required=True, help="such as en")
    add("--comet", metavar="NAME", help="a checkpoint, its folder, a hub name, or embedded")
    add("--dictionary", type=Path, help="lines of word TAB translation; for the proxy and LitTER")
    add("--reverse-dictionary", type=Path, help="dictionary of the other direction, added to it")
    add("--spans", type=Path, help="idioms in the sources, `label TAB [(start, end)]`; for LitTER")
    add("--ref-spans", type=Path, help="their spans in the references; for Score_MWE")
    add("--hyp-spans", type=Path, help="their spans in the translations; for Score_MWE")
    for switch in SWITCHES:
        add(f"--{switch}", action="store_true", help=f"{switch} matching in LitTER")


def measure(args: argparse.Namespace) -> SuiteScores:
    """chrF, and the metrics that the other files allow."""
    import numpy as np

    from mtray.data.benchmarks.idioms import has_header, read_dictionary
    from mtray.data.readers.lines import read_lines
    from mtray.data.readers.paragraphs import one_line
    from mtray.data.testsets import require_text
    from mtray.evaluation.abilities.idioms import clusters_of, gloss_counts, measure_idioms
    from mtray.evaluation.metrics.gloss import gloss
    from mtray.evaluation.metrics.quality import Segments

    _check(args)
    lines = _lines(args)
    for role, what in (("src", "source"), ("ref", "reference")):
        require_text(lines[role], getattr(args, role), what)
    sources, references = (list(map(one_line, lines[role])) for role in ("src", "ref"))
    languages = args.source_language, args.target_language
    pairs = has_header(read_lines(args.src))
    clusters = np.array(clusters_of(sources, references, languages, pairs), dtype=np.int64)
    counts = {"segments": float(len(sources)), "clusters": float(len(set(clusters.tolist())))}
    dictionary = None
    if args.dictionary:
        dictionary = read_dictionary(args.dictionary, args.reverse_dictionary)
        counts["dictionary_words"] = float(len(dictionary.entries))
        counts["dictionary_lines_skipped"] = float(dictionary.skipped)
    glosses = [gloss(text, dictionary) for text in sources] if dictionary else []
    scorer = None
    if args.comet:
        from mtray.evaluation.metrics.comet import load_comet

        scorer = load_comet(args.comet, device="auto")
    segments = Segments(sources, references, args.target_language, clusters)
    values = measure_idioms(segments, lines["hyp"], glosses, scorer)
    if glosses:
        counts |= gloss_counts(glosses, references)
    if args.spans and dictionary:
        _litter(args, lines, dictionary, values, counts)
    if args.ref_spans:
        _score_mwe(args, lines, values, counts)
    lower = [n for n in values if n.startswith(("litter", "literalness"))]
    return SuiteScores(values, counts, [f"lower is better: {', '.join(lower)}"] if lower else [])


def _check(args: argparse.Namespace) -> None:
    if args.spans and not args.dictionary:
        raise ConfigError("--spans: LitTER needs --dictionary")
    if args.reverse_dictionary and not args.dictionary:
        raise ConfigError("--reverse-dictionary needs --dictionary")
    if bool(args.ref_spans) != bool(args.hyp_spans):
        raise ConfigError("--ref-spans and --hyp-spans: Score_MWE needs both")
    for switch in SWITCHES:
        if getattr(args, switch) and not args.spans:
            raise ConfigError(f"--{switch} is an option of LitTER, which needs --spans")


def _lines(args: argparse.Namespace) -> dict[str, list[str]]:
    """The three texts without their headers; they must have the same length."""
    from mtray.data.benchmarks.idioms import without_header
    from mtray.data.readers.lines import read_lines

    paths = {"hyp": args.hyp, "src": args.src, "ref": args.ref}
    lines = {role: without_header(read_lines(path)) for role, path in paths.items()}
    if len({len(found) for found in lines.values()}) > 1 or not lines["hyp"]:
        counts = ", ".join(f"{paths[role]} has {len(found):,}" for role, found in lines.items())
        raise DataError(f"expected files with equally many sentences, at least one, found {counts}")
    return lines


def _litter(
    args: argparse.Namespace,
    lines: dict[str, list[str]],
    dictionary: Dictionary,
    values: dict[str, Measurement],
    counts: dict[str, float],
) -> None:
    """`litter.micro`, `litter.macro`, and the dictionary's coverage of the idioms."""
    from mtray.data.benchmarks.idioms import read_spans
    from mtray.evaluation.metrics.literalness import Matching, litter, verdicts

    marked = read_spans(args.spans, lines["src"])
    matching = Matching(**{switch: getattr(args, switch) for switch in SWITCHES})
    languages = args.source_language, args.target_language
    texts = lines["src"], lines["ref"], lines["hyp"]
    found = verdicts(texts, marked, languages, dictionary, matching)
    labels = [m.label if m else "" for m in marked]
    values |= {f"litter.{kind}": m for kind, m in litter(found, labels, matching).items()}
    kept = [(label, v) for label, v in zip(labels, found, strict=True) if v]
    counts |= {
        "litter.sentences": float(len(kept)),
        "litter.skipped": float(len(found) - len(kept)),
        "litter.errors": float(sum(v.error for _, v in kept)),
        "litter.labels": float(len({label for label, _ in kept})),
        "litter.idiom_words": float(sum(v.words for _, v in kept)),
        "litter.idiom_words_in_the_dictionary": float(sum(v.known for _, v in kept)),
        "litter.idioms_without_an_entry": float(sum(not v.known for _, v in kept)),
    }


def _score_mwe(
    args: argparse.Namespace,
    lines: dict[str, list[str]],
    values: dict[str, Measurement],
    counts: dict[str, float],
) -> None:
    from mtray.data.benchmarks.idioms import read_spans
    from mtray.evaluation.metrics.literalness import mwe_scores

    spans = [
        read_spans(path, lines[role])
        for path, role in ((args.ref_spans, "ref"), (args.hyp_spans, "hyp"))
    ]
    values["score_mwe"] = mwe_scores((lines["ref"], lines["hyp"]), spans, args.target_language)
    counts["score_mwe.sentences"] = float(len(values["score_mwe"].stats))
