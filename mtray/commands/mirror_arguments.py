"""The options of `mirror`. Imports no third-party package."""

from __future__ import annotations

import argparse


def add_places(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--to", metavar="URI", help="copy the run to this place, such as s3://bucket/path")
    add("--from", metavar="URI", dest="source", help="restore the run from this place")
    add(
        "--replace",
        action="store_true",
        help="with --to: replace a copy there that is newer, or of another run",
    )
    add(
        "--without-damaged",
        action="store_true",
        help="with --from: leave out files whose objects are damaged",
    )
    add("--beside-sweep", action="store_true", help=argparse.SUPPRESS)
