"""`track`: send a run to experiment trackers, once or beside a sweep."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from mtray.commands.run_argument import run_folder
from mtray.errors import MtrayError, RunError
from mtray.report.export import export_front
from mtray.report.records import read_records
from mtray.run_files import RESULT, STUDY_FILE
from mtray.search.ledger.live_progress import read_progress
from mtray.search.ledger.run_folder import load_bound
from mtray.side_process import begin_beside
from mtray.tracking.contents import ARTIFACTS
from mtray.tracking.sender import Sender, error_text
from mtray.tracking.sent_runs import sending
from mtray.tracking.tracker import Tracker
from mtray.tracking.trackers import check_trackers, chosen, open_tracker, use_mlflow_uri

LOOK = 2.0  # seconds between two looks at the records
# after a sending it rests for this many times its seconds, and at most for so many seconds
REST, LONGEST_REST = 4.0, 20.0

Trackers = Mapping[str, Callable[[], Tracker]]


def track(
    path: Path, to: Sequence[Sequence[str]], mlflow_uri: str | None, beside: bool = False
) -> int:
    """Send the run to the trackers `to`. `beside` a sweep: again and again, until standard input
    ends. ConfigError if a package is missing; RunError if a tracker cannot be reached, after the
    others have got everything."""
    names = chosen(to)
    check_trackers(names, "--to", mlflow_uri)
    use_mlflow_uri(mlflow_uri)
    run_dir = path.absolute() if beside else run_folder(path)
    trackers = {name: partial(open_tracker, name, run_dir) for name in names}
    return _beside(run_dir, trackers) if beside else send_once(run_dir, trackers)


def send_once(run_dir: Path, trackers: Trackers) -> int:
    """Send what is new, and say how much it was."""
    with sending(run_dir):
        _renew_front(run_dir)
        sender = Sender(run_dir, trackers, _say)
        sender.once(running=read_progress(run_dir, time.time()) is not None)
    for place in sender.destinations:
        if not place.error:
            print(
                f"{place.name}: {place.new} trials sent, {len(place.known) - place.new} were there"
            )
    failed = [place for place in sender.destinations if place.error]
    if failed:
        lines = [f"{p.name}: not sent: {sender.missing(p)}: {p.error}" for p in failed]
        lines.append("the same command sends what is missing")
        raise RunError("\n  ".join(lines))
    return 0


def _renew_front(run_dir: Path) -> None:
    """Write the front's files if the run has none of its present records, as after a crash."""
    ended = [f.stat().st_mtime for f in run_dir.glob(f"trials/*/{RESULT}")]
    files = [run_dir / name for name in ARTIFACTS]
    written = min((f.stat().st_mtime if f.is_file() else 0.0) for f in files)
    if not ended or written >= max(ended):
        return
    if all(record.state != "complete" for record in read_records(run_dir).records):
        return
    try:
        export_front(run_dir, *load_bound(run_dir))
    except MtrayError as error:
        _say(f"the front is not sent as it is now: {error}")


def _beside(run_dir: Path, trackers: Trackers) -> int:
    """Send a running sweep, and the rest when standard input has ended."""
    over = begin_beside()
    while not (run_dir / STUDY_FILE).is_file() and not over.wait(LOOK):
        pass
    if not (run_dir / STUDY_FILE).is_file():
        return 0  # nothing has begun
    with sending(run_dir):
        sender = Sender(run_dir, trackers, _say)
        _send_until(sender, over)
    for place in sender.destinations:
        if place.error:
            _say(
                f"tracking: {place.name} lacks {sender.missing(place)} ({place.error}); to send "
                f"it: python -m mtray track {shlex.quote(str(run_dir))} --to {place.name}"
            )
    return 0


def _send_until(sender: Sender, over: threading.Event) -> None:
    """Send until the sweep ends, and then what is left."""
    said, rest = "", 0.0
    while not over.wait(max(LOOK, rest)):
        began = time.monotonic()
        try:
            sender.once(running=True)
        # such as a run folder that cannot be read for a moment
        except Exception as error:
            if (text := error_text(error)) != said:
                _say(f"tracking: {text}; it is tried again")
            said = text
        rest = min(LONGEST_REST, REST * (time.monotonic() - began))
    sender.once(running=False)


def _say(text: str) -> None:
    print(text, flush=True)
