"""`status`: the progress of a run, while it runs or after it ended in any way. Read-only."""

from __future__ import annotations

import fcntl
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mtray.commands.run_argument import run_folder
from mtray.control_requests import LOG, answers, standing_lines
from mtray.errors import ConfigError, RunError
from mtray.file_locks import lock
from mtray.mirror.state import mirror_lines
from mtray.report.abilities import ability_sentences, ability_sets
from mtray.report.omissions import omissions
from mtray.report.printing import counted, duration_text
from mtray.report.records import RunRecords, read_records
from mtray.report.tables import score_text
from mtray.run_files import BASE_NUMBER, LOCK
from mtray.schema import Budget, Sense, Study, TrialRecord
from mtray.search.ledger.allocation_check import allocated
from mtray.search.ledger.journal_overview import Entry, Overview, read_overview
from mtray.search.ledger.live_progress import read_progress
from mtray.search.ledger.run_folder import load_bound
from mtray.search.ledger.trial_plan import settling_lines
from mtray.search_space.space import Space

# stages of a trial without a record: it failed, or its record was lost
LOST = ("failed", "finished")
SHOWN = 10  # requests to the sweep


@dataclass(frozen=True)
class ReadRun:
    """What the files of a run say.

    - `damage`: what cannot be read; `study` and `space` are None if these cannot.
    - `holder`: the process that runs a sweep here; None: none does.
    """

    folder: Path
    records: RunRecords
    overview: Overview
    study: Study | None
    space: Space | None
    holder: str | None
    damage: tuple[str, ...]

    @property
    def wrong(self) -> list[str]:
        """Why the exit code of `status` is 1; empty: it is 0."""
        damaged = [f"damaged: {text}" for text in self.damage]
        return damaged + wrong_lines(self.records, self.overview.trials)


def read_run(path: Path) -> ReadRun:
    """RunError when it is not a run."""
    run_dir = run_folder(path)
    records, overview = read_records(run_dir), read_overview(run_dir)
    damage = [f"{d.path}: {d.reason}" for d in records.damaged]
    damage += [overview.damage] if overview.damage else []
    study = space = None
    try:
        study, space = load_bound(run_dir)
    except RunError as error:
        damage.append(str(error))
    holder = lock_holder(run_dir)
    return ReadRun(run_dir, records, overview, study, space, holder, tuple(damage))


def show_status(path: Path) -> int:
    """Print the state of a run; 1 when something is wrong with it (`wrong_lines`). RunError when it
    is not a run."""
    found = read_run(path)
    run_dir, records, overview, wrong = found.folder, found.records, found.overview, found.wrong
    study, space, holder = found.study, found.space, found.holder
    lines = [
        f"run {path}" + (f": study {study.name}, model {study.model}" if study else ""),
        f"a sweep is running ({holder})" if holder else "no sweep is running",
        *mirror_lines(run_dir),
        *request_lines(run_dir, bool(holder)),
        *([allocated(study, space, overview.trials).text()] if study and space else []),
        *(ending_lines(overview.trials, study.budget, run_dir) if study else []),
        *trial_lines(records, overview.trials, study, _running(run_dir) if holder else None),
        *(best_lines(records.records, study) if study else []),
        *ability_sentences(ability_sets(r for r in records.records if r.scores)),
        *(f"note: {sentence}" for sentence in omissions(records.records)),
        *wrong,
    ]
    print("\n".join(lines))
    return 1 if wrong else 0


def request_lines(run_dir: Path, runs: bool) -> list[str]:
    """The latest requests to the run's sweeps, and while a sweep `runs`, what still holds of all
    of them."""
    known = answers(run_dir)
    lines = standing_lines(known, time.time()) if runs else []
    more = [f"earlier requests: {len(known) - SHOWN} (see {LOG})"] if len(known) > SHOWN else []
    return lines + more + [f"request: {found.line()}" for found in known[-SHOWN:]]


def ending_lines(entries: Sequence[Entry], budget: Budget, run_dir: Path) -> list[str]:
    """The confirmation of the recommended recipe, and the further trials that settle the answer."""
    lines = [
        f"confirmation: trial {e.number} ({e.stage}): {e.why}"
        for e in entries
        if e.purpose == "confirm"
    ]
    further = [e for e in entries if e.purpose == "settle"]
    if further:
        open_ = sum(e.stage in ("waiting", "started") for e in further)
        lines.append(
            f"settling: {counted(len(further), 'further trial')} so far, {open_} of them not "
            f"finished; the last is trial {further[-1].number}: {further[-1].why}"
        )
    elif budget.settle is not None:
        lines.append(f"settling: {settling_lines(budget, run_dir)[0]}")
    return lines


def wrong_lines(records: RunRecords, entries: Sequence[Entry]) -> list[str]:
    """Why a run cannot succeed: the base model, the reference of every trial, could not be
    measured, or trials have failed and none is complete. Some failures are normal in a search."""
    base = next((r for r in records.records if r.number == BASE_NUMBER), None)
    ended = Counter(r.state for r in records.trials)
    failed = ended["failed"] + sum(e.stage in LOST for e in without_record(records, entries))
    lines = []
    if base is not None and base.state != "complete":
        lines.append("wrong: without the base model's scores no trial can be measured")
    if failed and not ended["complete"]:
        lines.append(f"wrong: no trial is complete, and {failed} failed")
    return lines


def without_record(records: RunRecords, entries: Sequence[Entry]) -> list[Entry]:
    """Trials known only to the journal. A record takes precedence, since the journal is updated
    after it."""
    numbers = {r.number for r in records.records}
    unread = {d.path.parent.name for d in records.damaged}
    return [e for e in entries if e.number not in numbers and f"{e.number:04d}" not in unread]


def lock_holder(run_dir: Path) -> str | None:
    """The process that runs a sweep here, as named by its lock file; None when there is none.

    Requests a shared lock and drops it at once, the only portable way to detect another process's
    lock. A sweep that starts within that microsecond reports that the run is in use.
    """
    try:
        with open(run_dir / LOCK) as file:
            try:
                lock(file, fcntl.LOCK_SH | fcntl.LOCK_NB, run_dir)
            except BlockingIOError:
                return file.read().strip() or "an unnamed process"
    except (OSError, ConfigError):  # no such file, or a file system without locks
        return None
    return None


def trial_lines(
    records: RunRecords, entries: Sequence[Entry], study: Study | None, running: list[str] | None
) -> list[str]:
    """Trials by state. `running`: lines on those that run now, may be empty; None: no sweep
    runs."""
    trials, rest = records.trials, without_record(records, entries)
    imported = [r.number for r in trials if r.taken_from]
    complete = [r.number for r in trials if r.state == "complete" and not r.taken_from]
    pruned = {r.number: r.reason or "" for r in trials if r.state == "pruned"}
    stopped = {r.number: r.reason or "" for r in trials if r.state == "stopped"}
    refused = {r.number: r.reason or "" for r in trials if r.state == "infeasible"}
    failed = {r.number: r.reason or "" for r in trials if r.state == "failed"}
    pruned |= {e.number: e.reason for e in rest if e.stage == "pruned"}
    failed |= {e.number: e.reason or "no record" for e in rest if e.stage in LOST}
    started = [e.number for e in rest if e.stage == "started"]
    waiting = [e.number for e in rest if e.stage == "waiting"]
    further = sum(e.purpose == "settle" for e in entries)
    total = f" of {study.budget.trials} asked for" if study else ""
    total += f" and {further} to settle the answer" if further else ""
    other = f"{len(pruned)} pruned, " if pruned else ""
    other += f"{len(stopped)} stopped, " if stopped else ""
    other += f"{len(refused)} infeasible, " if refused else ""
    counts = f"trials: {len(complete)} complete, {other}{len(failed)} failed{total}"
    lines = [counts + (f"; {len(waiting)} already planned" if waiting else "")]
    lines += [f"imported from earlier runs: {len(imported)} trials"] if imported else []
    lines += further_lines(records)
    lines.append(_base_line(records))
    if running is not None:
        lines += running or ([f"running: {_listed(started)}"] if started else [])
    elif started:
        lines.append(
            f"interrupted: {_listed(started)}; the same command runs them again under these numbers"
        )
    lines += [f"pruned: trial {number}: {reason}" for number, reason in sorted(pruned.items())]
    lines += [f"stopped: trial {number}: {reason}" for number, reason in sorted(stopped.items())]
    lines += [f"infeasible: trial {number}: {reason}" for number, reason in sorted(refused.items())]
    lines += [f"failed: trial {number}: {reason}" for number, reason in sorted(failed.items())]
    return lines


def _running(run_dir: Path) -> list[str]:
    """What each running trial does, and the time left, if the sweep has written it."""
    now = time.time()
    progress = read_progress(run_dir, now)
    if progress is None:
        return []
    lines = [f"running: {trial.text(now)}" for trial in progress.trials]
    if progress.seconds_left is not None:
        lines.append(f"about {duration_text(progress.seconds_left)} left")
    return lines


def further_lines(records: RunRecords) -> list[str]:
    """How many points are not trials, by kind."""
    trained = {r.number: r.recipe.reversion_alpha for r in records.trials}
    further = [r for r in records.records if r.trained_as is not None]
    reverted = sum(trained.get(r.trained_as or 0) != r.recipe.reversion_alpha for r in further)
    early = len(further) - reverted
    return [
        *([f"reverted: {reverted} points of trained models at other alphas"] if reverted else []),
        *([f"intermediate checkpoints: {early} points"] if early else []),
    ]


def _base_line(records: RunRecords) -> str:
    base = next((r for r in records.records if r.number == BASE_NUMBER), None)
    if base is None:
        return "base model: not measured yet"
    return f"base model: {'measured' if base.state == 'complete' else f'failed: {base.reason}'}"


def best_lines(records: Iterable[TrialRecord], study: Study) -> list[str]:
    """The best value of every objective among complete trials, the base model included."""
    lines = []
    for name, sense in study.objectives.items():
        best = best_record(records, name, sense)
        if best is not None:
            who = "the base model" if best.number == BASE_NUMBER else f"trial {best.number}"
            lines.append(f"best {name}: {score_text(best.objectives[name])} ({who})")
    return lines


def best_record(records: Iterable[TrialRecord], name: str, sense: Sense) -> TrialRecord | None:
    """The complete record with the best value of an objective; None: there is none."""
    found = [r for r in records if r.state == "complete" and name in r.objectives]
    sign = 1 if sense == "max" else -1
    return max(found, key=lambda r: sign * r.objectives[name].value, default=None)


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))
