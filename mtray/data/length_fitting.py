"""Examples made as long as fits. Many are tokenised together, since counting the tokens of texts
one by one takes several times as long."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from typing import NamedTuple

CHUNK = 8192  # drafts per batch


class Example(NamedTuple):
    """The loss is taken on the target; with an empty prompt that is the whole text."""

    prompt: str
    target: str


# yields candidates, is sent whether each fits, and returns the final example
Draft = Generator[Example, bool, Example]
Fits = Callable[[Sequence[Example]], Sequence[bool]]


def fitted_examples(drafts: Iterable[Draft], fits: Fits) -> Iterator[Example]:
    """The examples that the drafts return, in their order; the candidates of a chunk are checked
    together."""
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
