"""A source as shards: parts of its rows that are filtered, rendered and tokenised apart, in any
process and any order, and joined in theirs. A store does not depend on where its shards were built
or how many there were.

The process that builds a store reads the files, of which most formats can only be read from their
beginning, and passes on rows; so the files need to be on its machine only. It builds the first
shards itself, and asks for helpers when that takes long. Filters that compare rows, and examples
made of several rows, stay in that process (`ShardWork`).
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import Any, NamedTuple, Protocol

from mtray.data.filter_counts import FilterCounts
from mtray.data.filters import RowFilter
from mtray.data.token_chunks import TokenChunk
from mtray.data.token_files import ROWS
from mtray.data.token_makers import TokenMaker
from mtray.data.tokenizer_threads import tokenizer_threads

# seconds of building here before helpers are asked for: about what other processes take to start
# and to import the tokenizer, so that at worst a store takes twice as long as it might have
ALONE = 20.0
SHARD_CHARACTERS = 1 << 22  # of a shard; it has fewer than `ROWS` rows where they are long
THREADS = 2  # one shard is filtered and rendered while the tokenizer is at another

Builder = tuple[str, int]  # a task's node and process
HERE: Builder = ("", 0)


class Shard(NamedTuple):
    """Rows that follow one another.

    - `before`: number of rows before them.
    - `counted_only`: the source is refused, and only the counts of its filter are still needed.
    """

    before: int
    rows: list[Any]
    counted_only: bool = False


class BuiltShard(NamedTuple):
    """The tokens of a shard, and what was counted. `rows`: the shard's."""

    rows: int
    tokens: TokenChunk | None
    filtered: FilterCounts
    rendered: Counter[str]
    builder: Builder = HERE


class ShardWork(NamedTuple):
    """What is done with the rows of a shard. `row_filter`: None if they are filtered already."""

    row_filter: RowFilter | None
    maker: TokenMaker

    def build(self, shard: Shard) -> BuiltShard:
        """Raises DataError or ConfigError."""
        row_filter = self.row_filter and self.row_filter.part(shard.before)
        rows = row_filter.passing(shard.rows) if row_filter else iter(shard.rows)
        found = row_filter.found if row_filter else FilterCounts()
        if shard.counted_only:
            deque(rows, maxlen=0)
            return BuiltShard(len(shard.rows), None, found, Counter())
        tokens, counts = self.maker.made(rows)
        return BuiltShard(len(shard.rows), tokens, found, counts)


class ShardRunner(Protocol):
    """Builds shards. `submit` begins one and returns what waits for it; `window`: how many are
    begun before the first is waited for."""

    @property
    def window(self) -> int: ...
    def submit(self, shard: Shard) -> Callable[[], BuiltShard]: ...


class Helpers(Protocol):
    """Other processes that build shards. `inputs`: those of the store, of which `code` and
    `versions` must be the same there. None: there are no others."""

    def runner(
        self, store: str, work: ShardWork, inputs: Mapping[str, Any]
    ) -> ShardRunner | None: ...


class ThreadRunner:
    """Builds shards in threads of this process."""

    window = THREADS + 1

    def __init__(self, work: ShardWork, pool: ThreadPoolExecutor) -> None:
        self._work, self._pool = work, pool

    def submit(self, shard: Shard) -> Callable[[], BuiltShard]:
        return self._pool.submit(self._work.build, shard).result


def cut(rows: Iterable[Any], counted_only: Callable[[], bool] = lambda: False) -> Iterator[Shard]:
    """Rows (by role, or examples) as shards of up to `ROWS`."""
    before, held, characters = 0, list[Any](), 0
    for row in rows:
        held.append(row)
        texts = row.values() if isinstance(row, dict) else row
        characters += sum(map(len, filter(None, texts)))
        if len(held) == ROWS or characters >= SHARD_CHARACTERS:
            yield Shard(before, held, counted_only())
            before, held, characters = before + len(held), [], 0
    if held:
        yield Shard(before, held, counted_only())


def built_shards(
    work: ShardWork,
    rows: Iterable[Any],
    helpers: Callable[[], ShardRunner | None] = lambda: None,
    refused: Callable[[], bool] = lambda: False,
) -> Generator[BuiltShard, None, None]:
    """All shards of the rows, built, in their order. `helpers` is called once, for a source that is
    not done after `ALONE` seconds; `refused`: whether the shards so far show that the source is
    refused. Whichever shard fails first, the error raised is that of the first row that has one."""
    errors: list[Exception] = []
    shards = cut(_until_error(rows, errors), refused)
    pool = ThreadPoolExecutor(THREADS)
    try:
        here: ShardRunner = ThreadRunner(work, pool)
        with tokenizer_threads():
            yield from _in_order(here, work, _for_seconds(shards, ALONE), refused)
        for next_one in shards:  # at most once
            runner = helpers() or here
            with tokenizer_threads():  # again: helpers may have set the environment of a sweep
                yield from _in_order(runner, work, chain([next_one], shards), refused)
    finally:  # after an error or an interruption, nobody wants the shards that wait for a thread
        pool.shutdown(cancel_futures=True)
    if errors:
        raise errors[0]


def _for_seconds(shards: Iterator[Shard], seconds: float) -> Iterator[Shard]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            shard = next(shards)
        except StopIteration:
            return
        yield shard


def _until_error(rows: Iterable[Any], errors: list[Exception]) -> Iterator[Any]:
    """The rows up to an error, which is kept: shards of rows before it may fail, too."""
    try:
        yield from rows
    except Exception as error:
        errors.append(error)


def _in_order(
    runner: ShardRunner, work: ShardWork, shards: Iterable[Shard], refused: Callable[[], bool]
) -> Iterator[BuiltShard]:
    waiting = deque[Callable[[], BuiltShard]]()
    for shard in shards:
        waiting.append(partial(_result, runner.submit(shard), work, shard, refused))
        if len(waiting) >= runner.window:
            yield waiting.popleft()()
    while waiting:
        yield waiting.popleft()()


def _result(
    wait: Callable[[], BuiltShard], work: ShardWork, shard: Shard, refused: Callable[[], bool]
) -> BuiltShard:
    try:
        return wait()
    except Exception:
        if not refused():
            raise
        # begun before the rows were known to be refused: only its counts matter
        return work.build(shard._replace(counted_only=True))
