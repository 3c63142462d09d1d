"""The commands by which a study begins, and that which reports its end. Imports no third-party
package."""

from __future__ import annotations

import argparse

from mtray.commands import starting_arguments as arguments
from mtray.commands.command import Command

# each command's module is imported only when it runs


def _init(args: argparse.Namespace) -> int:
    from mtray.commands.init import init

    return init(args)


def _report(args: argparse.Namespace) -> int:
    from mtray.commands.front_arguments import shown_of
    from mtray.commands.report import report

    return report(args.path, args.out, shown_of(args))


STARTING = (
    Command(
        "init",
        "Write a first study and its search space from a model and files",
        arguments.add_init,
        _init,
    ),
    Command(
        "report",
        "Write a report for a paper: HTML, Markdown, figures, a LaTeX table, methods",
        arguments.add_report,
        _report,
    ),
)
