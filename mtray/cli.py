"""`python -m mtray COMMAND`: check a study or the machine, inspect a run, or repeat a recipe.

Imports nothing heavy and no third-party package: `--help` is instant, and `doctor` runs where
packages are missing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from mtray.cli_errors import report_errors
from mtray.cli_running import RUNNING
from mtray.cli_starting import STARTING, run_sweep
from mtray.commands import arguments
from mtray.commands.command import Command
from mtray.errors import ConfigError
from mtray.streams import discard, entry_streams

DESCRIPTION = """\
`python -m mtray sweep` is the same as `python sweeps/ratio_search.py` (see its --help).

exit codes: 0 done; 1 doctor or status found something wrong (a damaged file, no measurement of the
base model, or failed trials and none complete); 2 invalid input, or a place that is full or cannot
be written, named in the message; 130 stopped by Ctrl-C"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code. SystemExit for --help and wrong options."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv[:1] == ["sweep"]:  # its options are a parser of their own, which imports more
        return run_sweep(argv[1:])
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        with entry_streams(), report_errors(getattr(args, "debug", False)) as outcome:
            outcome.code = args.run(args) if "run" in args else _without_command(parser, args)
            sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `| head`, has closed the pipe
        discard(sys.stdout)
        return 141
    return outcome.code


def _without_command(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    if args.version:
        from importlib.metadata import version

        print(f"mtray {version('mtray')}")
    else:
        parser.print_help()
    return 0


def _parser() -> argparse.ArgumentParser:
    debug = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    debug.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser = argparse.ArgumentParser(
        prog="python -m mtray",
        description=DESCRIPTION,
        parents=[debug],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in COMMANDS:
        text = command.text
        sub = commands.add_parser(command.name, help=text, description=f"{text}.", parents=[debug])
        sub.set_defaults(run=command.run)
        command.arguments(sub)
    return parser


# each command's module is imported only when it runs


def _front(args: argparse.Namespace) -> int:
    from mtray.commands.front import print_all, print_front
    from mtray.commands.front_arguments import shown_of

    show = print_all if args.all else print_front
    return show(args.path, shown_of(args), args.json)


def _export(args: argparse.Namespace) -> int:
    if bool(args.recipe) != bool(args.to):
        raise ConfigError("--recipe NUMBER and --to TOOL FOLDER are given together or not at all")
    if args.model and args.recipe:
        raise ConfigError("--model cannot be used with --recipe: give one of the two")
    if args.study and args.recipe:
        raise ConfigError("--study cannot be used with --recipe: a trial's rows are its run's")
    if args.recipe:
        from mtray.commands.export_recipe import export_recipe

        return export_recipe(args.path, args.recipe, args.to[0], Path(args.to[1]))
    if args.model and args.study:
        raise ConfigError(
            "--study cannot be used with --model: a model is exported as its run trained it"
        )
    if args.model:
        from mtray.commands.export_model import export_model

        return export_model(args.path, args.model[0], Path(args.model[1]), args.merge)
    from mtray.commands.front import export
    from mtray.commands.front_arguments import shown_of

    return export(args.path, args.out, shown_of(args), args.all_columns)


def _predict(args: argparse.Namespace) -> int:
    from mtray.commands.predict import predict

    return predict(args.path, args.recipe, args.json)


def _explain(args: argparse.Namespace) -> int:
    from mtray.commands.explain import explain

    return explain(args.path, args.out)


def _proxy(args: argparse.Namespace) -> int:
    from mtray.commands.proxy import proxy

    return proxy(args.path, args.measure, args.rank)


def _rerun(args: argparse.Namespace) -> int:
    from mtray.commands.rerun import rerun

    return rerun(args.path, args.trial, args.seed, args.out)


def _rescore(args: argparse.Namespace) -> int:
    from mtray.commands.rescore import rescore

    return rescore(args.path, args.metrics, args.comet, args.trials)


def _test(args: argparse.Namespace) -> int:
    from mtray.commands.held_out_test import run_test

    return run_test(args.path)


def _data(args: argparse.Namespace) -> int:
    if args.action == "generate":
        from mtray.commands.data_generate import generate

        return generate(args.study, args.model, args.force)
    from mtray.commands.data import run_data

    return run_data(args)


def _score(args: argparse.Namespace) -> int:
    from mtray.commands.score import print_score

    return print_score(args)


def _paper(args: argparse.Namespace) -> int:
    from mtray.commands.paper import PaperOptions, list_presets, paper

    if args.paper is None:
        if args.check or args.report or args.run_names:
            raise ConfigError("ID: is missing; `python -m mtray paper` lists the papers")
        return list_presets()
    action = "check" if args.check else "report" if args.report else "run"
    options = PaperOptions(
        args.scale, tuple(args.run_names), args.data, args.runs_dir, args.model, args.address
    )
    return paper(args.paper, options, action)


def _completion(args: argparse.Namespace) -> int:
    from mtray.commands.completion import completion

    print(completion(_parser(), args.shell), end="")
    return 0


def _doctor(args: argparse.Namespace) -> int:
    if args.study and not args.address:
        raise ConfigError(
            "--study is only used with --address: it checks every machine of a cluster; "
            f"`python -m mtray check --study {args.study}` checks the study on this machine"
        )
    from mtray.commands.doctor import doctor

    return doctor(args.runs_dir, args.offline, args.json, args.address, args.mirror, args.study)


COMMANDS = (
    *STARTING,
    *RUNNING,
    Command("front", "Print the front of a run", arguments.add_front, _front),
    Command(
        "export",
        "Write front.{csv,json,parquet,png,html} of a run",
        arguments.add_export,
        _export,
    ),
    Command(
        "predict",
        "Predict the scores of a recipe from a run, trained or not",
        arguments.add_predict,
        _predict,
    ),
    Command(
        "explain",
        "Show the effect of each parameter of a run, and how certain it is",
        arguments.add_explain,
        _explain,
    ),
    Command(
        "proxy",
        "Merge models trained on one source each, and compare them with a run's trials",
        arguments.add_proxy,
        _proxy,
    ),
    Command(
        "rerun",
        "Train and evaluate one recipe of a run again, without a sweep",
        arguments.add_rerun,
        _rerun,
    ),
    Command(
        "rescore",
        "Score a run's stored outputs with other metrics",
        arguments.add_rescore,
        _rescore,
    ),
    Command("test", "Measure the front on held-out test segments, once", arguments.add_run, _test),
    Command(
        "data",
        "Tokenise a study's sources, inspect rows, and count them",
        arguments.add_data,
        _data,
    ),
    Command(
        "score",
        "Score outputs that were made elsewhere and print JSON",
        arguments.add_score,
        _score,
    ),
    Command(
        "paper",
        "Run the experiments of a paper at some scale, and print its figures beside ours",
        arguments.add_paper,
        _paper,
    ),
    Command(
        "completion",
        "Print a script that completes commands and options in a shell",
        arguments.add_completion,
        _completion,
    ),
    Command(
        "doctor",
        "Report what is missing on this machine and how to get it",
        arguments.add_doctor,
        _doctor,
    ),
)
