"""The commands by which a study begins. Imports no third-party package."""

from __future__ import annotations

import argparse

from mtray.commands import starting_arguments as arguments
from mtray.commands.command import Command

# each command's module is imported only when it runs


def _init(args: argparse.Namespace) -> int:
    from mtray.commands.init import init

    return init(args)


STARTING = (
    Command(
        "init",
        "Write a first study and its search space from a model and files",
        arguments.add_init,
        _init,
    ),
)
