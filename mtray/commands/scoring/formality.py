"""`score formality`: the register of translations, by CoCoA-MT's annotated references."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtray.commands.scoring.scored import Scored, aligned

TEXT = "Register of translations, by CoCoA-MT's annotated references"


def arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--hyp", type=Path, required=True, help="translations, one a line")
    add("--formal", type=Path, required=True, help="formal references with [F]...[/F]")
    add("--informal", type=Path, required=True, help="informal references with [F]...[/F]")
    add("--language", required=True, help="target language, such as de")
    add("--register", required=True, choices=("formal", "informal"), help="what was asked for")


def measure(args: argparse.Namespace) -> Scored:
    """Official and guarded accuracy of one register."""
    from mtray.evaluation.abilities.formality import one_register

    lines = aligned(hyp=args.hyp, formal=args.formal, informal=args.informal)
    values, counts = one_register(
        lines["hyp"], lines["formal"], lines["informal"], args.language, args.register
    )
    return Scored(values, counts)
