"""Requests to a running sweep and its answers, as files in the run folder.

Each request is a file in `control/`. Only the sweep acts on it: it claims the file by renaming it,
acts, appends the answer to `control.jsonl`, and deletes the file. The sender may withdraw a request
that was not claimed. A later start needs only the answers.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from mtray.files import write_atomically
from mtray.run_files import result_path
from mtray.schema import Budget
from mtray.schema.base import Frozen

FOLDER, LOG = "control", "control.jsonl"
WAITS, CLAIMED = ".json", ".claimed"
LARGEST = 4096  # bytes of a request's file; ours have a few hundred

What = Literal["stop-trial", "add-trials", "pause", "resume", "time-limit"]


class Request(Frozen):
    """A request to a sweep.

    - `value`: the trial's number, how many trials to add, or the seconds from `asked` on after
      which no trial starts (None: no limit); None for the others.
    - `asked`: when, in seconds of the epoch.
    - `by`: where it came from.
    """

    id: str
    what: What
    value: int | None = None
    asked: Annotated[float, Field(ge=0, le=1e11)]  # a clock can show it
    by: Literal["command", "page"] = "command"

    def text(self) -> str:
        """For example `stop-trial 7`."""
        if self.what == "time-limit":
            return f"time-limit {'off' if self.value is None else f'{self.value / 60:g}m'}"
        if self.what == "stop-trial" and self.value == -1:
            return "stop-trial base"
        return self.what if self.value is None else f"{self.what} {self.value}"


class Answer(Frozen):
    """The outcome of a request, a line of `control.jsonl`.

    - `done`: whether the sweep met it.
    - `text`: what it did, or why it did not.
    - `total`: the number of trials that the budget was raised to.
    """

    request: Request
    done: bool
    text: str
    answered: float
    total: int | None = None

    def line(self) -> str:
        """For example `2026-11-29 18:05 stop-trial 7 (page): trial 7 ends at its next step`."""
        at = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.request.asked))
        said = self.text if self.done else f"not done: {self.text}"
        return f"{at} {self.request.text()} ({self.request.by}): {said}"


class Standing(Frozen):
    """The requests that still hold.

    - `paused_since`: when the sweep was paused, in seconds of the epoch; None: it is not paused.
    - `until`: when the time limit ends, in seconds of the epoch; None: there is none.
    - `total`: the most trials that a budget was raised to; 0: it never was.
    - `stopped`: the trials to stop.
    """

    paused_since: float | None = None
    until: float | None = None
    total: int = 0
    stopped: frozenset[int] = frozenset()


def new_request(what: What, value: int | None, by: Literal["command", "page"]) -> Request:
    now = time.time()
    return Request(
        id=f"{int(now * 1000):013d}-{secrets.token_hex(4)}", what=what, value=value, asked=now,
        by=by,
    )  # fmt: skip


def ask(run_dir: Path, request: Request) -> None:
    """Leave a request for the sweep. Raises OSError where the folder cannot be written."""
    content = request.model_dump_json().encode()
    write_atomically(run_dir / FOLDER / f"{request.id}{WAITS}", content)


def withdraw(run_dir: Path, request: Request) -> bool:
    """Take a request back; False if the sweep has claimed it."""
    try:
        (run_dir / FOLDER / f"{request.id}{WAITS}").unlink()
    except FileNotFoundError:
        return False
    return True


def waiting(run_dir: Path) -> frozenset[str]:
    """The ids of the requests that no sweep has claimed."""
    return frozenset(path.stem for path in (run_dir / FOLDER).glob(f"*{WAITS}"))


def claimed(run_dir: Path) -> list[tuple[Path, Request]]:
    """Claim all requests, the oldest first; those that a killed sweep had claimed come again,
    unless they were answered. A file that is no request is deleted."""
    found = []
    for path in sorted((run_dir / FOLDER).glob("*")):
        if path.suffix not in (WAITS, CLAIMED):
            continue
        mine = path.with_suffix(CLAIMED)
        with contextlib.suppress(FileNotFoundError):  # it was withdrawn meanwhile
            if not path.is_file():  # a folder, or a pipe, which could be waited for
                continue
            os.replace(path, mine)
            request = _read(mine)
            if request is None:
                mine.unlink()
            else:
                found.append((mine, request))
    if not found:
        return []
    known = {answer.request.id for answer in answers(run_dir)}
    for path, request in found:
        if request.id in known:
            path.unlink(missing_ok=True)
    return [(path, request) for path, request in found if request.id not in known]


def _read(path: Path) -> Request | None:
    try:
        with open(path, "rb") as file:
            return Request.model_validate_json(file.read(LARGEST))
    except (OSError, ValidationError):
        return None


def answer(run_dir: Path, path: Path, found: Answer) -> None:
    """Keep the answer, then drop the request's file."""
    with open(run_dir / LOG, "a", encoding="utf-8") as file:
        # a line that was cut off, by a full disk or a crash, must not swallow this one
        cut_off = _ends_within_a_line(run_dir / LOG)
        file.write("\n" * cut_off + found.model_dump_json() + "\n")
        file.flush()
        os.fsync(file.fileno())
    path.unlink(missing_ok=True)


def _ends_within_a_line(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(0, os.SEEK_END)
        if not file.tell():
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


def answers(run_dir: Path) -> tuple[Answer, ...]:
    """All answers in their order; lines that are damaged, or still being written, are left out."""
    try:
        content = (run_dir / LOG).read_bytes()
    except OSError:
        return ()
    found = []
    for line in content.split(b"\n"):
        with contextlib.suppress(ValueError):  # pydantic's error is one
            found.append(Answer.model_validate(json.loads(line)))
    return tuple(found)


def standing(known: Sequence[Answer]) -> Standing:
    """What holds after these answers."""
    paused: float | None = None
    until: float | None = None
    total, stopped = 0, set[int]()
    for found in known:
        request = found.request
        if not found.done:
            continue
        if request.what == "pause":
            paused = request.asked
        elif request.what == "resume":
            paused = None
        elif request.what == "time-limit":
            until = None if request.value is None else request.asked + request.value
        elif request.what == "add-trials":
            total = max(total, found.total or 0)
        elif request.value is not None:
            stopped.add(request.value)
    return Standing(paused_since=paused, until=until, total=total, stopped=frozenset(stopped))


def to_stop(run_dir: Path, known: Standing) -> list[int]:
    """The trials to stop that have not ended yet."""
    return [n for n in sorted(known.stopped) if not result_path(run_dir, n).is_file()]


def raised(budget: Budget, total: int) -> Budget:
    """The budget with at least `total` trials, which are all trials with `settle`, as with
    `--trials`."""
    if budget.settle is None:
        return budget.model_copy(update={"trials": max(budget.trials, total)})
    most = budget.trials + budget.trials // 2 if budget.ceiling is None else budget.ceiling
    return budget if total <= most else budget.model_copy(update={"ceiling": total})


def standing_lines(known: Sequence[Answer], now: float) -> list[str]:
    """The pause and the time limit that hold at `now`, in words."""
    found = standing(known)
    lines = []
    if found.paused_since is not None:
        lines.append(
            f"paused since {_clock(found.paused_since)}: no new trial starts; `python -m mtray "
            "control RUN resume` goes on while the sweep runs"
        )
    if found.until is not None and found.until > now:
        lines.append(f"time limit: no trial starts after {_clock(found.until)}")
    return lines


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))
