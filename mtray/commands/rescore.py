"""`rescore`: the outputs of a run's trials measured with other metrics, without generating
again."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mtray.analysis.human_agreement import agreement_text
from mtray.analysis.uncertainty import ScoreDraws
from mtray.commands.kept_outputs import quality_directions
from mtray.commands.run_argument import run_folder
from mtray.errors import ConfigError, RunError
from mtray.evaluation.metrics.comet import load_comet
from mtray.evaluation.metrics.quality import COMET, CometScorer, string_metrics
from mtray.evaluation.rescoring import Rescorer, entries, paired
from mtray.files import READ_ONLY
from mtray.report.abilities import ability_sentences, ability_sets
from mtray.report.export import read_front
from mtray.report.printing import aligned
from mtray.report.records import read_records, write_json
from mtray.report.tables import score_text
from mtray.report.units import decimals, in_points
from mtray.retrain import find_record
from mtray.run_files import BASE_NUMBER, OUTPUTS_FILE, RESCORED_FILE, trial_dir, trial_name
from mtray.schema import NO_COMET, Score, Study, TrialRecord
from mtray.search.ledger.run_folder import load_bound


def rescore(path: Path, metrics: str, comet: str | None, trials: str | None) -> int:
    """Measure the kept outputs of complete trials, write `rescored.json` next to each record and
    print a table for each score. `metrics`: comma-separated names; `comet`: another model;
    `trials`: comma-separated numbers, or `front`; None: all.

    No `result.json` changes. Raises MtrayError when nothing is requested, a metric is not available
    or outputs cannot be used.
    """
    run_dir = run_folder(path)
    study, _ = load_bound(run_dir)
    records = chosen(run_dir, study, trials)
    rescorer = build_rescorer(study, metrics, comet)
    found: dict[int, dict[str, ScoreDraws]] = {}
    for record in records:
        file = trial_dir(run_dir, record.number) / OUTPUTS_FILE
        if file.is_file():
            print(f"trial {trial_name(record.number)} ...", file=sys.stderr, flush=True)
            found[record.number] = rescorer.measure(file)
    if not found:
        raise RunError(f"{run_dir}: none of the trials has kept its outputs ({OUTPUTS_FILE})")
    base = found.get(BASE_NUMBER)
    written = write_all(run_dir, found)
    without = [trial_name(r.number) for r in records if r.number not in found]
    lines = [line for name in next(iter(found.values())) for line in table(name, found, base)]
    if without:
        lines.append(f"note: no outputs are kept of: {', '.join(without)}")
    if base is None:
        lines.append("note: without the base model's outputs there are no differences")
    lines += changed([r for r in records if r.number in found], found)
    if kept := ability_sentences(ability_sets(records)):
        lines.append(f"note: abilities are not measured again. As recorded: {' '.join(kept)}")
    print("\n".join([*lines, written]))
    return 0


def write_all(run_dir: Path, found: Mapping[int, Mapping[str, ScoreDraws]]) -> str:
    """Write the scores of every trial next to its record; returns a line on where they are. A run
    that is only readable keeps none, and what was measured is still printed."""
    base = found.get(BASE_NUMBER)
    try:
        for number, measured in found.items():
            scores = entries(measured, None if number < 0 else base)
            write_rescored(trial_dir(run_dir, number), scores)
    except OSError as error:
        if error.errno not in READ_ONLY:
            raise
        return f"note: {run_dir} cannot be written ({error.strerror}), so the scores are not kept"
    return f"written: {run_dir}/trials/*/{RESCORED_FILE}"


def chosen(run_dir: Path, study: Study, trials: str | None) -> list[TrialRecord]:
    """The requested complete trials, the base model first. ConfigError or RunError naming one that
    does not exist or is not complete."""
    complete = [r for r in read_records(run_dir).records if r.state == "complete"]
    if trials is None:
        wanted = {r.number for r in complete}
    elif trials == "front":
        wanted = {*read_front(run_dir, study).front}
    else:
        named = [find_record(run_dir, part.strip()) for part in trials.split(",")]
        for record in named:
            if record.state != "complete":
                name = trial_name(record.number)
                raise RunError(f"{run_dir.name}: trial {name} is {record.state}, not complete")
        wanted = {record.number for record in named}
    return [r for r in complete if r.number in wanted | {BASE_NUMBER}]


def build_rescorer(study: Study, metrics: str, comet: str | None) -> Rescorer:
    """Metrics, models and segments, all checked before anything is measured."""
    names = [name.strip() for name in metrics.split(",") if name.strip()]
    if not names and comet is None:
        raise ConfigError("rescore: nothing to measure; give --metrics or --comet")
    evaluation = study.evaluation
    targets = [q.direction.split("-")[1] for q in evaluation.quality]
    strings = string_metrics(names, "--metrics", targets)
    scorers: dict[str, CometScorer] = {}
    if COMET in names and evaluation.comet == NO_COMET:
        raise ConfigError("--metrics comet: the study has `comet: none`; name a model with --comet")
    if COMET in names:
        scorers[COMET] = load_comet(evaluation.comet, "auto", evaluation.comet_long)
    if comet is not None:
        scorer = load_comet(comet, "auto", evaluation.comet_long)
        scorers[scorer.signature.split("|")[0].rsplit("/", 1)[-1]] = scorer
    directions = quality_directions(study)
    return Rescorer(directions, strings, scorers, evaluation.bootstrap, study.seed)


def write_rescored(folder: Path, new: Mapping[str, Any]) -> Path:
    """Merge scores into the trial's file, atomically; scores of other names in it are kept."""
    file = folder / RESCORED_FILE
    known: dict[str, Any] = {}
    if file.is_file():
        try:
            known = json.loads(file.read_text(encoding="utf-8"))["scores"]
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"{file}: not written by `rescore` ({error!r}); delete it") from None
    return write_json(file, {"scores": {**known, **new}})


def table(
    name: str, found: Mapping[int, Mapping[str, ScoreDraws]], base: Mapping[str, ScoreDraws] | None
) -> list[str]:
    """One score of every trial, with its paired difference from the base model."""
    rows = [("trial", "value", "difference from base", "")]
    scores = [measured[name].score for measured in found.values()]
    points = in_points(scores)
    for number, measured in found.items():
        score = measured[name].score
        row = (trial_name(number), score_text(score, scores), "", "")
        if base is not None and number != BASE_NUMBER:
            gap = paired(measured[name], base[name])
            row = (*row[:2], gap_text(gap, points), agreement_text(gap.signature, gap.value))
        rows.append(row)
    lines = aligned(rows)
    return [f"{name}  ({next(iter(found.values()))[name].score.signature})", *lines, ""]


def gap_text(gap: Score, points: bool) -> str:
    """A difference with its interval, such as `+0.0124 [+0.0031, +0.0213]`: a decimal more than its
    values have. `points`: whether the measure is in points, such as BLEU."""
    digits = decimals(points) + 1
    return f"{gap.value:+.{digits}f} [{gap.low:+.{digits}f}, {gap.high:+.{digits}f}]"


def changed(
    records: Sequence[TrialRecord], found: Mapping[int, Mapping[str, ScoreDraws]]
) -> list[str]:
    """A note where a score that is also in the record has a different value: the references or a
    library have changed."""
    moved = [
        f"{name} of {trial_name(record.number)}"
        for record in records
        for name, drawn in found[record.number].items()
        if name in record.scores
        and record.scores[name].signature == drawn.score.signature
        and abs(record.scores[name].value - drawn.score.value) > 1e-4
    ]
    if not moved:
        return []
    shown = ", ".join(moved[:4]) + (", ..." if len(moved) > 4 else "")
    return [
        f"note: no longer as recorded: {shown}; the test set's references or a library "
        "have changed since then, so compare the new values only with each other"
    ]
