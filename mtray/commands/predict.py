"""`predict`: a run's prediction for a recipe, trained or not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mtray.commands.run_argument import run_folder
from mtray.report.answer_text import expected_sheet, prediction_head, prediction_sheet
from mtray.report.bootstrap_draws import draws_of
from mtray.report.console import new_console
from mtray.report.evidence import Evidence, evidence
from mtray.report.posterior import study_posterior
from mtray.report.prediction import predicted, recipe_near
from mtray.report.printing import print_json, print_lines, print_sheet
from mtray.report.records import read_records
from mtray.report.surface import modelled
from mtray.schema import Recipe, Study
from mtray.search.ledger.run_folder import load_bound
from mtray.search_space.space import Space


def predict(path: Path, pairs: Sequence[str], as_json: bool) -> int:
    """Print the prediction for the recipe of `key=value`; other parameters are those of the
    recommended recipe. RunError where the run has too few trials, ConfigError for a value outside
    its space."""
    run_dir = run_folder(path)
    study, space = load_bound(run_dir)
    found = evidence_of(run_dir, study)
    surface = modelled(found, space)
    start, where = starting_point(found, study, space)
    result = predicted(surface, recipe_near(pairs, start, space), study.objectives)
    if as_json:
        print_json(result)
        return 0
    console = new_console()
    print_lines([*prediction_head(result), f"parameters not given: as in {where}", ""], console)
    print_sheet(prediction_sheet(result), console)
    print_lines([""], console)
    print_sheet(expected_sheet(result.against), console)
    return 0


def evidence_of(run_dir: Path, study: Study) -> Evidence:
    """Raises RunError where a record is damaged, or there is nothing to compare yet."""
    records = read_records(run_dir).sound()
    return evidence(records, list(study.objectives), draws_of(run_dir), run_dir)


def starting_point(found: Evidence, study: Study, space: Space) -> tuple[Recipe, str]:
    """The recommended recipe and its name; if the base model is recommended, the first trained
    recipe."""
    best = study_posterior(found, study, space)
    number = best.numbers[best.choice.best or 1]
    return found.record(number).recipe, f"trial {number}"
