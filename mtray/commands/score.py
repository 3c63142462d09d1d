"""`score`: score the outputs of another system, and print JSON."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mtray.commands.scoring import SUITES
from mtray.commands.scoring.suite_scores import as_json
from mtray.streams import json_text


def add_suites(parser: argparse.ArgumentParser) -> None:
    """A sub-command for each suite."""
    suites = parser.add_subparsers(title="suites", metavar="SUITE", required=True, dest="suite")
    for name, suite in SUITES.items():
        sub = suites.add_parser(name, help=suite.text, description=f"{suite.text}.")
        suite.arguments(sub)
        sub.add_argument(
            "--bootstrap", type=int, default=1000, help="resamples of an interval (default: 1000)"
        )
        sub.add_argument("--seed", type=int, default=1, help="seed of the resamples (default: 1)")


def print_score(args: argparse.Namespace) -> int:
    """Print one suite's scores as JSON. Raises MtrayError naming what is wrong."""
    from mtray.data.readers.remarks import collected

    with collected() as remarks:
        found = SUITES[args.suite].measure(args)
    found.notes.extend(remarks.lines())
    files = {key: str(value) for key, value in vars(args).items() if isinstance(value, Path)}
    printed = as_json(args.suite, files, found, args.bootstrap, args.seed)
    print(json_text(printed, sys.stdout))
    return 0
