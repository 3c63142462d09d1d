"""`--study` of `front` and `export`: a run recomputed under another study. Read-only."""

from __future__ import annotations

from pathlib import Path

from mtray.errors import RunError
from mtray.report.bootstrap_draws import draws_of
from mtray.report.recomputed_trials import RecomputedRun, recompute_run
from mtray.report.records import read_records
from mtray.run_models import with_run_models
from mtray.schema import Study
from mtray.search.ledger.study_changes import (
    SAME_RUN,
    Need,
    StudyChange,
    change_lines,
    content,
    how_to_go_on,
    is_beyond,
    study_changes,
)
from mtray.study import load_study


def changed_run(
    run_dir: Path, bound: Study, path: Path
) -> tuple[Study, RecomputedRun, tuple[str, ...]]:
    """The study of a file, the run under it, and notes on what differs. RunError naming every
    change when one needs more than the run's trials have stored."""
    study = with_run_models(load_study(path), run_dir.parent)
    changes = study_changes(content(bound), content(study))
    if is_beyond(changes, (*SAME_RUN, Need.SEARCH)):
        raise RunError(
            f"--study {path}: cannot be recomputed from what {run_dir.name!r} has stored; it has"
            f"{change_lines(changes)}\n{how_to_go_on(run_dir.name, changes)}"
        )
    try:
        run = recompute_run(read_records(run_dir).sound(), bound, study, draws_of(run_dir))
    except RunError as error:
        raise RunError(f"--study {path}: {error}; the run has{change_lines(changes)}") from None
    # the trials' outputs and data draws are those of the run's own study
    return study, run, (*run.notes, _said(path, changes))


def _said(path: Path, changes: tuple[StudyChange, ...]) -> str:
    keys = ", ".join(change.key for change in changes) or "nothing"
    return f"Recomputed under {path}, which differs from the run's own study in: {keys}."
