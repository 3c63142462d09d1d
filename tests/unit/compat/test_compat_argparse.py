"""argparse's parsers, read."""

import argparse

from mtray.compat.argparse import actions_of, commands_of


def test_options_and_commands_are_listed():
    parser = argparse.ArgumentParser(prog="x")
    parser.add_argument("--size", choices=(1, 2))
    assert commands_of(parser) == {}
    commands = parser.add_subparsers()
    first = commands.add_parser("first")
    first.add_argument("path")
    assert [a.dest for a in actions_of(parser)] == ["help", "size", argparse.SUPPRESS]
    assert commands_of(parser) == {"first": first}
    assert [a.dest for a in actions_of(first)] == ["help", "path"]
