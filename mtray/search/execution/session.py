"""One start of a sweep: lock the run, start Ray, run trials, export the front."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from mtray.data.recipe_tables import held_rows
from mtray.data.store import sums_by_recipe
from mtray.errors import RunError
from mtray.full_disk import naming
from mtray.report.abilities import ability_sentences, ability_sets
from mtray.report.export import export_front
from mtray.report.printing import duration_text
from mtray.report.records import read_records
from mtray.report.tables import show_front
from mtray.run_files import BASE_NUMBER, STARTS_FILE
from mtray.runtime import machine_text
from mtray.search.execution.available_resources import (
    check_resources,
    room_of_cluster,
)
from mtray.search.execution.console import LiveTable, say
from mtray.search.execution.disk_space import check_disk
from mtray.search.execution.watched_run import full_disk_later, run_watched, with_limits
from mtray.search.ledger.code_check import other_code_note
from mtray.search.ledger.data_check import check_data
from mtray.search.ledger.kept_weights import drop_dominated
from mtray.search.ledger.ledger import Ledger
from mtray.search.ledger.live_progress import LiveProgress, write_progress
from mtray.search.ledger.measured_imports import forget_measured, measured_imports
from mtray.search.ledger.rebinding import rebind
from mtray.search.ledger.run_folder import bind
from mtray.search.ledger.trial_scratch import delete_finished_scratch

if TYPE_CHECKING:
    pass


def run_session(
    prepared: Any, run_dir: Path, address: str | None, console: Console, started: float
) -> int:
    """Run or continue the sweep in `run_dir`, which the caller has locked. Returns the exit code
    (0, 1 if no trial is complete, or 128 + signal if stopped by one).

    `started` is the time.monotonic() that --max-minutes counts from.
    """
    check_data(run_dir, prepared.study, prepared.store)
    rebind(run_dir, prepared.study, prepared.space)
    bind(run_dir, prepared.study, prepared.space, prepared.first)
    held = held_rows(prepared.store, prepared.space.values("max_length"))
    sums = sums_by_recipe(prepared.study, prepared.store)
    tell = partial(say, console)
    taken = measured_imports(run_dir, prepared.study, prepared.suite, prepared.taken, tell)
    ledger = Ledger(run_dir, prepared.study, prepared.space, taken, held, sums)
    forget_measured(run_dir)
    delete_finished_scratch(run_dir)
    drop_dominated(run_dir, prepared.study)
    if ledger.taken_over:
        say(console, f"{ledger.taken_over} trials of earlier runs were imported")
    for text in ledger.records.damaged:
        say(console, text)
    total = ledger.total
    missing = max(0, total - ledger.finished)
    over = not ledger.needs_base() and ledger.exhausted(total)
    if not over:
        if ledger.finished:
            say(
                console,
                f"continuing {run_dir}: {ledger.finished} trials are finished, "
                f"{'at most ' if prepared.study.budget.settle else ''}{missing} to go",
            )
        if note := other_code_note(run_dir, read_records(run_dir).records):
            say(console, f"note: {note}")
        base = ledger.records.read(BASE_NUMBER)  # measured by an earlier start
        for sentence in ability_sentences(ability_sets([base] if base else [])):
            say(console, sentence)
        code = _with_ray(prepared, run_dir, ledger, address, console, started)
    else:
        why = "and the answer is settled" if missing else "--trials N with a larger N adds some"
        say(console, f"{run_dir}: all {ledger.finished} trials are finished; {why}")
        code = 0
    found = finish(run_dir, prepared.study, prepared.space, console)
    return code or found


def note_start(
    run_dir: Path, seconds: float, finished: int, concurrent: int, reason: str, idle: float
) -> None:
    """Log a line on this start; `idle`: seconds that a free place waited for a suggestion."""
    entry = {
        "ended": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "seconds": round(seconds, 2),
        "finished": finished,
        "concurrent": concurrent,
        "reason": reason,
        "idle_seconds": round(idle, 2),
        "machine": machine_text(),
    }
    path = run_dir / STARTS_FILE
    with naming(path), open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")


def finish(run_dir: Path, study: Any, space: Any, console: Console) -> int:
    """Export and show the front if there is one; 1 if no trial is complete, which is no result."""
    complete = [r for r in read_records(run_dir).records if r.state == "complete"]
    if not complete:
        say(console, "no trial is complete, so there is no front")
        return 1
    show_front(export_front(run_dir, study, space), console)
    if all(record.number == BASE_NUMBER for record in complete):
        say(console, "no trial is complete: the front is the base model alone")
        return 1
    return 0


def _with_ray(
    prepared: Any,
    run_dir: Path,
    ledger: Ledger,
    address: str | None,
    console: Console,
    started: float,
) -> int:
    from mtray.search.execution.ray_connection import cluster_lines, disconnect, start_ray

    study, tell = prepared.study, partial(say, console)
    context = start_ray(address, str(run_dir), study.resources)
    # imported after the environment is set, which Ray reads on import
    from mtray.search.execution.cluster_probe import check_nodes
    from mtray.search.execution.gauges import SweepGauges
    from mtray.search.execution.searcher import Limits
    from mtray.search.execution.sharing import share

    try:
        room = room_of_cluster(study, address is not None, tell)
        concurrent = check_resources(study, room, waits=address is not None)
        check_disk(study, prepared.space, run_dir, concurrent)
        for line in check_nodes(run_dir, study):
            say(console, f"note: {line}")
        shared = share(prepared, run_dir)
        minutes = study.budget.max_minutes
        limits = Limits(ledger.total, started + minutes * 60 if minutes else None)
        gauges = SweepGauges(run_dir.name, study, read_records(run_dir).records)

        def publish(found: LiveProgress) -> None:
            write_progress(run_dir, with_limits(found, limits))
            gauges.progress(found)

        watch = LiveTable(
            console, limits.trials, ledger.finished, concurrent, publish,
            lambda: bool(limits.reason) or limits.paused, gauges.ended,
        )  # fmt: skip
        for line in cluster_lines(context.address_info, context.dashboard_url, address):
            watch.say(line)
        watch.say(f"run folder: {run_dir}  ({concurrent} trials at a time)")
        before, had = time.monotonic(), ledger.finished
        received = run_watched(ledger, shared, limits, watch, room.grows)
        spent = time.monotonic() - before
        with full_disk_later():
            note_start(
                run_dir, spent, ledger.finished - had, concurrent, limits.reason,
                limits.idle_seconds,
            )  # fmt: skip
        watch.say(f"{ledger.finished} trials finished, {duration_text(spent)} in this start")
        if limits.fatal:
            raise RunError(limits.reason)
        if limits.reason:
            watch.say(limits.reason)
        if ledger.all_failed(1) and not received:
            raise RunError(
                f"no trial was completed; {limits.reason or 'see the records under trials/'}"
            )
        return 128 + received if received else 0
    finally:
        disconnect()
