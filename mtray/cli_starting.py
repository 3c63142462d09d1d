"""The commands by which a study begins, and that which reports its end. Imports no third-party
package."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mtray.commands import starting_arguments as arguments
from mtray.commands.arguments import add_check
from mtray.commands.command import Command

# each command's module is imported only when it runs


def _init(args: argparse.Namespace) -> int:
    from mtray.commands.init import init

    return init(args)


def _check(args: argparse.Namespace) -> int:
    from mtray.commands.check import check

    return check(args.study, args.space, args.model, args.address, as_json=args.json)


def _report(args: argparse.Namespace) -> int:
    from mtray.commands.front_arguments import shown_of
    from mtray.commands.report import report

    return report(args.path, args.out, shown_of(args))


def run_sweep(argv: Sequence[str]) -> int:
    """The sweep with its own command line, as `sweeps/ratio_search.py` runs it."""
    from mtray.sweep_command import main

    return main(argv, "python -m mtray sweep")


def _sweep(args: argparse.Namespace) -> int:
    return run_sweep([*args.options, *["--debug"] * getattr(args, "debug", False)])


STARTING = (
    Command(
        "sweep",
        "Search recipes, or continue a search",
        arguments.add_sweep,
        _sweep,
    ),
    Command(
        "init",
        "Write a first study and its search space from a model and files",
        arguments.add_init,
        _init,
    ),
    Command(
        "check",
        "Read a study with all its files and report what is wrong",
        add_check,
        _check,
    ),
    Command(
        "report",
        "Write a report for a paper: HTML, Markdown, figures, a LaTeX table, methods",
        arguments.add_report,
        _report,
    ),
)
