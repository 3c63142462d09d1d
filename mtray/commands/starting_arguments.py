"""The options of the commands by which a study begins. Imports no third-party package."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_sweep(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "options", nargs=argparse.REMAINDER, help="those of sweeps/ratio_search.py (sweep --help)"
    )


def add_init(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", help="folder or hub name of the model to train")
    add("--direction", metavar="SOURCE-TARGET", help="what to translate, such as de-en")
    add(
        "--parallel",
        nargs="+",
        action="append",
        default=[],
        metavar="FILE",
        help="parallel text: one file, one for each language (de=a.de en=a.en), a data set's "
        "folder or hf:NAME (may be given several times)",
    )
    add(
        "--mono",
        nargs="+",
        default=[],
        metavar="LANGUAGE=FILE",
        help="monolingual text, such as en=mono.txt (several)",
    )
    add(
        "--replay",
        nargs="+",
        default=[],
        metavar="FILE",
        help="prompts and answers of what the model should not forget (several)",
    )
    add(
        "--test",
        nargs="+",
        default=[],
        metavar="FILE",
        help="the segments that every trial is measured on, in the form of --parallel",
    )
    add(
        "--held-out",
        nargs="+",
        default=[],
        metavar="FILE",
        help="further segments, for the command test alone",
    )
    add(
        "--comet",
        metavar="NAME",
        help="COMET model: hub name, folder or none (default: Unbabel/wmt22-comet-da if it can be "
        "had)",
    )
    add("--name", help="name of the study (default: of the model and the direction)")
    add("--out", type=Path, default=Path("."), help="folder of both files (default: this one)")


def add_report(parser: argparse.ArgumentParser) -> None:
    from mtray.commands.arguments import add_run
    from mtray.commands.front_arguments import add_shown

    add_run(parser)
    add_shown(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder for the files")
