"""`completion`: a script by which a shell completes commands, options and choices."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator

from mtray.compat.argparse import actions_of, commands_of

FUNCTION = """\
# completes `mtray`: {how}
_mtray() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}" words=""
    local command="${{COMP_WORDS[1]}}"
    if [ "$COMP_CWORD" -eq 1 ]; then
        words={commands}
    else
        case "$command $previous" in
{choices}
        esac
        [ -n "$words" ] || case "$command" in
{options}
        esac
    fi
    COMPREPLY=()
    case "$current" in
        -*) ;;
        *) [ "$COMP_CWORD" -gt 1 ] && COMPREPLY=($(compgen -f -- "$current")) ;;
    esac
    COMPREPLY+=($(compgen -W "$words" -- "$current"))
}}
complete -o filenames -F _mtray mtray
"""
HOW = {
    "bash": 'eval "$(mtray completion bash)" in ~/.bashrc',
    "zsh": 'eval "$(mtray completion zsh)" in ~/.zshrc',
}
ZSH = "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n"


def completion(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script for `bash` or `zsh`, from the parsers of all commands."""
    from mtray.sweep_command import parser as sweep_parser

    parsers = {**commands_of(parser), "sweep": sweep_parser()}
    options = {name: sorted(_words(found)) for name, found in parsers.items()}
    choices = [
        (f"{name} {option}", values)
        for name, found in parsers.items()
        for option, values in _choices(found)
    ]
    text = FUNCTION.format(
        how=HOW[shell],
        commands=shlex.quote(" ".join(sorted([*parsers, "--help", "--version"]))),
        choices=_cases(choices),
        options=_cases(list(options.items())),
    )
    return ZSH + text if shell == "zsh" else text


def _words(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Options, and what a positional argument may be."""
    for action in actions_of(parser):
        if action.help != argparse.SUPPRESS:
            yield from action.option_strings
            if not action.option_strings and action.choices:
                yield from map(str, action.choices)


def _choices(parser: argparse.ArgumentParser) -> Iterator[tuple[str, list[str]]]:
    for action in actions_of(parser):
        for option in action.option_strings if action.choices else ():
            yield option, list(map(str, action.choices or ()))


def _cases(found: list[tuple[str, list[str]]]) -> str:
    lines = [f"{shlex.quote(key)}) words={shlex.quote(' '.join(words))} ;;" for key, words in found]
    return "\n".join(f"            {line}" for line in lines)
