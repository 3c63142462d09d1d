"""The main job: from a study and a space to a front. `sweeps/ratio_search.py` is a door to `main`
here."""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from mtray.budget_options import with_options
from mtray.cli_errors import report_errors
from mtray.errors import ConfigError
from mtray.parameters import shown
from mtray.schema import NAME_PATTERN, NO_COMET, Evaluation, Study
from mtray.search.live import say
from mtray.space import Space, load_space
from mtray.study import load_study

if TYPE_CHECKING:
    from mtray.search.division import Division

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_STUDY = ROOT / "sweeps" / "default.yaml"
Say = Callable[[str], None]
DEFAULT_SPACE = ROOT / "search_spaces" / "ratio.yaml"


def parser() -> argparse.ArgumentParser:
    """The options of the main job."""
    parser = argparse.ArgumentParser(
        prog="ratio_search.py",
        description="Search fine-tuning recipes; the same command run again continues the run.",
    )
    add = parser.add_argument
    add("--study", type=Path, default=DEFAULT_STUDY,
        help="what is fixed (YAML; default: the embedded study)")  # fmt: skip
    add("--space", type=Path, default=DEFAULT_SPACE,
        help="what varies (YAML; default: search_spaces/ratio.yaml)")  # fmt: skip
    add("--model", help="a folder or a hub name, instead of the study's model")
    add(
        "--trials",
        type=int,
        help="trials in all, finished ones of this run counted (the base model comes on top)",
    )
    add(
        "--settle",
        type=float,
        metavar="P",
        help="after the budget, spend further trials on what settles the answer, until it holds "
        "with this probability; --trials is then the most in all (default: half as many again)",
    )
    add("--name", help="name of the run (default: the study's name)")
    add(
        "--from",
        metavar="RUN",
        action="append",
        default=[],
        help="take over the finished trials of an earlier run that fit (a path, or a name under "
        "--runs-dir; may be given several times)",
    )
    add("--seed", type=int, help="seed of the study: draws, order of the examples, search")
    add("--address", help="an existing Ray cluster: auto, or HOST:PORT of its head")
    add("--max-minutes", type=float, help="start no trial after this time")
    add("--runs-dir", type=Path, default=Path("runs"), help="where runs are kept (default: runs)")
    add("--dry-run", action="store_true", help="check everything, print the plan, run nothing")
    add("--debug", action="store_true", help="show the traceback of an error")
    return parser


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    return parser().parse_args(argv)


@dataclass(frozen=True)
class Prepared:
    """A study that was checked, with everything its trials share, and trials of earlier runs.
    `seen`: what to know of evaluation texts in the sources. `first`: the evaluation that decides
    the sources' rows, where a new run has it from an earlier one."""

    study: Study
    space: Space
    store: dict[str, Any]
    suite: Any
    taken: tuple[Any, ...] = ()
    seen: tuple[str, ...] = ()
    first: Evaluation | None = None


def load(args: argparse.Namespace) -> tuple[Study, Space]:
    """Study and space with the command line's options put over them. Reads only YAML."""
    if args.name is not None and not re.fullmatch(NAME_PATTERN, args.name):
        raise ConfigError(
            f"--name: expected letters, digits, '_', and after the first also '.' and '-', "
            f"found {args.name!r}"
        )
    if args.model and Path(args.model).expanduser().exists():
        args.model = str(Path(args.model).expanduser().resolve())
    study = load_study(args.study, model=args.model, seed=args.seed)
    study = study.model_copy(update={"budget": with_options(study.budget, args)})
    return study, load_space(args.space, study.defaults)


def check_model(study: Study, space: Space) -> None:
    """The model is there and can be trained as the space wants; the sampler is known. Seconds,
    before any corpus is read."""
    from mtray.training.checks import check_recipes

    check_recipes(study, space)
    from mtray.search.samplers import check_sampler

    check_sampler(study.sampler)


def prepare(
    study: Study, space: Space, say: Say = lambda _: None, sources: Study | None = None
) -> Prepared:
    """Read and tokenise everything, and generate what sources replay of the model. `sources`: the
    study by which those are built, where the run was bound with another evaluation. Raises
    DataError or ConfigError before anything is started."""
    from mtray.data.few_shot import check_share
    from mtray.data.seen import later_lines
    from mtray.data.store import build_store, sums_by_recipe
    from mtray.evaluation.held_out import lacking, on_test
    from mtray.evaluation.names import check_measured
    from mtray.evaluation.suite import build_suite, with_dropped
    from mtray.replay import check_generated, with_replay
    from mtray.search.largest import check_held, largest_recipes
    from mtray.search.references import reference_recipes
    from mtray.training.models import load_tokenizer

    tokenizer = load_tokenizer(study.model, study.trust_remote_code)
    suite = build_suite(study, tokenizer)
    suite = with_dropped(suite, study, (sources or study).evaluation, tokenizer)
    check_measured(study, suite)
    if not lacking(study):  # read for mistakes only: `mtray test` alone asks them
        build_suite(on_test(study), tokenizer)
    largest = largest_recipes(space)
    check_generated(study, largest)
    generated = with_replay(sources or study, say)
    references = map(space.recipe, reference_recipes(space, study).values())
    share = max(recipe.few_shot_share for recipe in (*largest, *references))
    check_share(share, study.sources)
    store = build_store(generated, tokenizer, say=say, few_shot=share > 0)
    held = {name: len(table) for name, table in store.items()}
    fitting = reference_recipes(space, study, held, sums_by_recipe(study, store)).values()
    check_held([*largest, *map(space.recipe, fitting)], study, store)
    return Prepared(study, space, store, suite, seen=tuple(later_lines(study, generated)))


def check_metric(study: Study) -> None:
    """The quality metric, the further ones and the sentence encoder can be loaded."""
    from mtray.errors import ModelError
    from mtray.evaluation.comet import load_comet

    if study.evaluation.comet != NO_COMET:
        load_comet(study.evaluation.comet)
    if study.evaluation.embedder is not None:
        from mtray.evaluation.similarity import load_encoder

        load_encoder(study.evaluation.embedder)
    for name, model in study.evaluation.more_comet.items():
        try:
            load_comet(model)
        except ModelError as error:
            raise ModelError(f"`evaluation.more_comet.{name}`: {error}") from error


def checked(
    study: Study, space: Space, say: Say = lambda _: None, sources: Study | None = None
) -> Prepared:
    """Everything read and checked, the cheapest first; see `prepare`. Raises MtrayError."""
    from mtray.data.store import check_files

    check_files(study)
    check_model(study, space)
    prepared = prepare(study, space, say, sources)
    check_metric(study)
    return prepared


def plan_lines(prepared: Prepared) -> list[str]:
    """What a sweep would do: for --dry-run and at the start."""
    from mtray.evaluation.held_out import has_test, lacking
    from mtray.evaluation.suite import set_lines

    study, space = prepared.study, prepared.space
    lines = [f"study {study.name}: model {study.model}, seed {study.seed}, sampler {study.sampler}"]
    lines += [source_line(name, table) for name, table in prepared.store.items()]
    lines.append(
        f"  evaluation: {len(prepared.suite.requests):,} requests a trial, "
        f"{', '.join(study.evaluation.abilities)}"
    )
    lines += set_lines(prepared.suite)
    lines += [f"  note: {line}" for line in prepared.seen]
    if has_test(study) and (missing := lacking(study)):
        lines.append(f"  note: `mtray test` needs test segments for {', '.join(missing)} as well")
    lines += [f"  searched: {name} {p.text()}" for name, p in space.parameters.items()]
    if space.fixed:
        lines.append(f"  fixed: {', '.join(f'{k} {shown(v)}' for k, v in space.fixed.items())}")
    if rule := study.early_stopping:
        shares = ", ".join(f"{share:.0%}" for share in rule.rungs)
        asked = len(prepared.suite.part(rule.segments).requests)
        lines.append(f"  rungs: after {shares} of the steps, {asked:,} requests at each")
    return lines


def source_line(name: str, table: Any) -> str:
    """What trials draw from, and what filters and length left out on the way there."""
    told = [f"{table.available:,} examples"]
    long = {"over max_length": table.dropped} if table.dropped else {}
    for what, counts in (("left out", {**table.left_out, **long}), ("allowed", table.allowed)):
        if counts:
            by_filter = ", ".join(f"{why} {count:,}" for why, count in counts.items())
            told.append(f"{sum(counts.values()):,} {what}: {by_filter}")
    return f"  source {name}: {'; '.join(told)}"


def check_first(
    study: Study,
    space: Space,
    address: str | None,
    run_dir: Path | None = None,
    taken: Any = (),
    waits: bool = False,
) -> int:
    """What can be checked before any corpus is read: there is room for a trial, or the sweep
    `waits` for a cluster that grows, and the budget leaves some to search. How many trials fit at
    once. Raises MtrayError."""
    from mtray.search.division import checked_division
    from mtray.search.room import check_room, cluster, this_machine

    if not taken:  # which baselines these are is known once the sources are
        checked_division(study, space, run_dir)
    if address:
        return check_room(study, cluster(address), waits)
    return check_room(study, this_machine(study))


def division_of(prepared: Prepared, run_dir: Path | None = None) -> Division:
    """What the trials are spent on. ConfigError where the baselines leave too few to search."""
    from mtray.data.store import sums_by_recipe
    from mtray.search.division import checked_division

    study, held = prepared.study, {name: len(table) for name, table in prepared.store.items()}
    sums = sums_by_recipe(study, prepared.store)
    return checked_division(study, prepared.space, run_dir, prepared.taken, held, sums)


def main(argv: Sequence[str] | None = None) -> int:
    args = arguments(argv)
    with report_errors(args.debug) as outcome:
        outcome.code = _run(args)
    return outcome.code


def _run(args: argparse.Namespace) -> int:
    from mtray.search.plan import most_further, trial_plan
    from mtray.search.rebinding import recomputed
    from mtray.search.run_folder import check_bound, claimed
    from mtray.search.tuner import check_address
    from mtray.search.warmstart import inheriting, settled, surveys

    console = Console()
    started = time.monotonic()
    study, space = load(args)
    if args.address:
        check_address(args.address)
    name = args.name or study.name

    def ready(run_dir: Path) -> Prepared:
        """For this run, with what `--from` takes over; says what it would do."""
        bound = check_bound(run_dir, study, space)
        for change in recomputed(run_dir, study, space):
            tell(f"changed: {change.text}")
        # `from` is a keyword of the language, so no attribute by that name
        texts = vars(args)["from"]
        bound = inheriting(texts, args.runs_dir, run_dir, bound)
        earlier = surveys(texts, args.runs_dir, name, bound)
        prepared = checked(study, space, tell, bound.sources_study)
        earlier = [settled(found, study, space, prepared.store) for found in earlier]
        taken = tuple(one for found in earlier for one in found.taken)
        prepared = replace(prepared, taken=taken, first=bound.evaluation)
        said = [line for found in earlier for line in found.lines()]
        division = division_of(prepared, run_dir)
        for line in [*said, *plan_lines(prepared)]:
            tell(line)
        for line in trial_plan(prepared, run_dir, division):
            tell(f"  {line}")
        return prepared

    run_dir, tell = args.runs_dir / name, partial(say, console)
    taken = bool(vars(args)["from"])
    concurrent = check_first(study, space, args.address, run_dir, taken, waits=not args.dry_run)
    if args.dry_run:
        from mtray.search.estimate import estimate_lines

        prepared = ready(run_dir)
        division, further = division_of(prepared, run_dir), most_further(study.budget, run_dir)
        for line in estimate_lines(prepared, division, concurrent, tell, further):
            tell(line)
        return 0
    with claimed(args.runs_dir, name) as run_dir:
        prepared = ready(run_dir)
        from mtray.search.session import run_session

        return run_session(prepared, run_dir, args.address, console, started)
