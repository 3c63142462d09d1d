"""The building of a token store from shards, with what is said of it meanwhile and afterwards."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from mtray.data.filter_counts import FilterCounts
from mtray.data.shards import HERE, Builder, Helpers, ShardRunner, ShardWork, built_shards
from mtray.data.store_room import NoRoom
from mtray.data.token_files import TokenWriter
from mtray.data.tokenizer_threads import switched_off
from mtray.full_disk import size_text

Say = Callable[[str], None]
SAID_EVERY = 20.0  # seconds
COUNTING = 10.0  # seconds at most spent on counting the rows of a store that does not fit


@dataclass
class StoreBuilder:
    """Builds the store of one variant of a source.

    - `name`: of the store, as messages call it.
    - `say`: is told how far it is.
    - `helpers`: other processes that build shards.
    - `serial`: the steps that this process does for all rows, and why; empty if none.
    """

    name: str
    say: Say
    helpers: Helpers | None = None
    serial: str = ""

    def write(
        self,
        work: ShardWork,
        rows: Iterable[Any],
        inputs: Mapping[str, Any],
        writer: TokenWriter,
        found: FilterCounts,
        rendered: Counter[str],
    ) -> dict[str, Any]:
        """Write the rows' shards; `found` and `rendered` are added to. Returns the manifest's entry
        on the builders. Raises DataError or ConfigError; NoRoom, with how much the store needs, if
        the disk is full."""
        tally = Tally(rows)
        builders: Counter[Builder] = Counter()
        began = said = time.monotonic()
        read = 0

        def refused() -> bool:
            return work.row_filter is not None and work.row_filter.refused

        def helpers() -> ShardRunner | None:
            runner = None
            if self.helpers is not None:
                runner = self.helpers.runner(self.name, work, inputs)
            if runner is not None and self.serial:
                self.say(f"  {self.serial}")
            if runner is None and (line := _without_threads(work)):
                self.say(f"store of {self.name}: {line}")
            return runner

        with closing(built_shards(work, tally, helpers, refused)) as built:
            for shard in built:
                found.add(shard.filtered)
                rendered.update(shard.rendered)
                builders[shard.builder] += 1
                read += shard.rows
                if shard.tokens is not None and not refused():
                    try:
                        writer.add(shard.tokens)
                    except NoRoom as full:
                        needs = self._needs(writer.size / read, tally)
                        raise NoRoom(full.root, full.why, needs) from full
                now = time.monotonic()
                if now - said >= SAID_EVERY:
                    said, speed = now, f"{read / (now - began):,.0f} rows/s"
                    by = builders_text(_summary(builders))
                    self.say(f"store of {self.name}: {read:,} rows so far, {speed}{by}")
        if work.row_filter is not None:
            work.row_filter.check()
        return {"builders": _summary(builders) | ({"serial": self.serial} if self.serial else {})}

    def _needs(self, bytes_per_row: float, rows: Tally) -> str:
        """How much the store needs, as text: bytes per row so far, times the number of all rows."""
        whole = rows.count_rest(COUNTING)
        about = "about" if whole else "more than"
        return f"the store of {self.name} needs {about} {size_text(bytes_per_row * rows.count)}"


class Tally:
    """Rows that can be read once.

    - `count`: how many have been read so far.
    """

    def __init__(self, rows: Iterable[Any]) -> None:
        self._rows, self.count = iter(rows), 0

    def __iter__(self) -> Iterator[Any]:
        for row in self._rows:
            self.count += 1
            yield row

    def count_rest(self, seconds: float) -> bool:
        """Read on for at most `seconds`, to count; whether the end was reached."""
        end = time.monotonic() + seconds
        with suppress(Exception):  # the full disk is reported, not a bad row that comes later
            for _ in self:
                if time.monotonic() > end:
                    return False
        return True


def _without_threads(work: ShardWork) -> str:
    """A line that says why the tokenizer's own threads are off in this process; empty if they are
    on, or if it is a slow tokenizer, which has none."""
    tokenizer = getattr(work.maker, "tokenizer", None)
    off = switched_off()
    if not off or getattr(tokenizer, "backend_tokenizer", None) is None:  # only fast ones read it
        return ""
    return f"the tokenizer's own threads are off, since {off} is set; unset it to use all cores"


def _summary(builders: Counter[Builder]) -> dict[str, Any]:
    """How many shards there were, and how many of them were built by tasks, in how many processes
    of how many machines."""
    tasks = [builder for builder in builders if builder != HERE]
    return {
        "shards": builders.total(),
        "by_tasks": sum(builders[task] for task in tasks),
        "processes": len(tasks),
        "machines": len({node for node, _ in tasks}),
    }


def builders_text(found: Mapping[str, Any]) -> str:
    """Who built a store, by its manifest; empty if the process did that asked for it."""
    if not found.get("by_tasks"):
        return ""
    machines = f"{found['machines']} machine{'s' * (found['machines'] > 1)}"
    return (
        f", {found['by_tasks']:,} of {found['shards']:,} shards by tasks in {found['processes']} "
        f"process{'es' * (found['processes'] > 1)} on {machines}"
    )
