"""Examples that are made as long as fits: many at once, since counting the tokens of one text by
itself takes several times as long as counting them among others."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

CHUNK = 8192  # drafts that are settled together


class Example(NamedTuple):
    """The loss is taken on the target; with an empty prompt that is everything."""

    prompt: str
    target: str


# yields what it would make, is told whether that fits, and returns what it made of it
Draft = Generator[Example, bool, Example]
Fits = Callable[[Sequence[Example]], Sequence[bool]]


def fitted_examples(drafts: Iterable[Draft], fits: Fits) -> Iterator[Example]:
    """What the drafts return, in their order; all that a chunk of them asks is asked together."""
    rest = iter(drafts)
    while chunk := list(islice(rest, CHUNK)):
        yield from _settled_together(chunk, fits)


def _settled_together(drafts: Sequence[Draft], fits: Fits) -> list[Example]:
    found: dict[int, Example] = {}
    asked: dict[int, Example] = {}

    def step(place: int, go_on: Callable[[], Example]) -> None:
        try:
            asked[place] = go_on()
        except StopIteration as end:
            found[place] = end.value

    for place, draft in enumerate(drafts):
        step(place, draft.__next__)
    while asked:
        places, told = list(asked), fits(list(asked.values()))
        asked.clear()
        for place, fit in zip(places, told, strict=True):
            step(place, partial(drafts[place].send, fit))
    return [found[place] for place in range(len(drafts))]
