"""`proxy`: how well merged models predict a run's trials, and mixtures ranked without training."""

from __future__ import annotations

import json
from pathlib import Path

from mtray.commands.predict import evidence_of
from mtray.commands.run_argument import run_folder
from mtray.errors import ConfigError, RunError
from mtray.merged_models import MergeSession, merged_records, pure_records
from mtray.report.console import new_console
from mtray.report.printing import print_lines
from mtray.report.proxy import ProxyRecords, compared_recipes, proxy_of, spread_mixtures
from mtray.report.proxy_text import proxy_lines
from mtray.report.records import read_records, write_json
from mtray.retrain import load_suite
from mtray.schema import Study, as_written
from mtray.search.ledger.run_folder import locked, make_run_dir, read_bound
from mtray.search_space.mixture_corners import corners
from mtray.separate_process import in_separate_process

FOLDER, RESULT, EVALUATION = "proxy", "proxy.json", "evaluation.json"


def proxy(path: Path, measured: int, ranked: int) -> int:
    """Train a model for each corner of the run's space, measure their weighted means at the
    recipes of the run and at further mixtures, `measured` in all, and rank `ranked` mixtures by a
    surface through them. Prints the correlations with the trials and writes `proxy.json`.

    What an earlier call measured is used. Raises MtrayError where the space searches anything but
    the mix, or the base model is not measured.
    """
    run_dir = run_folder(path)
    bound = read_bound(run_dir)
    pure = corners(bound.space)
    if len(pure) < 2:
        raise ConfigError(f"{run_dir}: the space has one mixture; nothing can be merged")
    study = as_written(bound.study)
    folder = run_dir / FOLDER
    tokenizer, suite = load_suite(study)
    session = MergeSession(
        run_dir, folder, study, as_written(bound.sources_study), bound.space, suite, tokenizer
    )
    session.base_outputs()
    make_run_dir(folder)
    with locked(folder):
        check_evaluation(folder, study)
        trained = pure_records(session, pure, in_separate_process)
        records = read_records(run_dir).sound()
        wanted = compared_recipes(records, bound.space).recipes
        further = [r for r in spread_mixtures(bound.space, measured) if r not in wanted]
        wanted += further[: max(0, measured - len(wanted))]
        merged = merged_records(session, pure, wanted, in_separate_process)
        known = evidence_of(run_dir, study)
        seeds = dict(zip(known.names, known.seed_deviation.tolist(), strict=True))
        all_records = ProxyRecords(records, trained, merged)
        found = proxy_of(all_records, bound.space, study.objectives, seeds, ranked)
        file = write_json(run_dir / RESULT, found.model_dump(mode="json"))
    print_lines([*proxy_lines(found), f"json: {file}"], new_console())
    return 0


def check_evaluation(folder: Path, study: Study) -> None:
    """RunError where the models there were measured by another evaluation than the run's, which may
    have changed since."""
    file, now = folder / EVALUATION, study.evaluation.model_dump(mode="json")
    if not file.is_file():
        write_json(file, now)
    elif json.loads(file.read_bytes()) != now:
        raise RunError(
            f"{folder}: its models were measured before the run's evaluation was changed; remove "
            "the folder and run this again"
        )
