"""The rich console of every command: plain text where the output is no terminal, and no control
characters from records or names."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from mtray.streams import printable


class PrintableConsole(Console):
    """A console that shows control characters in text as escapes; its own are kept."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(printable(text), style)


def new_console(**settings: Any) -> Console:
    """A console on standard output. Rich learns its encoding only from a file that is given."""
    return PrintableConsole(file=sys.stdout, **settings)
