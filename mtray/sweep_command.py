"""The main job: from a study and a space to a front. `main` is its entry point, called by
`sweeps/ratio_search.py` and `mtray sweep`."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

from mtray.budget_options import with_options
from mtray.cli_errors import report_errors
from mtray.control_requests import answers, raised, standing
from mtray.errors import ConfigError
from mtray.finite_numbers import finite_number, local_folder, port_number
from mtray.mirror.address import checked_address
from mtray.mirror_process import mirrored_beside
from mtray.page_opening import open_page
from mtray.page_process import page_beside
from mtray.paths import shipped
from mtray.preparation import PreparedSweep, check_first, check_machine, checked
from mtray.report.console import new_console
from mtray.run_files import RUNS
from mtray.run_models import with_run_models
from mtray.schema import NAME_PATTERN, SIZE_OF, Study
from mtray.search.execution.cluster_address import check_address
from mtray.search.execution.console import say
from mtray.search.execution.ray_connection import end_process
from mtray.search.execution.ray_folder import check_lasting
from mtray.search_space.given_recipes import given_points
from mtray.search_space.space import Space, load_space
from mtray.streams import entry_streams
from mtray.study import load_study
from mtray.sweep_plan import allocation_of, plan_lines
from mtray.track_process import tracked_beside
from mtray.tracking.options import add_trackers
from mtray.tracking.trackers import check_trackers, chosen, use_mlflow_uri

DEFAULT_STUDY = shipped("sweeps") / "default.yaml"
DEFAULT_SPACE = shipped("search_spaces") / "ratio.yaml"


def parser(prog: str = "ratio_search.py") -> argparse.ArgumentParser:
    """The command line of the main job; `prog`: how it was called."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description="Search fine-tuning recipes. Running the same command again resumes the run.",
    )
    add = parser.add_argument
    add("--study", type=Path, default=DEFAULT_STUDY,
        help="study file (YAML; default: the embedded study)")  # fmt: skip
    add("--space", type=Path, default=DEFAULT_SPACE,
        help="search space (YAML; default: search_spaces/ratio.yaml)")  # fmt: skip
    add("--model", help="folder or hub name, instead of the study's model")
    add(
        "--trials",
        type=int,
        help="total number of trials, including this run's finished ones (the base model is extra)",
    )
    add(
        "--settle",
        type=finite_number,
        metavar="P",
        help="after the budget, run further trials until the answer holds with this probability; "
        "--trials is then the limit on all trials (default: half as many again)",
    )
    add("--name", help="name of the run (default: the study's name)")
    add(
        "--from",
        metavar="RUN",
        action="append",
        default=[],
        help="import the compatible finished trials of an earlier run (a path, or a name under "
        "--runs-dir; may be given several times)",
    )
    add(
        "--train-again",
        choices=("front", "all"),
        help="with --from and another evaluation: first train the trials again that lack answers "
        "and weights (of each run those on its front, or all), as trials of this run's budget",
    )
    add("--seed", type=int, help="seed of the study: data draws, order of the examples, search")
    add("--address", help="an existing Ray cluster: auto, or HOST:PORT of its head")
    add("--max-minutes", type=finite_number, help="start no trial after this time")
    add("--runs-dir", type=local_folder, default=RUNS,
        help="folder of all runs (default: runs)")  # fmt: skip
    add("--page", choices=("open", "on", "off"), default="open",
        help="serve a web page of the sweep on this machine: open it in a browser if the sweep is "
             "started at a desktop's terminal, only print its address (on), or none (default: "
             "open)")  # fmt: skip
    add(
        "--page-port",
        type=port_number,
        default=0,
        help="port of the web page (default: any free one)",
    )
    add(
        "--mirror",
        metavar="URI",
        help="copy the run to a bucket or another file system while it runs, such as "
        "s3://bucket/path, and restore it from there if the run folder is missing",
    )
    add_trackers(parser, "--track", "log the sweep while it runs, to ", required=False)
    add("--dry-run", action="store_true", help="check everything, print the plan, run nothing")
    add("--debug", action="store_true", help="show the traceback of an error")
    return parser


def arguments(
    argv: Sequence[str] | None = None, prog: str = "ratio_search.py"
) -> argparse.Namespace:
    return parser(prog).parse_args(argv)


def load(args: argparse.Namespace) -> tuple[Study, Space]:
    """Study and space with the command line's options applied. Reads only YAML, unless the study
    begins with the model of a run (`mtray.run_models`), which is written as a folder then."""
    if args.name is not None and not re.fullmatch(NAME_PATTERN, args.name):
        raise ConfigError(
            f"--name: expected letters, digits, '_', and after the first also '.' and '-', "
            f"found {args.name!r}"
        )
    if args.train_again and not vars(args)["from"]:
        raise ConfigError(f"--train-again {args.train_again}: needs --from RUN")
    if args.page_port and args.page == "off":
        raise ConfigError(f"--page-port {args.page_port}: there is no page with --page off")
    check_trackers(chosen(args.track), "--track", args.mlflow_uri)
    if args.mirror is not None:
        checked_address(args.mirror)
    if args.model and Path(args.model).expanduser().exists():
        args.model = str(Path(args.model).expanduser().resolve())
    study = load_study(args.study, model=args.model, seed=args.seed)
    study = with_run_models(study, args.runs_dir, print)
    study = study.model_copy(update={"budget": with_options(study.budget, args)})
    space = load_space(args.space, study.defaults, study.sources)
    if args.space == DEFAULT_SPACE:
        space = without_absent_kinds(space, study)
    given_points(space, study.budget.recipes)  # only to find errors
    return study, space


def without_absent_kinds(space: Space, study: Study) -> Space:
    """The default space without the amounts of text that the study has no source of."""
    there = {source.pool for source in study.sources}
    absent = {SIZE_OF[pool] for pool in ("mono", "replay") if pool not in there}
    kept = {name: p for name, p in space.parameters.items() if name not in absent}
    return space.model_copy(update={"parameters": kept})


def main(argv: Sequence[str] | None = None, prog: str = "ratio_search.py") -> int:
    args = arguments(argv, prog)
    with entry_streams(goes_on=True), report_errors(args.debug) as outcome:
        outcome.code = run_sweep(args)
    end_process(outcome.code)
    return outcome.code


def run_sweep(args: argparse.Namespace) -> int:
    """Run or continue the sweep of these arguments; returns the exit code. Raises MtrayError."""
    from mtray.search.ledger.base_model_check import check_base_model
    from mtray.search.ledger.moved_files import relocate
    from mtray.search.ledger.new_measurements import planned
    from mtray.search.ledger.rebinding import recomputed
    from mtray.search.ledger.run_folder import check_bound, locked_run
    from mtray.search.ledger.trial_plan import most_further, trial_plan
    from mtray.search.ledger.warm_start import checked_against_data, earlier_runs, inheriting

    console = new_console()
    started = time.monotonic()
    study, space = load(args)
    check_lasting(args.runs_dir)
    if args.address:
        check_address(args.address)
    else:
        check_machine(partial(say, console))
    name = args.name or study.name
    bring_back(args, args.runs_dir / name, partial(say, console))
    asked = answers(args.runs_dir / name)
    budget = raised(study.budget, standing(asked).total)
    if budget != study.budget:
        say(console, f"the budget was raised to {standing(asked).total} trials while the sweep ran")
        study = study.model_copy(update={"budget": budget})

    def ready(run_dir: Path) -> PreparedSweep:
        """Prepare this run, with the trials that `--from` imports; prints the plan."""
        bound = check_bound(run_dir, study, space)
        check_base_model(run_dir, study)
        for change in recomputed(run_dir, study, space):
            tell(f"changed: {change.text}")
        # `from` is a keyword, so it cannot be read as an attribute
        texts = vars(args)["from"]
        bound = inheriting(texts, args.runs_dir, run_dir, bound)
        earlier = earlier_runs(texts, args.runs_dir, name, bound)
        prepared = checked(study, space, tell, bound.sources_study, args.address)
        earlier = [checked_against_data(found, study, space, prepared.store) for found in earlier]
        earlier = [
            planned(found, study, prepared.suite, run_dir, args.train_again) for found in earlier
        ]
        imported = tuple(trial for run in earlier for trial in run.taken)
        prepared = replace(prepared, taken=imported, first=bound.evaluation)
        import_lines = [line for run in earlier for line in run.lines()]
        division = allocation_of(prepared, run_dir)
        for line in [*import_lines, *plan_lines(prepared)]:
            tell(line)
        for line in trial_plan(prepared, run_dir, division):
            tell(f"  {line}")
        return prepared

    run_dir, tell = args.runs_dir / name, partial(say, console)
    imports = bool(vars(args)["from"])
    concurrent = check_first(study, space, args.address, run_dir, imports, waits=not args.dry_run)
    if args.dry_run:
        from mtray.search.execution.time_estimate import estimate_lines

        prepared = ready(run_dir)
        division, further = allocation_of(prepared, run_dir), most_further(study.budget, run_dir)
        for line in estimate_lines(prepared, division, concurrent, tell, further):
            tell(line)
        return 0
    with (
        locked_run(args.runs_dir, name) as run_dir,
        mirrored_beside(args.mirror, run_dir, tell) as copying,
    ):
        for line in relocate(run_dir, study):
            tell(line)
        prepared = ready(run_dir)
        from mtray.search.execution.session import run_session

        use_mlflow_uri(args.mlflow_uri)

        def tell_page(line: str) -> None:
            tell(line)
            if args.page == "open":
                open_page(line)

        page = page_beside(run_dir, args.page_port, tell_page)
        shown = nullcontext() if args.page == "off" else page
        with shown, tracked_beside(run_dir, chosen(args.track), tell):
            code = run_session(prepared, run_dir, args.address, console, started)
    return copying.code(code) if copying else code


def bring_back(args: argparse.Namespace, run_dir: Path, tell: Callable[[str], None]) -> None:
    """With `--mirror`, restore the run if its folder is missing; with `--dry-run`, only say so."""
    if args.mirror is None:
        return
    from mtray.mirror.session import restorable, restore_missing

    if args.dry_run:
        tell(restorable(args.mirror, run_dir))
    else:
        restore_missing(args.mirror, run_dir.absolute(), tell)
