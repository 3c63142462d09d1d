"""The options of every command. Imports no third-party package."""

from __future__ import annotations

import argparse
from pathlib import Path

from mtray.finite_numbers import local_folder, port_number
from mtray.run_files import RUNS


def add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="RUN", type=Path, help="run folder, such as runs/my-study")


def add_status(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    add_json(parser)


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def add_front(parser: argparse.ArgumentParser) -> None:
    from mtray.commands.front_arguments import add_front as add_front_options

    add_run(parser)
    add_front_options(parser)


def add_export(parser: argparse.ArgumentParser) -> None:
    from mtray.commands.front_arguments import add_shown

    add_run(parser)
    add_shown(parser)
    parser.add_argument("--out", type=Path, help="output folder (default: the run's)")
    parser.add_argument(
        "--all-columns",
        action="store_true",
        help="write all columns to front.csv, as to front.parquet (default: trial numbers, "
        "parameters that differ from their defaults, objectives)",
    )
    parser.add_argument(
        "--model",
        nargs=2,
        metavar=("NUMBER", "OUT"),
        help="export a trial's model instead, as a Hugging Face folder, from its kept weights or "
        "trained again as recorded",
    )
    parser.add_argument(
        "--merge", action="store_true", help="with --model: merge the adapter into the model"
    )
    parser.add_argument(
        "--recipe",
        metavar="NUMBER",
        help="export a trial's recipe and training examples instead, for the tool given by --to",
    )
    parser.add_argument(
        "--to",
        nargs=2,
        metavar=("TOOL", "OUT"),
        help="with --recipe: llamafactory, axolotl, trl or mtray, and the output folder",
    )


def add_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--study", type=Path, help="study file (default: the embedded study)")
    parser.add_argument(
        "--space", type=Path, help="search space (default: search_spaces/ratio.yaml)"
    )
    parser.add_argument("--model", help="folder or hub name, instead of the study's model")
    parser.add_argument(
        "--address", help="check for a sweep on this Ray cluster: auto, or HOST:PORT of its head"
    )
    add_json(parser)


def add_predict(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument(
        "recipe",
        metavar="KEY=VALUE",
        nargs="*",
        help="parameters that differ from the recommended recipe, such as mono_ratio=1 "
        "parallel_size=20000",
    )
    add_json(parser)


def add_explain(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("--out", type=Path, help="folder for the files (default: the run's)")


def add_proxy(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument(
        "--measure",
        type=_at_least_one,
        default=30,
        metavar="N",
        help="evaluate merged models for N mixtures: all recipes of the run, and further mixtures "
        "if there are fewer recipes (default: 30)",
    )
    parser.add_argument(
        "--rank",
        type=_at_least_one,
        default=200,
        metavar="N",
        help="rank N mixtures by scores interpolated between these (default: 200)",
    )


def add_rerun(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("trial", metavar="NUMBER", help="the trial's number, or base")
    parser.add_argument(
        "--seed",
        type=int,
        help="seed of the draw and the order of the examples (default: as recorded)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="folder for result.json and outputs.parquet (default: RUN/reruns/NUMBER-seedN)",
    )


def add_rescore(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument(
        "--metrics",
        default="",
        metavar="A,B",
        help="comet (the study's own), bleu, chrf, chrf++, spbleu, spbleu101",
    )
    parser.add_argument("--comet", metavar="NAME", help="another COMET model: hub name or folder")
    parser.add_argument(
        "--trials", metavar="N,M", help="trial numbers, or front (default: every complete trial)"
    )


def add_outputs(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument("trial", metavar="NUMBER", help="the trial's number, or base")
    parser.add_argument(
        "--against",
        default="base",
        metavar="NUMBER",
        help="the trial beside it: base, a number, or none (default: base)",
    )
    parser.add_argument(
        "--set",
        metavar="NAME",
        help="one evaluation set: a direction such as en-uk, or an ability's name (default: every "
        "direction)",
    )
    parser.add_argument(
        "--metric",
        default="chrf",
        choices=("chrf", "chrf++", "comet"),
        help="segment scores of translations (default: chrf)",
    )
    chosen = parser.add_mutually_exclusive_group()
    for order, text in (
        ("worst", "N segments that score lowest, compared with --against (default: 10)"),
        ("best", "N segments that score highest, compared with --against"),
        ("first", "the first N segments"),
    ):
        chosen.add_argument(f"--{order}", type=_at_least_one, metavar="N", help=text)
    parser.add_argument(
        "--label",
        default="",
        metavar="LABEL",
        help="only translations with this failure label, such as copy or off_target",
    )
    add_json(parser)


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, found {text!r}")
    return int(text)


def add_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths", metavar="RUN", type=Path, nargs="+", help="run folders, such as runs/my-study"
    )
    parser.add_argument(
        "--port", type=port_number, default=0, help="port of this machine (default: any free one)"
    )
    parser.add_argument("--beside-sweep", action="store_true", help=argparse.SUPPRESS)


def add_track(parser: argparse.ArgumentParser) -> None:
    from mtray.tracking.options import add_trackers

    add_run(parser)
    add_trackers(parser, "--to", "", required=True)
    parser.add_argument("--beside-sweep", action="store_true", help=argparse.SUPPRESS)


def add_mirror(parser: argparse.ArgumentParser) -> None:
    from mtray.commands.mirror_arguments import add_places

    add_run(parser)
    add_places(parser)


def add_control(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument(
        "what",
        choices=("stop-trial", "add-trials", "pause", "resume", "time-limit"),
        help="stop-trial NUMBER: end a trial at its next step; add-trials N: add N trials to the "
        "budget; pause: start no new trials until resume; time-limit 2h, 90m, 1h30m or off: start "
        "no new trials after this time from now",
    )
    parser.add_argument(
        "value", metavar="VALUE", nargs="?", help="trial number, number of trials, or time"
    )


def add_data(parser: argparse.ArgumentParser) -> None:
    from mtray.commands.data_arguments import add_actions

    add_actions(parser)


def add_score(parser: argparse.ArgumentParser) -> None:
    from mtray.commands.score import add_suites

    add_suites(parser)


def add_paper(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "paper",
        metavar="ID",
        nargs="?",
        help="the paper, such as 2405.20089 (default: list all presets)",
    )
    add(
        "--scale",
        choices=("tiny", "small", "full"),
        default="tiny",
        help="tiny: the embedded model, on two cores; small: a small real model; full: as "
        "published (default: tiny)",
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument(
        "--check", action="store_true", help="check the data and every run, and run nothing"
    )
    chosen.add_argument("--report", action="store_true", help="only print from finished runs")
    add(
        "--run",
        dest="run_names",
        metavar="RUN",
        action="append",
        default=[],
        help="only this run of the preset (may be given several times)",
    )
    add("--data", type=Path, help="folder of the files that the preset does not fetch")
    add("--model", help="folder or hub name, instead of the scale's model")
    add("--address", help="an existing Ray cluster: auto, or HOST:PORT of its head")
    add("--runs-dir", type=local_folder, default=RUNS, help="folder of all runs (default: runs)")


def add_completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh"), help="the shell")


def add_doctor(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--runs-dir", type=local_folder, default=RUNS, help="folder of all runs (default: runs)"
    )
    parser.add_argument(
        "--address",
        help="also check that every machine of this Ray cluster (auto, or HOST:PORT of its head) "
        "sees the runs folder and has the same code",
    )
    parser.add_argument(
        "--study",
        type=Path,
        help="with --address, also check that every machine has this study's models and programs",
    )
    parser.add_argument(
        "--mirror", metavar="URI", help="also write, read, list and delete an object at this place"
    )
    parser.add_argument(
        "--offline", action="store_true", help="do not query the package index for the corpora"
    )
    add_json(parser)
