"""Sends what is new in a run's records to trackers, again and again beside a sweep or once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mtray.report.watched_records import Stamp, WatchedRecords, stamp
from mtray.run_files import trials_text
from mtray.schema import Study, TrialRecord
from mtray.search.ledger.run_folder import load_bound
from mtray.tracking.contents import ARTIFACTS, sweep_run, trial_run
from mtray.tracking.sent_runs import SentRun, SentTo, read_sent, write_sent
from mtray.tracking.tracked_run import TrackedRun
from mtray.tracking.tracker import Tracker, send
from mtray.tracking.tracker_address import place_name, without_credentials

RETRY = 60.0  # seconds until a tracker that could not be reached is tried again
LONGEST = 300  # characters of an error that are said

Look = tuple[tuple[TrialRecord, ...], tuple[Stamp | None, ...], bool]


@dataclass
class Destination:
    """A tracker of a sending.

    - `opened`: the tracker, once its package could be used.
    - `looked`: what was there when all of it was sent.
    - `error`: why the last try failed; empty when it did not.
    - `not_before`: when to try again, by `time.monotonic()`.
    - `known`: by trial, the record that the sent content was made from.
    - `new`: how many trials were sent.
    """

    name: str
    open: Callable[[], Tracker]
    opened: Tracker | None = None
    looked: Look | None = None
    error: str = ""
    not_before: float = 0.0
    known: dict[int, TrialRecord] = field(default_factory=dict)
    new: int = 0


class Sender:
    """Sends a run to trackers, by name. The caller holds the lock (`sent_runs.sending`)."""

    def __init__(
        self, run_dir: Path, trackers: Mapping[str, Callable[[], Tracker]],
        say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._run_dir, self._say = run_dir, say
        self._files = WatchedRecords(run_dir)
        self.destinations = [Destination(name, open_one) for name, open_one in trackers.items()]
        self.sent = read_sent(run_dir)

    def once(self, running: bool) -> None:
        """Send what is new. A tracker that raises is reported once and tried again by a later call;
        without `running`, which is the last call, by this one."""
        records, study = self._files.look().records, load_bound(self._run_dir)[0]
        files = tuple(stamp(self._run_dir / name) for name in ARTIFACTS)
        look = (records, files, running)
        for place in self.destinations:
            due = not running or time.monotonic() >= place.not_before
            if place.looked != look and due:
                self._try(place, look, study)

    def _try(self, place: Destination, look: Look, study: Study) -> None:
        try:
            self._send_all(place, look, study)
        # whatever a tracker raises must not harm the sweep
        except Exception as error:
            first = not place.error
            place.error = error_text(error)
            place.not_before = time.monotonic() + RETRY
            if first and look[2]:
                self._say(
                    f"tracking: {place.name} cannot be reached ({place.error}); the sweep goes on, "
                    "and it is tried again"
                )
            return
        if place.error:
            self._say(f"tracking: {place.name} is reached again, and has what it missed")
        place.error, place.looked = "", look

    def _send_all(self, place: Destination, look: Look, study: Study) -> None:
        tracker, (records, _, running) = self._opened(place), look
        name = place_name(place.name, tracker.place)
        sweep = sweep_run(self.sent.key, self._run_dir, study, records, running)
        sweep_id = tracker.open_parent(sweep)
        if self.sent.at(name).id != sweep_id:
            # the first time, or it was deleted there, and the trials' runs with it
            place.known.clear()
            self._note(name, SentTo(id=sweep_id))
        for record in records:
            if place.known.get(record.number) is not record:
                run = trial_run(self.sent.key, study, record)
                self._send_trial(place, tracker, name, record.number, run)
                place.known[record.number] = record
        digest = sweep.digest()
        if self.sent.at(name).digest != digest:
            send(tracker, sweep)
            self._note(name, self.sent.at(name).model_copy(update={"digest": digest}))

    def _opened(self, place: Destination) -> Tracker:
        if place.opened is None:
            place.opened = place.open()
            self._say(f"tracking: {place.name}: {place.opened.address}")
        return place.opened

    def _send_trial(
        self, place: Destination, tracker: Tracker, name: str, number: int, run: TrackedRun
    ) -> None:
        known, digest = self.sent.at(name), run.digest()
        before = known.children.get(number)
        if before is None or before.digest != digest:
            run_id = send(tracker, run, known.id)
            self._note(name, known.with_child(number, SentRun(id=run_id, digest=digest)))
            place.new += 1

    def _note(self, name: str, sent: SentTo) -> None:
        """Note what was sent, on disk before anything else is sent."""
        self.sent = self.sent.with_place(name, sent)
        write_sent(self._run_dir, self.sent)

    def missing(self, place: Destination) -> str:
        """What the tracker lacks after an error, for people."""
        records = self._files.look().records
        lacking = [r.number for r in records if place.known.get(r.number) is not r]
        return trials_text(lacking) if lacking else "what is said of the sweep as a whole"


def error_text(error: BaseException) -> str:
    """In one line, without credentials of addresses."""
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    return without_credentials(f"{type(error).__name__}: {first}".removesuffix(": "))[:LONGEST]
