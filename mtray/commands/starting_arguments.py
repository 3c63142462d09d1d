"""The options of the commands by which a study begins. Imports no third-party package."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_sweep(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "options",
        nargs=argparse.REMAINDER,
        help="as for sweeps/ratio_search.py; listed by `mtray sweep --help`",
    )


def add_init(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--model", help="folder or hub name of the model to train")
    add("--direction", metavar="SOURCE-TARGET", help="translation direction, such as de-en")
    add(
        "--parallel",
        nargs="+",
        action="append",
        default=[],
        metavar="FILE",
        help="parallel text: one file, one for each language (de=a.de en=a.en), a data set's "
        "folder or hf:NAME (may be repeated)",
    )
    add(
        "--mono",
        nargs="+",
        default=[],
        metavar="LANGUAGE=FILE",
        help="monolingual text, such as en=mono.txt (one or more)",
    )
    add(
        "--replay",
        nargs="+",
        default=[],
        metavar="FILE",
        help="replay data: prompts and answers that the model should not forget (one or more)",
    )
    add(
        "--test",
        nargs="+",
        default=[],
        metavar="FILE",
        help="test set on which every trial is measured; formats as for --parallel",
    )
    add(
        "--held-out",
        nargs="+",
        default=[],
        metavar="FILE",
        help="held-out test set, used only by the command test",
    )
    add(
        "--comet",
        metavar="NAME",
        help="COMET model: hub name, folder or none (default: Unbabel/wmt22-comet-da if it is "
        "available)",
    )
    add("--name", help="name of the study (default: made of model and direction)")
    add(
        "--out",
        type=Path,
        default=Path("."),
        help="folder for both files (default: this one)",
    )


def add_report(parser: argparse.ArgumentParser) -> None:
    from mtray.commands.arguments import add_run
    from mtray.commands.front_arguments import add_shown

    add_run(parser)
    add_shown(parser)
    parser.add_argument("--out", type=Path, required=True, help="folder for the files")
