"""A run as it is served: its parts are computed again when its files have changed; expensive parts
in the background, with pauses."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtray.commands.control import ask_sweep, request_of
from mtray.errors import MtrayError, RunError
from mtray.report.bootstrap_draws import draws_of
from mtray.report.records import RunRecords
from mtray.report.watched_records import Stamp, WatchedRecords, stamp
from mtray.run_files import JOURNAL, STUDY_FILE
from mtray.schema import Study
from mtray.search.ledger.journal_overview import Overview, WatchedOverview
from mtray.search.ledger.run_folder import load_bound
from mtray.search_space.space import Space
from mtray.serving.app import Part, json_body
from mtray.serving.run_data import effects_data, front_data, state_data, table_data

if TYPE_CHECKING:
    from mtray.serving.translations import Translations

LOOK = 0.5  # least seconds between two looks at the folder
REST = 4.0  # a costly part rests for this many times the seconds that it took


class Background:
    """An expensive part: computed in a thread of its own, one at a time.

    - `make`: returns the part.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make, self._lock = make, threading.Lock()
        self._busy, self._not_before = False, 0.0
        self._of = -1  # the version of the records that it was made from
        self.value: Any = None
        self.error = ""
        self.version = 0

    @property
    def busy(self) -> bool:
        return self._busy

    def want(self, version: int) -> None:
        """Start computing it, unless it is up to date, being computed, or in its pause."""
        with self._lock:
            rests = time.monotonic() < self._not_before
            if self._busy or rests or self._of == version:
                return
            self._busy = True
        threading.Thread(target=self._run, args=(version,), daemon=True).start()

    def _run(self, version: int) -> None:
        started = time.monotonic()
        try:
            self.value, self.error = self._make(), ""
        except MtrayError as error:
            self.error = str(error)
        except Exception as error:  # the page says so; the rest of it still works
            self.error = f"{type(error).__name__}: {error}"
        now = time.monotonic()
        with self._lock:
            self._of, self.version = version, self.version + 1
            self._not_before, self._busy = now + REST * (now - started), False


class RunView:
    """A run folder. Safe to use from several threads."""

    def __init__(self, run_dir: Path) -> None:
        self.name, self._run_dir = run_dir.name, run_dir
        self._boot = f"{time.time_ns():x}"  # tags of an earlier server are not ours
        self._lock, self._looked = threading.RLock(), 0.0
        self._files = WatchedRecords(run_dir)
        self._records, self._overview = RunRecords(()), Overview(())
        self._trials = WatchedOverview(run_dir)
        self._journal: Stamp | None = None
        self._bound: tuple[Study, Space] | None = None
        self._bound_stamp: Stamp | None = None
        self._version = 0
        self._rows: dict[int, tuple[Any, Any]] = {}
        self._bodies: dict[str, Part] = {}
        draws = draws_of(run_dir)
        self._front = Background(lambda: front_data(run_dir, *self._study(), self._records, draws))
        self._effects = Background(lambda: effects_data(run_dir, *self._study()))
        self._translations: tuple[Stamp | None, Translations] | None = None

    def ask(self, what: str, value: str | None) -> str:
        """See `mtray.serving.app.View`."""
        request = request_of(what, value, "page")
        said = ask_sweep(self._run_dir, request)
        if not said.done:
            raise RunError(said.text)
        return said.text

    def part(self, name: str, query: Mapping[str, str]) -> Part | None:
        """See `mtray.serving.app.View`. The parts: `state`, `table`, `front`, `effects`,
        `outputs`."""
        if not (self._run_dir / STUDY_FILE).is_file():
            return self._starting() if name == "state" else None
        with self._lock:
            self._look()
        if name == "outputs":
            return self._outputs(query)
        make = {"state": self._state, "table": self._table}.get(name)
        if make:
            return make()
        if name == "effects":
            self._effects.want(self._version)
            return self._costly(name, self._effects)
        return self._costly(name, self._front) if name == "front" else None

    def _look(self) -> None:
        """Read what has changed, at most every `LOOK` seconds."""
        if time.monotonic() - self._looked < LOOK:
            return
        bound = stamp(self._run_dir / STUDY_FILE)
        if bound != self._bound_stamp:
            self._bound, self._bound_stamp = load_bound(self._run_dir), bound
            self._version += 1
        records, journal = self._files.look(), stamp(self._run_dir / JOURNAL)
        if records != self._records or journal != self._journal:
            if journal != self._journal:
                self._overview, self._journal = self._trials.look(), journal
            if records != self._records:
                self._records = records
                self._version += 1
            self._bodies.pop("table", None)
        self._looked = time.monotonic()

    def _study(self) -> tuple[Study, Space]:
        assert self._bound is not None
        return self._bound

    def _starting(self) -> Part:
        body = json_body({"run": self.name, "starting": True, "sweep": None, "versions": {}})
        return Part(f"{self._boot}-starting", body)

    def _state(self) -> Part:
        with self._lock:
            self._front.want(self._version)
            found = state_data(
                self._run_dir, self._study()[0], self._records, self._overview, time.time()
            )
            found["versions"] = {
                "table": self._table().tag, "front": self._tag(self._front),
                "effects": self._tag(self._effects),
            }  # fmt: skip
            found["busy"] = {"front": self._front.busy, "effects": self._effects.busy}
        body = json_body(found)
        return Part(f"{hash(body):x}", body)

    def _table(self) -> Part:
        with self._lock:
            if "table" not in self._bodies:
                found = table_data(self._study()[0], self._records, self._overview, self._rows)
                body = json_body(found)
                self._bodies["table"] = Part(f"{self._boot}-{hash(body):x}", body)
            return self._bodies["table"]

    def _tag(self, part: Background) -> str:
        return f"{self._boot}-{part.version}"

    def _costly(self, name: str, part: Background) -> Part:
        tag, known = self._tag(part), self._bodies.get(name)
        if known is None or known.tag != tag:
            found = {"value": part.value, "error": part.error, "made": part.version > 0}
            known = self._bodies[name] = Part(tag, json_body(found))
        return known

    def _outputs(self, query: Mapping[str, str]) -> Part:
        from mtray.serving.translations import Translations  # imports torch

        with self._lock:
            if self._translations is None or self._translations[0] != self._bound_stamp:
                own = Translations(self._run_dir, self._study()[0])
                self._translations = (self._bound_stamp, own)
            found = self._translations[1]
        body = json_body(found.answer(query))
        return Part(f"{self._boot}-{hash(body):x}", body)
