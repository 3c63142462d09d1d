"""Acts on requests to the running sweep (`mtray.control_requests`): stops trials, adds trials,
pauses, resumes, sets a time limit."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mtray.control_requests import (
    Answer,
    Request,
    answer,
    answers,
    claimed,
    raised,
    standing,
    standing_lines,
    to_stop,
    waiting,
)
from mtray.report.records import write_json
from mtray.run_files import BASE_NUMBER, STUDY_FILE, trials_text
from mtray.schema import Budget
from mtray.search.execution.ray_connection import stay_connected_for

if TYPE_CHECKING:
    from mtray.search.execution.searcher import Limits

EVERY = 0.5  # seconds between two looks at the folder
FORGOTTEN = 60.0  # seconds after which nobody waits for an answer; `control` does for 20
LIMIT_TEXT = "the time limit set by `control` has passed"
FIXED = (
    "`budget.recipes` lists all recipes of this study, and the search suggests none; add recipes "
    "to the list and start the sweep again with the same command"
)


@dataclass(frozen=True)
class Actions:
    """What the sweep can do.

    running: returns the numbers of the trials that run, the base model's included.
    stop_trial: takes the number of a trial that is to end at its next step.
    raise_budget: takes the raised budget and the most trials of the sweep.
    say: takes a line for the console.
    """

    running: Callable[[], Collection[int]]
    stop_trial: Callable[[int], None]
    raise_budget: Callable[[Budget, int], None]
    say: Callable[[str], None]


class NotDone(Exception):
    """Why a request cannot be met."""


class Controls:
    """Acts on the requests of one start of a sweep, in a thread of its own."""

    def __init__(self, run_dir: Path, budget: Budget, limits: Limits, actions: Actions) -> None:
        self._run_dir, self._budget = run_dir, budget
        self._limits, self._actions = limits, actions
        self._left_behind: frozenset[str] = frozenset()  # requests from before this start
        self._to_end: set[int] = set()
        self._acted: dict[str, str | NotDone] = {}  # by request; not noted yet
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="controls")

    def start(self) -> None:
        """Apply the requests to earlier starts that still hold, then listen for new ones. Added
        trials are not applied here: they were when the study was read."""
        known = answers(self._run_dir)
        found = standing(known)
        self._left_behind = waiting(self._run_dir)
        self._limits.paused = found.paused_since is not None
        if found.until is not None and found.until > time.time():  # one that is over has been met
            self._limit(found.until - time.time(), only_earlier=True)
        for number in to_stop(self._run_dir, found):
            self._end(number)
        for line in standing_lines(known, time.time()):
            self._actions.say(line)
        self._thread.start()

    def to_end(self) -> frozenset[int]:
        """The trials that were asked to end, for a progress actor that was lost and started
        again."""
        return frozenset(self._to_end)

    def _end(self, number: int) -> None:
        self._to_end.add(number)  # first, so that none is lost with the actor
        self._actions.stop_trial(number)

    def stop(self) -> None:
        """Stop listening; pending requests are refused."""
        self._over.set()
        self._thread.join(timeout=5)
        stay_connected_for([self._thread])
        with suppress(OSError):
            for path, request in claimed(self._run_dir):
                self._note(path, request, NotDone("the sweep has ended"))

    def _watch(self) -> None:
        while not self._over.wait(EVERY):
            with suppress(OSError):  # a full disk, or a network file system that is away
                self.look()

    def look(self) -> None:
        """Act on pending requests."""
        if not (self._run_dir / "control").is_dir():
            return
        for path, request in claimed(self._run_dir):
            with self._limits.lock:
                # not again where the answer could not be written, as on a full disk
                if request.id not in self._acted:
                    self._acted[request.id] = self._tried(request)
                self._note(path, request, self._acted[request.id])
            del self._acted[request.id]

    def _tried(self, request: Request) -> str | NotDone:
        # whoever asked was ended, such as the page with the sweep
        if request.id in self._left_behind and time.time() - request.asked > FORGOTTEN:
            return NotDone("it was asked before the sweep was started again; ask once more")
        try:
            return self._act(request)
        except NotDone as why:
            return why
        except Exception as error:  # of Ray; whoever asked is told, and the sweep goes on
            return NotDone(f"{type(error).__name__}: {error}")

    def _note(self, path: Path, request: Request, found: str | NotDone) -> None:
        done = isinstance(found, str)
        total = self._limits.trials if done and request.what == "add-trials" else None
        said = Answer(
            request=request, done=done, text=str(found), answered=time.time(), total=total
        )
        answer(self._run_dir, path, said)
        self._actions.say(f"request: {said.line()}")

    def _act(self, request: Request) -> str:
        """Act on a request; returns what was done. Raises NotDone."""
        value = request.value
        if request.what == "stop-trial" and value is not None:
            return self._stop_trial(value)
        if request.what == "add-trials" and value is not None and value > 0:
            return self._add_trials(value)
        if request.what in ("pause", "resume"):
            return self._pause(request.what == "pause")
        if request.what == "time-limit" and (value is None or value > 0):
            return self._time_limit(None if value is None else request.asked + value)
        raise NotDone(f"{request.what}: expected a number above 0, found {value}")

    def _stop_trial(self, number: int) -> str:
        if number == BASE_NUMBER:
            raise NotDone("every trial is compared with the base model, which must be measured")
        running = sorted(self._actions.running())
        if number not in running:
            what = f"running: {trials_text(running)}" if running else "no trial is running"
            raise NotDone(f"trial {number} is not running; {what}")
        self._end(number)
        return f"trial {number} ends at its next step and is recorded as stopped"

    def _add_trials(self, count: int) -> str:
        self._check_open()
        listed = len(self._budget.recipes)
        if listed and self._budget.trials <= listed + len(self._budget.baselines):
            raise NotDone(FIXED)
        total = self._limits.trials + count
        self._budget = raised(self._budget, total)
        write_budget(self._run_dir, self._budget)
        self._limits.trials = total
        self._actions.raise_budget(self._budget, total)
        return f"the sweep ends after {total} trials"

    def _pause(self, wanted: bool) -> str:
        if self._limits.paused == wanted:
            raise NotDone(f"the sweep is {'paused already' if wanted else 'not paused'}")
        self._limits.paused = wanted
        if not wanted:
            return "new trials are started again"
        return "no new trial starts until `resume`; running trials finish"

    def _time_limit(self, until: float | None) -> str:
        self._check_open()
        if until is None:
            self._limits.until = None
            return "there is no time limit any more; the sweep ends after its last trial"
        self._limit(until - time.time())
        at = time.strftime("%H:%M", time.localtime(until))
        return f"no new trial starts after {at}; running trials finish"

    def _limit(self, seconds: float, only_earlier: bool = False) -> None:
        until = time.monotonic() + seconds
        if only_earlier and self._limits.until is not None and self._limits.until <= until:
            return  # of --max-minutes
        self._limits.until, self._limits.why_until = until, LIMIT_TEXT

    def _check_open(self) -> None:
        if self._limits.closed or self._limits.over():
            why = f" ({self._limits.reason})" if self._limits.reason else ""
            raise NotDone(
                f"the sweep is ending{why} and starts no trial; the same command starts it again, "
                "with other options if you like"
            )


def write_budget(run_dir: Path, budget: Budget) -> None:
    """Put the budget into the run's study, for `status` and reports."""
    path = run_dir / STUDY_FILE
    found = json.loads(path.read_text(encoding="utf-8"))
    found["study"]["budget"] = budget.model_dump(mode="json")
    write_json(path, found)
