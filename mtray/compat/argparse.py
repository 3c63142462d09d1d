"""argparse's parsers, read: it has no public way to list a parser's options and commands."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence


def actions_of(parser: argparse.ArgumentParser) -> Sequence[argparse.Action]:
    """The options and positional arguments in their order, with that of the commands."""
    return tuple(parser._actions)


def commands_of(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    """The parsers of a parser's commands by name; empty without commands."""
    for action in actions_of(parser):
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}
