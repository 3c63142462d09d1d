"""From a source's rows to training examples: `Renderer`.

The keys of a row are roles: `source` and `target` (in the order of the source's `languages`),
`text`, or `prompt` and `target`; and `document` where the source names one. Everything drawn for a
row (its request, direction, noise, shots) depends on the study's seed, the source's name and the
row's content, never on its position.
"""

from __future__ import annotations

import copy
import heapq
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mtray.data.content_draws import choice_by_content, uniform_by_content
from mtray.data.documents import joined_rows, joined_texts, with_previous
from mtray.data.instructions import INSTRUCTIONS
from mtray.data.length_fitting import Draft, Example, fitted_examples
from mtray.data.noise import NoiseMaker
from mtray.data.readers.paragraphs import BREAK, continued, has_break, joined
from mtray.data.readers.sources import Row
from mtray.data.row_draws import direction_draw, place_of_share
from mtray.data.special_tokens import count_in, special_token_pattern
from mtray.data.tokenization import encode_examples, fitting
from mtray.data.translation_prompts import Pair, PromptBuilder
from mtray.errors import ConfigError
from mtray.full_disk import naming_temporary
from mtray.schema import Source, Study

SHOT_POOL = 5000  # rows of a source from which shots are drawn
SEVERAL_LINES = "several_lines"  # the count of rows with a text of several lines


@dataclass
class Renderer:
    """A source's examples; `few_shot`: pairs are preceded by shots. `counts`, complete once the
    examples are read: what was applied how often, such as `direction.uk-en`, `shots.3`,
    `noise.rows`, `examples`."""

    source: Source
    prompt_builder: PromptBuilder
    tokenizer: Any
    max_length: int
    noise: NoiseMaker | None = None
    few_shot: bool = False
    counts: Counter[str] = field(default_factory=Counter)

    def examples(self, rows: Iterable[Row]) -> Iterator[Example]:
        """The examples of all rows of the source. Must be called once and with all of them if it is
        `combining` rows. Raises DataError or ConfigError."""
        self.counts.clear()
        for example in self._examples(self._counted(rows)):
            self.counts["examples"] += 1
            yield example
        if self.noise is not None:
            self.counts.update(self.noise.counts)

    @property
    def combining(self) -> str:
        """What makes examples of several rows at a time, in words; empty if each is of one row. By
        Apertium rows are translated together."""
        if self.few_shot:
            return "shots"
        if self.source.documents or self.source.context:
            return "documents" if self.source.documents else "context"
        return "apertium" if self.noise is not None and self.noise.noise.apertium else ""

    def part(self) -> Renderer:
        """The renderer for a part of the source, with counts of its own, if it combines no rows."""
        noise = copy.copy(self.noise)
        if noise is not None:
            noise.counts = Counter()
        return replace(self, noise=noise, counts=Counter())

    def _counted(self, rows: Iterable[Row]) -> Iterator[Row]:
        special = special_token_pattern(self.tokenizer)
        for row in rows:
            self.counts["rows"] += 1
            texts = [text for role, text in row.items() if role != "document"]
            count_in(special, texts, self.counts)
            if any(map(has_break, texts)):
                self.counts[SEVERAL_LINES] += 1
            yield row

    def _examples(self, rows: Iterable[Row]) -> Iterator[Example]:
        source = self.source
        if source.kind == "mono":
            if source.documents:
                texts = joined_texts(rows, source.name, self.max_length, self._lengths)
            else:
                texts = (row["text"] for row in rows)
            return (Example("", text) for text in texts)
        if source.kind != "parallel":
            return (Example(self.prompt_builder.anything(r["prompt"]), r["target"]) for r in rows)
        rows = (trained_row(row, self.prompt_builder.keeps_breaks) for row in rows)
        if self.noise is not None:
            rows = self.noise.rows(rows)
        if source.documents:
            rows = joined_rows(rows, source.name, self._joined, self._fits)
        if self.few_shot:
            pool, kept = _pool(rows, self.prompt_builder.key)
            return fitted_examples((self._with_shots(row, pool) for row in kept), self._fit)
        if source.context:
            windows = with_previous(rows, source.name, source.context)
            drafts = (self._with_context(row, previous) for row, previous in windows)
            return fitted_examples(drafts, self._fit)
        return (self._pair(row) for row in rows)

    def _lengths(self, texts: Sequence[str]) -> list[int]:
        return [len(ids) for ids, _ in encode_examples(self.tokenizer, [("", t) for t in texts])]

    def _fit(self, examples: Sequence[Example]) -> list[bool]:
        return fitting(self.tokenizer, examples, self.max_length)

    def _joined(self, row: Row, following: Row) -> Row:
        """Two rows of a document as one, line after line, or on one line where the study's texts
        are."""
        separator = BREAK if self.prompt_builder.keeps_breaks else " "
        return row | {side: f"{row[side]}{separator}{following[side]}" for side in SIDES}

    def _fits(self, row: Row) -> bool:
        pair, directions = _texts(row), self.source.directions or ["-".join(self.source.languages)]
        asked = [self._asked(pair, (d.split("-")[0], d.split("-")[1])) for d in directions]
        return all(self._fit(asked))

    def _direction(self, row: Row) -> tuple[str, str]:
        """Source and target language, by the shares of `directions`."""
        shares = self.source.directions or {"-".join(self.source.languages): 1.0}
        place = 0
        if len(shares) > 1:
            drawn = direction_draw(self.prompt_builder.key, _texts(row))
            place = place_of_share(drawn, shares.values())
        direction = list(shares)[place]
        self.counts[f"direction.{direction}"] += 1
        source, target = direction.split("-")
        return source, target

    def _sides(self, pair: Pair, direction: tuple[str, str]) -> Pair:
        return pair if direction == self.source.languages else (pair[1], pair[0])

    def _asked(self, pair: Pair, direction: tuple[str, str], shots: Sequence[Pair] = ()) -> Example:
        text, answer = self._sides(pair, direction)
        shown = [self._sides(shot, direction) for shot in shots]
        return Example(self.prompt_builder.translation(text, *direction, shots=shown), answer)

    def _pair(self, row: Row) -> Example:
        return self._asked(_texts(row), self._direction(row))

    def _with_context(self, row: Row, previous: Sequence[Row]) -> Draft:
        """The row after preceding rows, joined to one text as in the ability `context`; as many of
        them as fit."""
        direction = self._direction(row)
        for start in range(len(previous) + 1):
            rows = [*previous[start:], row]
            asked = self.prompt_builder.asked
            text, answer = (continued([asked(r[side]) for r in rows]) for side in SIDES)
            example = self._asked((text, answer) if len(rows) > 1 else _texts(row), direction)
            if len(rows) == 1 or (yield example):
                break
        self.counts[f"previous.{len(rows) - 1}"] += 1
        return example

    def _with_shots(self, row: Row, pool: Sequence[Pair]) -> Draft:
        """The row after as many shots as were drawn. If they do not all fit, shots are added one by
        one, skipping those that do not fit."""
        pair, direction = _texts(row), self._direction(row)
        shots = self._shots(pair, pool)
        example = self._asked(pair, direction, shots)
        if shots and not (yield example):
            drawn, shots = shots, []
            for shot in drawn:
                if (yield self._asked(pair, direction, [*shots, shot])):
                    shots.append(shot)
            example = self._asked(pair, direction, shots)
        self.counts[f"shots.{len(shots)}"] += 1
        return example

    def _shots(self, pair: Pair, pool: Sequence[Pair]) -> list[Pair]:
        """Pairs of the pool that share no text with `pair` or each other; fewer than drawn where
        the pool is small."""
        least, most = self.source.shots
        count = least + choice_by_content(most - least + 1, "shots", self.prompt_builder.key, *pair)
        taken = {side.casefold() for side in pair}
        chosen: list[Pair] = []
        for attempt in range(4 * count + 16):
            if len(chosen) == count:
                break
            shot = pool[
                choice_by_content(len(pool), "shot", attempt, self.prompt_builder.key, *pair)
            ]
            sides = {side.casefold() for side in shot}
            if not sides & taken:
                chosen.append(shot)
                taken |= sides
        return chosen


SIDES = ("source", "target")


def trained_row(row: Row, keeps_breaks: bool) -> Row:
    """A pair as it is trained on: with its line breaks, or on one line."""
    if keeps_breaks or not any(has_break(row[side]) for side in SIDES):
        return row
    return row | {side: joined(row[side]) for side in SIDES}


def _texts(row: Row) -> Pair:
    return row["source"], row["target"]


def _pool(rows: Iterable[Row], key: str) -> tuple[list[Pair], Iterator[Row]]:
    """The pairs that shots are drawn from, which are the `SHOT_POOL` of lowest hash, and all rows
    again. The rows are spooled to disk, since the pool is known only at their end."""
    file = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  (closed once read)
    heap: list[tuple[float, Pair]] = []  # the highest hash first
    held: set[tuple[float, Pair]] = set()
    with naming_temporary(file, "the rows of a source with shots"):
        for row in rows:
            print(json.dumps(row), file=file)
            pair = _texts(row)
            entry = (-uniform_by_content("pool", key, *pair), pair)
            if entry in held:
                continue
            held.add(entry)
            if len(heap) < SHOT_POOL:
                heapq.heappush(heap, entry)
            else:
                held.discard(heapq.heappushpop(heap, entry))
        file.seek(0)

    def again() -> Iterator[Row]:
        with file:
            for line in file:
                yield json.loads(line)

    return [pair for _, pair in sorted(heap, reverse=True)], again()


def build_renderer(
    source: Source,
    study: Study,
    tokenizer: Any,
    few_shot: bool = False,
    instructions: int | None = None,
) -> Renderer:
    """`instructions`: how many of the pool are used (None: all). Raises ConfigError for a template
    that the tokenizer cannot fill, or replay that was not generated; DataError for a `noise` file
    that cannot be read."""
    if source.replay != "er":
        raise ConfigError(
            f"source {source.name!r}: its replay is not generated yet; run "
            "`python -m mtray data generate STUDY`"
        )
    key = f"{study.seed}/{source.name}"
    number = instructions or len(INSTRUCTIONS)
    asking = PromptBuilder(study.template, tokenizer, key, study.paragraphs, number)
    noise = NoiseMaker(source, source.own_noise, study.seed) if source.own_noise else None
    return Renderer(source, asking, tokenizer, study.training.max_length, noise, few_shot)
