"""`control`: ask a running sweep to stop a trial, add trials, pause, resume, or keep to a time
limit. Only the sweep itself acts on requests (`mtray.control_requests`)."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Literal, cast, get_args

from mtray.commands.run_argument import run_folder
from mtray.commands.status import lock_holder
from mtray.control_requests import Answer, Request, What, answers, ask, new_request, withdraw
from mtray.errors import ConfigError, RunError

PATIENCE = 20.0  # seconds for the sweep to answer; it looks for requests twice a second
MOST = 10_000  # trials that are added at once, and a limit on a trial's number is far above it
LONGEST = 366 * 86_400  # seconds of a time limit
TIME = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?:in)?)?")
# what to do instead where no sweep runs
INSTEAD = {
    "stop-trial": "there is no running trial to stop",
    "add-trials": "give the sweep's command a larger --trials",
    "pause": "there is nothing to pause; the sweep's command starts it again",
    "resume": "the sweep's command starts it again",
    "time-limit": "give the sweep's command --max-minutes",
}


def control(path: Path, what: str, value: str | None) -> int:
    """Send a request and print what the sweep did. ConfigError for a wrong value, RunError if no
    sweep is running or it refused."""
    request = request_of(what, value)
    said = ask_sweep(run_folder(path), request)
    if not said.done:
        raise RunError(f"{request.text()}: not done: {said.text}")
    print(f"{request.text()}: {said.text}")
    return 0


def request_of(what: str, value: str | None, by: Literal["command", "page"] = "command") -> Request:
    """The request that a user has typed. Raises ConfigError for an invalid one."""
    if what not in get_args(What):
        raise ConfigError(f"found {what!r}; allowed: {', '.join(get_args(What))}")
    kind = cast(What, what)
    if kind in ("pause", "resume"):
        if value is not None:
            raise ConfigError(f"{what}: takes no value, found {value!r}")
        return new_request(kind, None, by)
    if value is None:
        example = {"stop-trial": "7", "add-trials": "5"}.get(what, "2h")
        raise ConfigError(f"{what}: a value is missing, such as `{what} {example}`")
    if kind == "time-limit":
        return new_request(kind, seconds_of(value), by)
    if kind == "stop-trial" and value == "base":
        return new_request(kind, -1, by)
    if not re.fullmatch("[0-9]{1,9}", value):
        raise ConfigError(f"{what}: expected a whole number, found {value[:40]!r}")
    if kind == "add-trials" and not 1 <= int(value) <= MOST:
        raise ConfigError(f"add-trials: expected 1 to {MOST}, found {value}")
    return new_request(kind, int(value), by)


def seconds_of(text: str) -> int | None:
    """The seconds of a time such as `2h`, `90m` or `1h30m`; None for `off`. ConfigError for any
    other text."""
    if text == "off":
        return None
    found = TIME.fullmatch(text)
    hours, minutes = found.groups() if found else (None, None)
    seconds = round(3600 * float(hours or 0) + 60 * float(minutes or 0))
    if not 1 <= seconds <= LONGEST:
        raise ConfigError(
            f"time-limit: expected a time such as 2h, 90m or 1h30m, at most a year, or off; found "
            f"{text[:40]!r}"
        )
    return seconds


def ask_sweep(run_dir: Path, request: Request, patience: float = PATIENCE) -> Answer:
    """The answer of the run's sweep. RunError if none is running or it does not answer; the request
    is withdrawn then."""
    if lock_holder(run_dir) is None:
        raise RunError(f"{run_dir}: no sweep is running there; {INSTEAD[request.what]}")
    try:
        ask(run_dir, request)
    except OSError as error:
        raise RunError(f"{run_dir}: the request cannot be written there: {error}") from None
    try:
        return _answer(run_dir, request, patience)
    except BaseException:  # such as Ctrl-C: a later start must not find it
        withdraw(run_dir, request)
        raise


def _answer(run_dir: Path, request: Request, patience: float) -> Answer:
    until, claimed = time.monotonic() + patience, False
    while True:
        found = [a for a in answers(run_dir) if a.request.id == request.id]
        if found:
            return found[0]
        if time.monotonic() > until:
            if claimed:
                raise RunError(f"{run_dir}: the sweep accepted the request but did not answer")
            if withdraw(run_dir, request):
                raise RunError(
                    f"{run_dir}: the sweep did not answer within {patience:g} s, and the request "
                    "was withdrawn; it answers once its trials have started, until it is ending"
                )
            until, claimed = time.monotonic() + patience, True
        time.sleep(0.1)
