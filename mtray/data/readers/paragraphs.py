"""The line breaks of a text: one rule for everything that reads, asks, answers or measures.

A text may hold line breaks, in every format that can express them (docs/data.md). A break is LF, or
CR-LF, which is read as LF; all other white space, also a lone CR, divides words. The functions
differ only for texts with a break: `one_line(text)` is `lines_kept(text)` of a text without one,
and `as_read` and `joined` do not change it.
"""

from __future__ import annotations

from collections.abc import Sequence

BREAK = "\n"


def has_break(text: str) -> bool:
    return BREAK in text


def line_count(text: str) -> int:
    """Lines with text: blank ones between paragraphs do not count."""
    return sum(not line.isspace() for line in text.split(BREAK) if line)


def as_read(text: str) -> str:
    """What readers return: without blank lines before and after the text. Within it, blank lines
    and white space stay."""
    if BREAK not in text:
        return text
    text = text.replace("\r\n", BREAK)
    before, after = len(text) - len(text.lstrip()), len(text.rstrip())
    start, end = text.rfind(BREAK, 0, before) + 1, text.find(BREAK, after)
    return text[start : end if end >= 0 else None]


def one_line(text: str) -> str:
    """For prompts and answers of one line: any run of white space is one space."""
    return " ".join(text.split())


def lines_kept(text: str) -> str:
    """For prompts and answers that keep their line breaks: `one_line` of every line."""
    return BREAK.join(map(one_line, as_read(text).split(BREAK)))


def joined(text: str) -> str:
    """On one line without any other change, as WMT's files and tools have paragraphs: a break, with
    the white space around it, is one space. For metrics, whose official command lines take a
    segment a line, and for training rows of templates of one line."""
    if BREAK not in text:
        return text
    first, *more = as_read(text).split(BREAK)
    if not more:
        return first
    *middle, last = more
    inner = (stripped for line in middle if (stripped := line.strip()))
    return " ".join([first.rstrip(), *inner, last.lstrip()])


def continued(texts: Sequence[str]) -> str:
    """Successive texts of one document as one: on the same line or, where one of them holds a
    break, each on a line of its own."""
    return (BREAK if any(map(has_break, texts)) else " ").join(texts)
