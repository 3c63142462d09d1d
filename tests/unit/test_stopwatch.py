"""What a trial is said to have taken, with a clock that is set by hand."""

import json
from io import StringIO

import pytest
from records_factory import make_record
from rich.console import Console

from mtray.errors import TimeLimitReached
from mtray.search.execution.console import LiveTable
from mtray.search.ledger.stopwatch import (
    FILE,
    Duration,
    Stopwatch,
    kept_time,
    over_time,
    since_attempts,
)
from mtray.search.ledger.trial_scratch import delete_scratch


class Hand:
    """A clock; a new one for each process, which begins anywhere."""

    def __init__(self, at=1000.0):
        self.at = at

    def __call__(self):
        return self.at


def played(folder, steps):
    """Stopwatch of the last process after `steps`, and what its failed attempts ran. A process is
    killed between its last `kept` and `killed`; at `ended` it ends by itself."""
    hand = Hand()
    stopwatch, attempts = Stopwatch(folder, hand), []
    for what, *seconds in steps:
        if what == "runs":
            hand.at += seconds[0]
        elif what == "waits":
            with stopwatch.waiting():
                hand.at += seconds[0]
        elif what == "fails":
            attempts.append(stopwatch.end_attempt())
        else:
            if what == "ends":
                with stopwatch:
                    pass
            hand = Hand(50.0)
            stopwatch, attempts = Stopwatch(folder, hand), []
    return stopwatch, attempts


# steps -> running, waiting, attempts of the last process, what earlier attempts ran
TRIALS = {
    "a trial that gets its place at once": ([("runs", 9)], (9, 0), [], 0),
    "one that waits": ([("waits", 300), ("runs", 9)], (9, 300), [], 0),
    "for its place and for the base model": (
        [("waits", 60), ("waits", 60), ("runs", 9), ("waits", 30), ("runs", 1)],
        (10, 150), [], 0,
    ),
    "one that is lost": (
        [("waits", 5), ("runs", 40), ("fails",), ("waits", 100), ("runs", 12)],
        (52, 105), [40], 40,
    ),
    "and lost again": (
        [("runs", 40), ("fails",), ("runs", 7), ("fails",), ("waits", 3), ("runs", 1)],
        (48, 3), [40, 7], 47,
    ),
    "one that was stopped": (
        [("waits", 2), ("runs", 30), ("ends",), ("waits", 8), ("runs", 4)], (34, 10), [], 30,
    ),
    "and is lost then": (
        [("runs", 30), ("ends",), ("runs", 4), ("fails",), ("runs", 1)], (35, 0), [4], 34,
    ),
    "one whose process is killed before it kept anything": (
        [("runs", 3), ("killed",), ("runs", 4)], (4, 0), [], 0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRIALS)
def test_running_and_waiting_over_attempts_and_starts(tmp_path, name):
    steps, (running, waiting), attempts, failed = TRIALS[name]
    stopwatch, found = played(tmp_path, steps)
    assert stopwatch.duration == Duration(running, waiting)
    assert (found, stopwatch.failed) == (attempts, failed)
    assert stopwatch.duration.seconds == {"total": running, "waiting": waiting}


def test_it_shows_what_waits_right_now(tmp_path):
    hand = Hand()
    stopwatch = Stopwatch(tmp_path, hand)
    with pytest.raises(KeyError), stopwatch.waiting():
        hand.at += 5
        assert stopwatch.duration == Duration(0, 5)
        raise KeyError
    hand.at += 1
    assert stopwatch.duration == Duration(1, 5)


def test_what_a_process_keeps_while_it_runs_is_there_when_it_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr("mtray.search.ledger.stopwatch.KEPT_EVERY", 0.01)
    hand = Hand()
    with Stopwatch(tmp_path, hand):
        hand.at += 70
        while kept_time(tmp_path).running < 70:
            pass
    assert since_attempts(tmp_path, []) == 70
    assert since_attempts(tmp_path, [{"seconds": 30.0}, {"reason": "of an older run"}]) == 40
    assert since_attempts(tmp_path, [{"seconds": 90.0}]) == 0
    delete_scratch(tmp_path)
    assert kept_time(tmp_path) == Duration() and not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["", "{", "[]", '{"running": 1}', '{"running": "x"}', "null"])
def test_a_damaged_file_is_as_good_as_none(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    assert kept_time(tmp_path) == Duration()


@pytest.mark.parametrize(
    "steps, minutes, over",
    [
        ([("runs", 59)], 1, False),
        ([("runs", 60)], 1, True),
        ([("waits", 600), ("runs", 59)], 1, False),
        ([("runs", 40), ("fails",), ("runs", 25)], 1, True),  # both attempts together
        ([("runs", 40), ("ends",), ("runs", 25)], 1, True),  # both starts of the sweep together
        ([("runs", 40), ("fails",), ("waits", 25)], 1, False),
        ([("runs", 9e9)], None, False),
    ],
)
def test_the_minutes_of_a_trial_are_those_of_all_its_attempts(tmp_path, steps, minutes, over):
    stopwatch, _ = played(tmp_path, steps)
    if over:
        with pytest.raises(TimeLimitReached, match=r"the 1 minutes of `budget\.trial_minutes`"):
            stopwatch.check(minutes)
    else:
        stopwatch.check(minutes)
    assert "0.5 minutes" in str(over_time(0.5))


@pytest.mark.parametrize(
    "seconds, total, undisturbed",
    [
        ({"load": 1.0, "training": 9.0}, 10, 10),
        ({"load": 1.0, "training": 9.0, "waiting": 50.0}, 10, 10),
        ({"training": 9.0, "waiting": 50.0, "total": 12.0}, 12, 12),
        ({"training": 9.0, "waiting": 50.0, "lost": 5.0, "total": 17.0}, 17, 12),
        ({}, 0, 0),
    ],
)
def test_the_seconds_of_a_record(seconds, total, undisturbed):
    record = make_record(0, seconds=seconds)
    assert (record.total_seconds, record.undisturbed_seconds) == (total, undisturbed)


def test_what_is_kept_is_plain_json(tmp_path):
    with Stopwatch(tmp_path, Hand()):
        pass
    assert json.loads((tmp_path / FILE).read_text()) == {"running": 0.0, "waiting": 0.0}


@pytest.mark.parametrize("waiting, shown", [(0.4, "1m30s  "), (75.0, "1m30s (waited 1m15s)  ")])
def test_what_a_trial_waited_is_shown_when_it_ends(waiting, shown):
    text = StringIO()
    record = make_record(0, seconds={"total": 90.0, "waiting": waiting})
    LiveTable(Console(file=text, width=400), total=9, finished=0, concurrent=1).ended(record)
    assert shown in text.getvalue()
