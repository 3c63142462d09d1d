"""The command line of `data`. Imports no third-party package."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from mtray.finite_numbers import finite_number


def add_actions(parser: argparse.ArgumentParser) -> None:
    """A sub-command for each action."""
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True, dest="action")
    texts = {
        "build": "Tokenise every source that has no store yet, and summarise all stores",
        "peek": "Print rows as the model will see them, with the target (the tokens that "
        "contribute to the loss) in ⟦brackets⟧",
        "stats": "Examples, tokens and lengths of every source, and the mix of a recipe",
    }
    for name, text in texts.items():
        sub = actions.add_parser(name, help=text, description=f"{text}.")
        sub.add_argument("study", metavar="STUDY", type=Path, help="study file (YAML)")
        sub.add_argument("--source", metavar="NAME", help="one of the sources (default: all)")
        sub.add_argument("--model", help="folder or hub name, instead of the study's model")
        sub.add_argument(
            "--seed", type=int, help="seed that data draws depend on (default: the study's)"
        )
        if name == "build":
            sub.add_argument(
                "--space",
                type=Path,
                help="search space; all that its recipes can draw from is built, such as few-shot "
                "tables if its `few_shot_share` can exceed 0",
            )
            sub.add_argument(
                "--address",
                help="tokenise large sources on all machines of a Ray cluster: auto, or HOST:PORT "
                "of its head",
            )
        if name == "stats":
            sub.add_argument(
                "--space",
                type=Path,
                help="search space; also show the most examples that any of its recipes needs",
            )
        if name == "peek":
            sub.add_argument("--rows", type=int, default=3, help="rows per source (default: 3)")
        if name != "build":
            sub.add_argument(
                "--recipe",
                metavar="KEY=VALUE",
                nargs="+",
                default=[],
                help="draw the mix of this recipe, such as parallel_size=2000 mono_ratio=1",
            )
    _add_generate(actions)
    _add_clean(actions)


def _add_generate(actions: Any) -> None:
    text = "Generate the replay that sources take from the base model, and store it"
    generate = actions.add_parser("generate", help=text, description=f"{text}.")
    generate.add_argument("study", metavar="STUDY", type=Path, help="study file (YAML)")
    generate.add_argument("--model", help="folder or hub name, instead of the study's model")
    generate.add_argument("--force", action="store_true", help="generate replay even if it exists")


def _add_clean(actions: Any) -> None:
    text = "List the token stores of all studies, and delete those not used recently"
    clean = actions.add_parser("clean", help=text, description=f"{text}.")
    clean.add_argument(
        "--days",
        type=finite_number,
        default=30,
        help="delete stores not used for this many days (default: 30)",
    )
    clean.add_argument(
        "--max-gb",
        type=finite_number,
        help="also delete the least recently used, until at most this many GB are left",
    )
    clean.add_argument("--yes", action="store_true", help="delete (default: only list)")
