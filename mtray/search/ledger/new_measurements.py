"""What trials of an earlier run lack under the evaluation of this run's study, and what it takes to
measure it.

Every answer that a trial has stored is used again if this study has the same request; missing ones
are generated with its kept weights. Then all answers are scored as those of a new trial are, so its
values and bootstrap draws are paired with those of this run's trials, whatever sets share segments.
A trial that lacks answers and has no weights would have to be trained again (`--train-again`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from mtray.evaluation.suite import Suite
from mtray.report.export import read_front
from mtray.report.groups import measured
from mtray.report.printing import duration_text
from mtray.report.records import read_records
from mtray.run_files import BASE_NUMBER, FURTHER, OUTPUTS_FILE, trial_dir, trials_text
from mtray.schema import Study, TrialRecord
from mtray.search.ledger.earlier_trials import EarlierRun, EarlierTrial, digest
from mtray.search.ledger.kept_model import kept_weights
from mtray.search.ledger.moved_files import changed_files
from mtray.search.ledger.stored_answers import (
    counted_by_part,
    stored_answers,
    suite_of,
    unanswered,
)
from mtray.search.ledger.study_changes import Need, StudyChange

TrainAgain = Literal["front", "all"]
PRESENT = 10  # numbers of trials that a line shows


def measured_otherwise(
    run_dir: Path, changes: Iterable[StudyChange], records: Iterable[TrialRecord], now: Study
) -> tuple[str, ...]:
    """What an earlier run measured differently from this study, a line each; empty if the stored
    scores suffice."""
    lines = [f"{c.key}" for c in changes if c.needs == Need.MEASURE]
    files = changed_files(run_dir, now.evaluation.model_dump(mode="json"))
    lines += [f"{path} has other content" for path in files]
    complete = [measured(r) for r in records if r.state == "complete"]
    lacking = [n for n in _measurable(now) if any(n not in scores for scores in complete)]
    return (*lines, *(f"{name} was not measured" for name in lacking))


def _measurable(study: Study) -> list[str]:
    """The objectives and constraints that are scores of stored answers."""
    evaluation = study.evaluation
    metrics = {*evaluation.metrics, *evaluation.more_comet, *evaluation.more_metrics}
    names = dict.fromkeys([*study.objectives, *study.constraints])
    return [name for name in names if "." in name and name.split(".")[0] in metrics]


def imported_digests(run_dir: Path) -> set[str]:
    """The digests of the trials that a run has imported."""
    if not run_dir.is_dir():
        return set()
    return {digest(record) for record in read_records(run_dir).records if record.taken_from}


def family(trial: EarlierTrial) -> list[TrialRecord]:
    """The records of a trial and of the further points of its training that have values."""
    every = (trial.record, *(other.record for other in trial.reverted))
    return [record for record in every if record.objectives]


@dataclass(frozen=True)
class _Plan:
    """Trials of one earlier run by what they need.

    - `known`: nothing, since this run has imported them already.
    - `measured`: to be measured again, which is possible.
    - `lacking`: training, since they lack answers and weights.
    - `base`: requests for the base model, by evaluation set.
    - `asked`: how many requests a trial of that run answered.
    """

    known: list[EarlierTrial]
    measured: list[EarlierTrial]
    lacking: list[EarlierTrial]
    base: dict[str, int]
    asked: int


def planned(
    found: EarlierRun, study: Study, suite: Suite, run_dir: Path, again: TrainAgain | None
) -> EarlierRun:
    """The earlier run with what every trial needs before it can be imported into the run in
    `run_dir`. Reads files of the earlier run; generates and trains nothing. `again`: which of the
    trials that have to be trained again are trained first in this run."""
    if not found.anew or found.before is None:
        return found
    from mtray.training.models import load_tokenizer

    tokenizer = load_tokenizer(study.model, study.trust_remote_code)
    before, unread = suite_of(found.before, tokenizer)
    plan = _sorted_out(found, before, suite, imported_digests(run_dir))
    chosen = _to_train(found, plan.lacking, again)
    numbers = {trial.record.number for trial in chosen}
    lost = [trial for trial in plan.lacking if trial.record.number not in numbers]
    taken = [*plan.known, *plan.measured, *(replace(trial, again=True) for trial in chosen)]
    lines = [f"  measured anew: {', '.join(found.anew)}"]
    if unread:
        lines.append(f"  stored answers are not used, since its study cannot be read: {unread}")
    lines += [*_measured_lines(found, plan), *_again_lines(found, plan.lacking, chosen)]
    return replace(
        found,
        taken=tuple(sorted(taken, key=lambda trial: trial.record.number)),
        left_out=(*found.left_out, *map(_reason, lost)),
        plan=tuple(lines),
    )


def _sorted_out(found: EarlierRun, before: Suite | None, suite: Suite, have: set[str]) -> _Plan:
    known: list[EarlierTrial] = []
    able: list[EarlierTrial] = []
    lacking: list[EarlierTrial] = []
    for trial in found.taken:
        if trial.known_by in have:
            known.append(replace(trial, asked=None))
            continue
        asked, answerable = dict[str, int](), True
        for record in family(trial):
            missing = _missing(found.run_dir, record.number, before, suite)
            answerable &= not missing or kept_weights(found.run_dir, record) is not None
            asked = _added(asked, missing)
        (able if answerable else lacking).append(replace(trial, asked=asked))
    base = _missing(found.run_dir, BASE_NUMBER, before, suite)
    count = len(set((before or suite).requests))
    return _Plan(known, able, lacking, base, count)


def _missing(run_dir: Path, number: int, before: Suite | None, suite: Suite) -> dict[str, int]:
    file = trial_dir(run_dir, number) / OUTPUTS_FILE
    return counted_by_part(suite, unanswered(suite, stored_answers(file, before)))


def _added(a: Mapping[str, int], b: Mapping[str, int]) -> dict[str, int]:
    return {part: a.get(part, 0) + b.get(part, 0) for part in (*a, *b)}


def _to_train(
    found: EarlierRun, lacking: Sequence[EarlierTrial], again: TrainAgain | None
) -> list[EarlierTrial]:
    """Those that the option selects. Baselines and repeats are never among them: a run trains its
    own."""
    searched = [t for t in lacking if t.record.role == "search" and not t.record.replicate]
    if again != "front":
        return searched if again else []
    front = _front(found)
    return [trial for trial in searched if trial.record.number in front]


def _front(found: EarlierRun) -> set[int]:
    """The trainings behind the front of the earlier run, under its own study."""
    assert found.before is not None
    points = read_front(found.run_dir, found.before).points
    return {number % FURTHER for p in points if p.on_front for number in p.trials if number >= 0}


def _measured_lines(found: EarlierRun, plan: _Plan) -> list[str]:
    lines = []
    if plan.known:
        lines.append(f"  {_named(plan.known)}: imported by an earlier start")
    scored = [trial for trial in plan.measured if not trial.asked]
    asked = [trial for trial in plan.measured if trial.asked]
    if scored:
        lines.append(f"  {_named(scored)}: scored anew from stored answers")
    if asked:
        seconds = sum(_seconds(trial, plan.asked) for trial in asked)
        lines.append(
            f"  {_named(asked)}: {_requests(asked)} on kept weights, before the sweep and on this "
            f"machine, about {duration_text(seconds)}"
        )
    if plan.base and plan.measured:
        lines.append(f"  base model: answers {_sets(plan.base)}")
    return lines


def _again_lines(
    found: EarlierRun, lacking: Sequence[EarlierTrial], chosen: Sequence[EarlierTrial]
) -> list[str]:
    """On the trials that have to be trained again: what is trained, or the option that does so."""
    if chosen:
        return [
            f"  {_named(chosen)}: trained again before any other recipe, as trials of this run's "
            f"budget, about {_training_time(chosen)}"
        ]
    every = _to_train(found, lacking, "all")
    if not every:
        return []
    front = _to_train(found, lacking, "front")
    options = [("front", front), ("all", every)]
    shown = " or ".join(
        f"`--train-again {name}` ({_named(trials)}, about {_training_time(trials)})"
        for name, trials in options
        if trials
    )
    return [f"  to train again first, as trials of this run's budget: {shown}"]


def _reason(trial: EarlierTrial) -> str:
    return (
        f"trial {trial.record.number}: {_sets(trial.asked or {})} not answered, and its weights "
        "are not kept"
    )


def _named(trials: Sequence[EarlierTrial]) -> str:
    return trials_text([trial.record.number for trial in trials], PRESENT)


def _requests(trials: Sequence[EarlierTrial]) -> str:
    total = dict[str, int]()
    for trial in trials:
        total = _added(total, trial.asked or {})
    return _sets(total)


def _sets(asked: Mapping[str, int]) -> str:
    """For example `160 requests (quality.uk-en 160)`."""
    parts = ", ".join(f"{part} {count:,}" for part, count in asked.items())
    return f"{sum(asked.values()):,} requests ({parts})"


def _seconds(trial: EarlierTrial, answered: int) -> float:
    """An estimate from the pace of the trial's own evaluation."""
    pace = trial.record.seconds.get("generation", 0.0) / max(1, answered)
    return pace * sum((trial.asked or {}).values()) + trial.record.seconds.get("load", 0.0)


def _training_time(trials: Sequence[Any]) -> str:
    return duration_text(sum(trial.record.undisturbed_seconds for trial in trials))
