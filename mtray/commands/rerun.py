"""`rerun`: repeat one recipe of a run from its record, through the same code, without Ray."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

from mtray.analysis.human_agreement import agreement_text
from mtray.commands.run_argument import run_folder
from mtray.errors import ConfigError
from mtray.evaluation.output_files import read_outputs, write_outputs
from mtray.report.abilities import ability_sets, between_sides
from mtray.report.omissions import omissions
from mtray.report.printing import aligned
from mtray.report.records import write_json
from mtray.report.tables import score_text
from mtray.retrain import (
    find_record,
    load_suite,
    mix_notes,
    recorded_job,
    recorded_sources,
    train,
    version_changes,
)
from mtray.run_files import BASE_NUMBER, OUTPUTS_FILE, RESULT, trial_dir, trial_name
from mtray.schema import Score, TrialRecord, as_written
from mtray.search.ledger.run_folder import read_bound
from mtray.trial.divergence import divergence_plan
from mtray.trial.record import record_trial


def rerun(path: Path, trial: str, seed: int | None, out: Path | None) -> int:
    """Train and evaluate a recipe again and print old and new values side by side.

    Everything is as recorded, except the seed when one is given, which sets the draw and the order
    of the examples. The resamples of the intervals stay those of the study. Raises MtrayError when
    the record, its study or a file of it cannot be used, or when other examples would be drawn.
    """
    run_dir = run_folder(path)
    bound = read_bound(run_dir)
    study = as_written(bound.study)
    old = find_record(run_dir, trial)
    if seed is not None and seed < 0:
        raise ConfigError(f"--seed: expected 0 or more, found {seed}")
    job = recorded_job(old)
    if seed is not None:
        job = replace(job, seed=seed, replicate=0, of=None)
    folder = _folder(out or run_dir / "reruns" / f"{trial_name(old.number)}-seed{job.seed}")
    tokenizer, suite = load_suite(study)
    base = None
    if job.number != BASE_NUMBER:
        base = read_outputs(
            trial_dir(run_dir, BASE_NUMBER) / OUTPUTS_FILE, suite.requests, suite.parts
        )
    store = recorded_sources(as_written(bound.sources_study), old, job, tokenizer)
    started = time.perf_counter()
    divergence = divergence_plan(study, suite, lambda: base)
    outcome = train(job, study, store, suite.requests, divergence=divergence)
    new, _ = record_trial(job, study, suite, outcome, base)
    total = {"total": time.perf_counter() - started}
    new = new.model_copy(update={"seconds": new.seconds | total})
    write_outputs(folder / OUTPUTS_FILE, suite.parts, suite.requests, outcome.outputs)
    file = write_json(folder / RESULT, new.model_dump(mode="json"))
    print("\n".join([*side_by_side(old, new), f"record: {file}"]))
    return 0


def _folder(folder: Path) -> Path:
    """Created before the training, so that an error shows early."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {folder}: cannot be created ({error.strerror})") from None
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"--out {folder}: cannot be written; choose another folder")
    return folder


def side_by_side(old: TrialRecord, new: TrialRecord) -> list[str]:
    """Every objective, then every other score, of the record and of the rerun."""
    head = f"trial {trial_name(old.number)}: recorded (seed {old.seed}), now (seed {new.seed})"
    if old.state != "complete":
        ended = {"pruned": "was pruned at", "stopped": "was"}.get(old.state, "failed:")
        head += f"; the recorded trial {ended} {old.reason}"
    rows = [("", "recorded", "now", "difference")]
    before, after = old.scores | old.objectives, new.scores | new.objectives
    # scores that were measured then but not now have a row as well
    for name in dict.fromkeys([*new.objectives, *new.scores, *before]):
        score, earlier = after.get(name), before.get(name)
        change = difference_text(score, earlier) if score and earlier else ""
        was, now = (score_text(s) if s else "-" for s in (earlier, score))
        rows.append((name, was, now, change))
    lines = aligned(rows)
    changed = [*mix_notes(old, new), *version_changes(old.versions, new.versions)]
    sides = [ability_sets([record]) for record in (old, new)]
    said = (*between_sides(sides[0], sides[1], ("as recorded", "now")), *omissions([new]))
    return [head, *lines, *(f"note: {note}" for note in (*changed, *said))]


def difference_text(score: Score, earlier: Score) -> str:
    """The difference, and how often human raters would agree with it where that is known."""
    gap = score.value - earlier.value
    agreed = agreement_text(score.signature, gap) if score.signature == earlier.signature else ""
    return f"{gap:+.4f}" + (f"; {agreed}" if agreed else "")
