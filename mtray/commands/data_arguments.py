"""The command line of `data`; imports nothing that has to be installed."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_actions(parser: argparse.ArgumentParser) -> None:
    """A sub-command for each action."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True, dest="action")
    texts = {
        "build": "Tokenise every source that has no store yet, and say what the stores hold",
        "peek": "Rows as the model will see them; what the loss is taken on stands in ⟦brackets⟧",
        "stats": "Examples, tokens and lengths of every source, and the mix of a recipe",
    }
    for name, text in texts.items():
        sub = actions.add_parser(name, help=text, description=f"{text}.")
        sub.add_argument("study", metavar="STUDY", type=Path, help="a study's YAML file")
        sub.add_argument("--source", metavar="NAME", help="one of the sources (default: all)")
        sub.add_argument("--model", help="a folder or a hub name, instead of the study's model")
        sub.add_argument("--seed", type=int, help="seed of the study, which draws hang on")
        if name == "build":
            sub.add_argument(
                "--space",
                type=Path,
                help="what varies: tables for a `few_shot_share` above 0 are built as well",
            )
        if name == "stats":
            sub.add_argument(
                "--space", type=Path, help="what varies: the most that any of its recipes asks for"
            )
        if name == "peek":
            sub.add_argument("--rows", type=int, default=3, help="of each source (default: 3)")
        if name != "build":
            sub.add_argument(
                "--recipe",
                metavar="KEY=VALUE",
                nargs="+",
                default=[],
                help="draw by this recipe, such as parallel_size=2000 mono_ratio=1",
            )
    _add_generate(actions)
    _add_clean(actions)


def _add_generate(actions: Any) -> None:
    text = "Let the base model make the replay that sources want of it, and keep it"
    generate = actions.add_parser("generate", help=text, description=f"{text}.")
    generate.add_argument("study", metavar="STUDY", type=Path, help="what is fixed (YAML)")
    generate.add_argument("--model", help="a folder or a hub name, instead of the study's model")
    generate.add_argument("--force", action="store_true", help="make anew what is there already")


def _add_clean(actions: Any) -> None:
    text = "List the token stores of all studies, and take away those that were long not used"
    clean = actions.add_parser("clean", help=text, description=f"{text}.")
    clean.add_argument(
        "--days", type=float, default=30, help="not used for so many days (default: 30)"
    )
    clean.add_argument(
        "--max-gb", type=float, help="and the longest unused, until so many GB are left"
    )
    clean.add_argument("--yes", action="store_true", help="do it; without, they are only listed")
