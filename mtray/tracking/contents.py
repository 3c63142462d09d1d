"""From the records of a run to what a tracker shows of the sweep and its trials."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import get_args

from mtray.report.groups import measured
from mtray.report.parameters import parameters
from mtray.report.training_numbers import training_numbers
from mtray.run_files import BASE_NUMBER, trial_name
from mtray.schema import State, Study, TrainingRecord, TrialRecord
from mtray.schema.recipe_training import training_of
from mtray.tracking.tracked_run import RUNNING, Points, TrackedRun, Value
from mtray.training.schedule import learning_rate_at, step_after

ARTIFACTS = ("front.html", "front.png", "front.csv")
STATES: tuple[State, ...] = get_args(State)
SAME_SUM = 1e-6  # relative difference of two sums of the same learning rates


def sweep_run(
    key: str, run_dir: Path, study: Study, records: Sequence[TrialRecord], running: bool
) -> TrackedRun:
    """What is shown of the sweep: how many trials ended in which state, and the files of the
    front."""
    trials = [r for r in records if r.number != BASE_NUMBER and r.trained_as is None]
    counts = Counter[str](record.state for record in trials)
    files = tuple(path for name in ARTIFACTS if (path := run_dir / name).is_file())
    settings: dict[str, Value] = {
        "study": study.name, "model": study.model, "seed": study.seed, "sampler": study.sampler,
        "objectives": ", ".join(f"{name} ({sense})" for name, sense in study.objectives.items()),
        "sources": ", ".join(source.name for source in study.sources),
    }  # fmt: skip
    return TrackedRun(
        key, run_dir.name, RUNNING if running else "complete", settings,
        # a value, since trackers keep the first of a parameter, and trials are added while it runs
        {"trials.planned": float(study.budget.trials)}
        | {f"trials.{state}": float(counts[state]) for state in STATES}, files=files,
        ended=None if running else _latest(records),
    )  # fmt: skip


def trial_run(key: str, study: Study, record: TrialRecord) -> TrackedRun:
    """What is shown of a trial. A score `x` has the values `x`, `x_low` and `x_high` (95 %
    interval), as in `front.csv`."""
    name = trial_name(record.number)
    values = {
        **_scores(record),
        **{name: float(value) for name, value in training_numbers(record).items()},
        **{f"over.{name}": over for name, over in record.constraints.items()},
        **{f"seconds.{phase}": seconds for phase, seconds in record.seconds.items()},
        "seconds.total": record.total_seconds,
    }
    series = {"loss": _loss(record), "learning_rate": learning_rates(record, study)}
    for objective in dict.fromkeys(name for rung in record.rungs for name in rung.objectives):
        series[f"rung.{objective}"] = tuple(
            (rung.step, rung.objectives[objective].value)
            for rung in record.rungs
            if objective in rung.objectives
        )
    return TrackedRun(
        f"{key}-{name}", "base model" if name == "base" else f"trial {name}", record.state,
        _settings(record), values, tuple(study.objectives),
        {name: points for name, points in series.items() if points}, _notes(record),
        ended=_seconds(record.finished),
    )  # fmt: skip


def _scores(record: TrialRecord) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, score in measured(record).items():
        found |= {name: score.value, f"{name}_low": score.low, f"{name}_high": score.high}
    return found


def _settings(record: TrialRecord) -> dict[str, Value]:
    """Its recipe (without parameters that have no meaning in it), role and seed."""
    given = {name: v for name, v in parameters(record.recipe).items() if v is not None}
    own = {"role": record.role, "seed": record.seed, "replicate": record.replicate}
    further = {"of": record.of, "trained_as": record.trained_as}
    return {**given, **own, **{name: n for name, n in further.items() if n is not None}}


def _notes(record: TrialRecord) -> dict[str, str]:
    found = {"state": record.state, "reason": record.reason, "reason_class": record.reason_class}
    return {name: text for name, text in found.items() if text}


def _loss(record: TrialRecord) -> Points:
    return record.training.loss if record.training else ()


def learning_rates(record: TrialRecord, study: Study) -> Points:
    """The learning rate at the steps of the loss curve, from the recipe and the study; empty where
    these do not give the sum that the training recorded, such as in a record of an older
    version."""
    done, peak = record.training, record.recipe.learning_rate
    if done is None or peak is None or not done.steps:
        return ()
    settings = training_of(record.recipe, study.training)
    for planned in _planned_steps(record, done):
        rates = [learning_rate_at(step, planned, peak, settings) for step in range(done.steps)]
        recorded = done.accumulated_learning_rate
        if abs(sum(rates) - recorded) <= SAME_SUM * recorded:
            return tuple((step, rates[step - 1]) for step, _ in done.loss)
    return ()


def _planned_steps(record: TrialRecord, done: TrainingRecord) -> list[int]:
    """How many steps the whole training can have: a pruned one has said it, one that stops after a
    share of its steps leaves several numbers."""
    if record.rungs:
        return [record.rungs[-1].steps]
    share = record.recipe.stop_after
    most = int(done.steps / share) + 1
    return [n for n in range(done.steps, most + 1) if step_after(share, n) == done.steps]


def _latest(records: Sequence[TrialRecord]) -> float | None:
    return max((t for r in records if (t := _seconds(r.finished)) is not None), default=None)


def _seconds(finished: str) -> float | None:
    """`TrialRecord.finished` in seconds of the epoch."""
    try:
        return datetime.strptime(finished, "%Y-%m-%dT%H:%M:%S%z").timestamp()
    except ValueError:
        return None
