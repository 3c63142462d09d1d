"""`status`: what a run has done so far, while it runs or after any kind of end. Reads only."""

from __future__ import annotations

import fcntl
from collections.abc import Iterable, Sequence
from pathlib import Path

from mtray.commands.folders import run_folder
from mtray.errors import RunError
from mtray.report.abilities import ability_sentences, ability_sets
from mtray.report.omissions import omissions
from mtray.report.records import BASE_NUMBER, RunRecords, read_records
from mtray.report.tables import score_text
from mtray.schema import Study, TrialRecord
from mtray.search.overview import Entry, read_overview
from mtray.search.run_folder import LOCK, load_bound


def show_status(path: Path) -> int:
    """Print the state of a run; 1 when a file of it is damaged. RunError when it is no run."""
    run_dir = run_folder(path)
    records, overview = read_records(run_dir), read_overview(run_dir)
    damage = [f"{d.path}: {d.reason}" for d in records.damaged]
    damage += [overview.damage] if overview.damage else []
    study = None
    try:
        study, _ = load_bound(run_dir)
    except RunError as error:
        damage.append(str(error))
    holder = lock_holder(run_dir)
    lines = [
        f"run {path}" + (f": study {study.name}, model {study.model}" if study else ""),
        f"a sweep is running ({holder})" if holder else "no sweep is running",
        *trial_lines(records, overview.trials, study, bool(holder)),
        *(best_lines(records.records, study) if study else []),
        *ability_sentences(ability_sets(r for r in records.records if r.scores)),
        *(f"note: {sentence}" for sentence in omissions(records.records)),
        *(f"damaged: {text}" for text in damage),
    ]
    print("\n".join(lines))
    return 1 if damage else 0


def lock_holder(run_dir: Path) -> str | None:
    """The process that runs a sweep here, as its lock file names it; None when there is none.

    Asks for a shared lock and drops it at once: the only way to learn of another's that works on
    every system. A sweep that starts within that microsecond says that the run is in use.
    """
    try:
        with open(run_dir / LOCK) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return file.read().strip() or "a process that gave no name"
    except OSError:
        return None
    return None


def trial_lines(
    records: RunRecords, entries: Sequence[Entry], study: Study | None, running: bool
) -> list[str]:
    """Trials by state. A record counts before the journal, which learns of it last."""
    own = [r for r in records.records if r.trained_as is None]
    by_number = {r.number: r for r in own if r.number != BASE_NUMBER}
    unread = {d.path.parent.name for d in records.damaged}
    rest = [e for e in entries if e.number not in by_number and f"{e.number:04d}" not in unread]
    taken = [r.number for r in by_number.values() if r.taken_from]
    complete = [r.number for r in by_number.values() if r.state == "complete" and not r.taken_from]
    pruned = {r.number: r.reason or "" for r in by_number.values() if r.state == "pruned"}
    refused = {r.number: r.reason or "" for r in by_number.values() if r.state == "infeasible"}
    failed = {r.number: r.reason or "" for r in by_number.values() if r.state == "failed"}
    pruned |= {e.number: e.reason for e in rest if e.stage == "pruned"}
    failed |= {e.number: e.reason or "no record" for e in rest if e.stage in ("failed", "finished")}
    started = [e.number for e in rest if e.stage == "started"]
    waiting = [e.number for e in rest if e.stage == "waiting"]
    total = f" of {study.budget.trials} asked for" if study else ""
    early = f"{len(pruned)} pruned, " if pruned else ""
    early += f"{len(refused)} infeasible, " if refused else ""
    counts = f"trials: {len(complete)} complete, {early}{len(failed)} failed{total}"
    lines = [counts + (f"; {len(waiting)} already planned" if waiting else "")]
    lines += [f"taken over from earlier runs: {len(taken)} trials"] if taken else []
    if reverted := len(records.records) - len(own):
        lines.append(f"reverted: {reverted} points of trained models at other alphas")
    lines.append(_base_line(records))
    if started and running:
        lines.append(f"running: {_listed(started)}")
    elif started:
        lines.append(
            f"interrupted: {_listed(started)}; the same command runs them again under these numbers"
        )
    lines += [f"pruned: trial {number}: {reason}" for number, reason in sorted(pruned.items())]
    lines += [f"infeasible: trial {number}: {reason}" for number, reason in sorted(refused.items())]
    lines += [f"failed: trial {number}: {reason}" for number, reason in sorted(failed.items())]
    return lines


def _base_line(records: RunRecords) -> str:
    base = next((r for r in records.records if r.number == BASE_NUMBER), None)
    if base is None:
        return "base model: not measured yet"
    return f"base model: {'measured' if base.state == 'complete' else f'failed: {base.reason}'}"


def best_lines(records: Iterable[TrialRecord], study: Study) -> list[str]:
    """The best value of every objective among complete trials, the base model among them."""
    lines = []
    for name, sense in study.objectives.items():
        found = [r for r in records if r.state == "complete" and name in r.objectives]
        if found:
            sign = 1 if sense == "max" else -1
            best = max(found, key=lambda r, n=name, s=sign: s * r.objectives[n].value)  # type: ignore[misc]
            who = "the base model" if best.number == BASE_NUMBER else f"trial {best.number}"
            lines.append(f"best {name}: {score_text(best.objectives[name])} ({who})")
    return lines


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))
