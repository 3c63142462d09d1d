"""The options of `front` and `export` that select what is shown."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mtray.commands.front import ViewOptions


def add_shown(parser: argparse.ArgumentParser) -> None:
    """Options for differences, their reference, and the study."""
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument(
        "--against",
        metavar="RECIPE",
        help="show differences from this recipe: base, parallel_only, another baseline's name, or "
        "a trial's number (default: base or, if that is not complete, the first baseline)",
    )
    shown.add_argument(
        "--absolute", action="store_true", help="show absolute values instead of differences"
    )
    parser.add_argument(
        "--study",
        type=Path,
        metavar="FILE",
        help="recompute under this study from stored scores and draws; RUN is not changed",
    )


def shown_of(args: argparse.Namespace) -> ViewOptions:
    """The view that the options of `add_shown` select."""
    from mtray.commands.front import ViewOptions

    return ViewOptions(args.against, args.absolute, args.study)


def add_front(parser: argparse.ArgumentParser) -> None:
    add_shown(parser)
    parser.add_argument(
        "--all",
        action="store_true",
        help="list every complete trial with objectives, abilities and recipe instead of the front",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead")
