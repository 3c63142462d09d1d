"""What of a run was sent where, as a small file in its folder: the trackers' own ids of the runs,
and a hash of what was sent of each. No address and no credential is in it."""

from __future__ import annotations

import secrets
from contextlib import AbstractContextManager
from pathlib import Path

from pydantic import Field, ValidationError

from mtray.errors import RunError
from mtray.file_locks import held_alone
from mtray.report.records import write_json
from mtray.schema.base import Frozen

FILE = "tracking.json"
LOCK = ".tracking.lock"


class SentRun(Frozen):
    """A trial's run as it was sent.

    - `id`: the tracker's own.
    - `digest`: of its content (`TrackedRun.digest`).
    """

    id: str
    digest: str


class SentTo(Frozen):
    """What was sent to one place.

    - `id`, `digest`: of the sweep's run; empty: not sent yet.
    - `children`: the trials', by number.
    """

    id: str = ""
    digest: str = ""
    children: dict[int, SentRun] = {}  # noqa: RUF012  (pydantic copies defaults)

    def with_child(self, number: int, sent: SentRun) -> SentTo:
        return self.model_copy(update={"children": {**self.children, number: sent}})


class SentRuns(Frozen):
    """All of a run folder.

    - `key`: a random name of the run folder, which trackers find its runs by.
    - `places`: by place (`mtray.tracking.tracker_address.place_name`).
    """

    key: str = Field(default_factory=lambda: secrets.token_hex(6))
    places: dict[str, SentTo] = {}  # noqa: RUF012

    def at(self, place: str) -> SentTo:
        return self.places.get(place, SentTo())

    def with_place(self, place: str, sent: SentTo) -> SentRuns:
        return self.model_copy(update={"places": {**self.places, place: sent}})


def read_sent(run_dir: Path) -> SentRuns:
    """What was sent; a new one, written at once, before anything is. RunError if the file is
    damaged: without it all would be sent twice."""
    path = run_dir / FILE
    if not path.is_file():
        found = SentRuns()
        write_sent(run_dir, found)
        return found
    try:
        return SentRuns.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise RunError(
            f"{path}: {error.errors()[0]['msg']}; without it mtray does not know what it has sent: "
            "delete it to send the whole run again, as new runs of the tracker"
        ) from None


def write_sent(run_dir: Path, sent: SentRuns) -> None:
    write_json(run_dir / FILE, sent.model_dump(mode="json"))


def sending(run_dir: Path) -> AbstractContextManager[None]:
    """Hold the lock of the one process that may send this run. RunError if another one does."""
    return held_alone(
        run_dir / LOCK,
        lambda holder: (
            f"{run_dir}: is being sent by {holder}, which also sends what comes; wait for it"
        ),
        "and what was sent is noted there",
    )
