"""Models trained on one source each, and their weighted means, which are evaluated in place of
models trained on mixtures (`mtray proxy`). Without Ray; steps whose results are on disk are not
repeated."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mtray.errors import RunError
from mtray.evaluation.inference.requests import Output
from mtray.evaluation.output_files import read_outputs
from mtray.report.records import read_record, write_record
from mtray.retrain import alone, build_sources, train_alone
from mtray.run_files import BASE_NUMBER, OUTPUTS_FILE, WEIGHTS_FILE, result_path, trial_dir
from mtray.runtime import keep_freed_memory, versions
from mtray.schema import Mix, Recipe, Study, TrialRecord
from mtray.search_space.mixture_corners import corner_shares
from mtray.search_space.space import Space
from mtray.trial.job import Job, Outcome
from mtray.trial.phase_timer import PhaseTimer
from mtray.trial.record import record_trial

PURE, MERGED = "pure", "merged"  # folders, laid out like a run's


@dataclass(frozen=True)
class MergeSession:
    """What all steps for one run share.

    - `folder`: where the models are kept.
    - `study`, `space`: of the run.
    - `sources`: the study from which the trials' sources are built.
    """

    run_dir: Path
    folder: Path
    study: Study
    sources: Study
    space: Space
    suite: Any
    tokenizer: Any

    def base_outputs(self) -> list[Output]:
        """Raises RunError while the base model is not measured."""
        file = trial_dir(self.run_dir, BASE_NUMBER) / OUTPUTS_FILE
        if not file.is_file():
            raise RunError(
                f"{self.run_dir.name}: the base model is not measured yet, and retention is a "
                "share of its scores; start the sweep again"
            )
        return read_outputs(file, self.suite.requests, self.suite.parts)

    def pure_files(self, recipes: Sequence[Recipe]) -> dict[str, Path]:
        """The weights of every pure model, by name."""
        return {
            corner_name(i): trial_dir(self.folder / PURE, i) / WEIGHTS_FILE
            for i in range(len(recipes))
        }


def corner_name(place: int) -> str:
    return f"{place:04d}"


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def known_record(folder: Path, number: int, recipe: Recipe) -> TrialRecord | None:
    """The record of this recipe under this number, if there is one."""
    file = result_path(folder, number)
    found = read_record(file) if file.is_file() else None
    return found if found and found.recipe == recipe else None


def train_pure(session: MergeSession, wanted: Mapping[int, Recipe]) -> None:
    """Train the models of the wanted corners, by number, as trials of the run are trained, with the
    study's seed; keep their whole weights, and record their scores."""
    base, folder = session.base_outputs(), session.folder / PURE
    store = dict[str, Any]()
    with alone():
        for count, (number, recipe) in enumerate(wanted.items(), 1):
            say(f"pure model {count} of {len(wanted)}")
            job = Job(number, "search", recipe, session.study.seed)
            store = store or build_sources(session.sources, job, {}, session.tokenizer)
            file = trial_dir(folder, number) / WEIGHTS_FILE
            started = time.perf_counter()
            outcome = train_alone(
                job, session.study, store, session.suite.requests,
                use=partial(_keep, file),
            )  # fmt: skip
            write_record(folder, _timed(session, job, outcome, base, started))


def _keep(file: Path, module: Any, tokenizer: Any) -> None:
    from mtray.training.merging import save_whole

    save_whole(module, file)


def measure_merged(
    session: MergeSession, pure: Sequence[Recipe], wanted: Mapping[int, Recipe]
) -> None:
    """Measure the mean of the pure models for every wanted mixture, by number, and record it."""
    from mtray.training.merging import load_merged
    from mtray.trial.base_model import answers_of, load_base_model

    keep_freed_memory()
    places = {recipe: corner_name(i) for i, recipe in enumerate(pure)}
    base, files = session.base_outputs(), session.pure_files(pure)
    plain = pure[0].model_copy(update={"method": "full"})
    loaded = load_base_model(session.study, plain, session.study.seed)
    module = loaded.model.eval()
    for count, (number, recipe) in enumerate(wanted.items(), 1):
        say(f"merged model {count} of {len(wanted)}")
        shares = corner_shares(session.space, recipe)
        assert shares is not None, "only recipes of the space are wanted"
        started = time.perf_counter()
        load_merged(module, files, {places[corner]: s for corner, s in shares.items()})
        job, seconds = Job(number, "search", recipe, session.study.seed), PhaseTimer()
        with seconds.phase("generation"):
            outputs = answers_of(session.study, loaded, module, session.suite.requests)
        outcome = Outcome(outputs, Mix(), None, seconds.phases, versions())
        write_record(session.folder / MERGED, _timed(session, job, outcome, base, started))


def _timed(
    session: MergeSession, job: Job, outcome: Outcome, base: Sequence[Output], started: float
) -> TrialRecord:
    record, _ = record_trial(job, session.study, session.suite, outcome, base)
    total = {"total": time.perf_counter() - started}
    return record.model_copy(update={"seconds": record.seconds | total})


def pure_records(
    session: MergeSession, pure: Sequence[Recipe], in_separate_process: Callable[..., None]
) -> list[TrialRecord]:
    """The records of all pure models; those that are missing are trained in one process
    (`in_separate_process`)."""
    folder = session.folder / PURE
    missing = {
        number: recipe
        for number, recipe in enumerate(pure)
        if not (trial_dir(folder, number) / WEIGHTS_FILE).is_file()
        or known_record(folder, number, recipe) is None
    }
    if missing:
        in_separate_process(train_pure, session, missing)
    return [read_record(result_path(folder, number)) for number in range(len(pure))]


def merged_records(
    session: MergeSession,
    pure: Sequence[Recipe],
    wanted: Sequence[Recipe],
    in_separate_process: Callable[..., None],
) -> list[TrialRecord]:
    """The records of the merged models of all wanted mixtures; those that are missing are measured
    in one process (`in_separate_process`)."""
    folder, numbers, missing = session.folder / MERGED, dict[Recipe, int](), dict[int, Recipe]()
    for file in sorted((folder / "trials").glob("*/result.json")):
        record = read_record(file)
        numbers[record.recipe] = record.number
    free = max(numbers.values(), default=-1) + 1
    for recipe in dict.fromkeys(wanted):
        if recipe not in numbers:
            numbers[recipe], missing[free] = free, recipe
            free += 1
    if missing:
        in_separate_process(measure_merged, session, pure, missing)
    return [read_record(result_path(folder, numbers[recipe])) for recipe in wanted]
