"""`python -m mtray COMMAND`: check a study or the machine, look at a run, measure a recipe again.

Imports nothing heavy, and nothing that has to be installed: `--help` is instant, and `doctor` runs
where the packages are missing.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mtray.cli_errors import report_errors
from mtray.errors import ConfigError

DESCRIPTION = """\
The sweep itself is started with `python sweeps/ratio_search.py` (see its --help).

exit codes: 0 done; 1 doctor or status found something wrong (a damaged file, no measurement of the
base model, or failed trials and none complete); 2 a mistake in what was given, named in the
message; 130 stopped by Ctrl-C"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code. SystemExit for --help and wrong options."""
    args = _parser().parse_args(argv)
    try:
        with report_errors(getattr(args, "debug", False)) as outcome:
            outcome.code = args.run(args)
            sys.stdout.flush()
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return outcome.code


def _parser() -> argparse.ArgumentParser:
    debug = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    debug.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser = argparse.ArgumentParser(
        prog="python -m mtray", description=DESCRIPTION, parents=[debug],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=f"{text}.", parents=[debug])
        sub.set_defaults(run=run)
        return sub

    _add_check(command("check", _check, "Read a study with all its files and say what is wrong"))
    _add_run(command("status", _status, "What a run has done so far; also while it is running"))
    _add_front(command("front", _front, "Print the front of a run"))
    _add_export(command("export", _export, "Write front.{csv,json,parquet,png,html} of a run"))
    _add_predict(command("predict", _predict, "What a run predicts for a recipe, trained or not"))
    explain = command(
        "explain", _explain, "What each parameter of a run does, and how sure that is"
    )
    _add_run(explain)
    explain.add_argument("--out", type=Path, help="folder for the files (default: the run's)")
    _add_rerun(command("rerun", _rerun, "Train and measure one recipe of a run again, alone"))
    _add_rescore(command("rescore", _rescore, "Measure a run's kept outputs by other metrics"))
    _add_run(
        command("test", _test, "Measure the front on test segments that no trial has seen, once")
    )
    _add_data(command("data", _data, "Tokenise a study's sources, look at rows, count"))
    _add_score(command("score", _score, "Score outputs that were made elsewhere and print JSON"))
    _add_doctor(command("doctor", _doctor, "What is missing on this machine and how to get it"))
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="RUN", type=Path, help="run folder, such as runs/my-study")


def _add_front(parser: argparse.ArgumentParser) -> None:
    from mtray.commands.front_arguments import add_front

    _add_run(parser)
    add_front(parser)


def _add_export(parser: argparse.ArgumentParser) -> None:
    from mtray.commands.front_arguments import add_shown

    _add_run(parser)
    add_shown(parser)
    parser.add_argument("--out", type=Path, help="folder for the files (default: the run's)")
    parser.add_argument(
        "--model", nargs=2, metavar=("NUMBER", "OUT"),
        help="instead: a trial's model as a Hugging Face folder, trained again as recorded",
    )  # fmt: skip
    parser.add_argument(
        "--merge", action="store_true", help="with --model: the adapter merged into the model"
    )


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--study", type=Path, help="what is fixed (default: the embedded study)")
    parser.add_argument(
        "--space", type=Path, help="what varies (default: search_spaces/ratio.yaml)"
    )
    parser.add_argument("--model", help="a folder or a hub name, instead of the study's model")
    parser.add_argument(
        "--address", help="for a sweep on this Ray cluster: auto, or HOST:PORT of its head"
    )


def _add_predict(parser: argparse.ArgumentParser) -> None:
    _add_run(parser)
    parser.add_argument(
        "recipe", metavar="KEY=VALUE", nargs="*",
        help="what differs from the recommended recipe, such as mono_ratio=1 parallel_size=20000",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="the same as JSON")


def _add_rerun(parser: argparse.ArgumentParser) -> None:
    _add_run(parser)
    parser.add_argument("trial", metavar="NUMBER", help="the trial's number, or base")
    parser.add_argument(
        "--seed", type=int, help="another draw and order of the examples (default: as recorded)"
    )
    parser.add_argument(
        "--out", type=Path,
        help="folder for result.json and outputs.parquet (default: RUN/reruns/NUMBER-seedN)",
    )  # fmt: skip


def _add_rescore(parser: argparse.ArgumentParser) -> None:
    _add_run(parser)
    parser.add_argument(
        "--metrics", default="", metavar="A,B",
        help="comet (the study's own), bleu, chrf, chrf++, spbleu, spbleu101",
    )  # fmt: skip
    parser.add_argument("--comet", metavar="NAME", help="another COMET model: hub name or folder")
    parser.add_argument(
        "--trials", metavar="N,M", help="numbers, or front (default: every complete trial)"
    )


def _add_data(parser: argparse.ArgumentParser) -> None:
    from mtray.commands.data_arguments import add_actions

    add_actions(parser)


def _add_score(parser: argparse.ArgumentParser) -> None:
    from mtray.commands.score import add_suites

    add_suites(parser)


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs-dir", type=Path, default=Path("runs"), help="where runs are kept (default: runs)"
    )
    parser.add_argument(
        "--offline", action="store_true", help="do not ask the package index for the corpora"
    )


# each command's module is imported when it is run


def _check(args: argparse.Namespace) -> int:
    from mtray.commands.check import check

    return check(args.study, args.space, args.model, args.address)


def _status(args: argparse.Namespace) -> int:
    from mtray.commands.status import show_status

    return show_status(args.path)


def _front(args: argparse.Namespace) -> int:
    from mtray.commands.front import print_all, print_front
    from mtray.commands.front_arguments import shown_of

    show = print_all if args.all else print_front
    return show(args.path, shown_of(args), args.json)


def _export(args: argparse.Namespace) -> int:
    if args.model and args.study:
        raise ConfigError("--study: a model is exported as its run trained it; leave it out")
    if args.model:
        from mtray.commands.export_model import export_model

        return export_model(args.path, args.model[0], Path(args.model[1]), args.merge)
    from mtray.commands.front import export
    from mtray.commands.front_arguments import shown_of

    return export(args.path, args.out, shown_of(args))


def _predict(args: argparse.Namespace) -> int:
    from mtray.commands.predict import predict

    return predict(args.path, args.recipe, args.json)


def _explain(args: argparse.Namespace) -> int:
    from mtray.commands.explain import explain

    return explain(args.path, args.out)


def _rerun(args: argparse.Namespace) -> int:
    from mtray.commands.rerun import rerun

    return rerun(args.path, args.trial, args.seed, args.out)


def _rescore(args: argparse.Namespace) -> int:
    from mtray.commands.rescore import rescore

    return rescore(args.path, args.metrics, args.comet, args.trials)


def _test(args: argparse.Namespace) -> int:
    from mtray.commands.held_out import run_test

    return run_test(args.path)


def _data(args: argparse.Namespace) -> int:
    if args.action == "generate":
        from mtray.commands.generate import generate

        return generate(args.study, args.model, args.force)
    from mtray.commands.data import run_data

    return run_data(args)


def _score(args: argparse.Namespace) -> int:
    from mtray.commands.score import print_score

    return print_score(args)


def _doctor(args: argparse.Namespace) -> int:
    from mtray.commands.doctor import doctor

    return doctor(args.runs_dir, args.offline)
