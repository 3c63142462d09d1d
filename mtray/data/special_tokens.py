"""Special tokens of a tokenizer that occur as text, such as `</s>` or an end of a turn in a crawled
corpus. A tokenizer reads them as what they spell: an answer ends there, or another turn begins.
They are counted and reported, not changed: a source of one's own prompts may mean them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

PREFIX = "special_tokens"  # of the counts' names


def special_token_pattern(tokenizer: Any) -> re.Pattern[str] | None:
    """Finds every special token that the tokenizer reads in a text; None where it has none."""
    added: Mapping[int, Any] = getattr(tokenizer, "added_tokens_decoder", {})
    texts = {token.content for token in added.values() if token.special}
    # the longest first: one may begin as another does
    ordered = sorted((text for text in texts if text.strip()), key=lambda text: (-len(text), text))
    return re.compile("|".join(map(re.escape, ordered))) if ordered else None


def count_in(
    pattern: re.Pattern[str] | None, texts: Iterable[str | None], counts: Counter[str]
) -> None:
    """Count a row with such tokens once, and once for each of them: `special_tokens`,
    `special_tokens.</s>`."""
    found = {token for text in texts if pattern and text for token in pattern.findall(text)}
    if found:
        counts.update([PREFIX, *(f"{PREFIX}.{token}" for token in found)])


def special_token_line(counts: Mapping[str, int], what: str) -> str | None:
    """What the counts say of `what` (`rows`, `texts`), or None."""
    if not counts.get(PREFIX):
        return None
    head = f"{PREFIX}."
    by_token = {k.removeprefix(head): n for k, n in counts.items() if k.startswith(head)}
    shown = sorted(by_token.items(), key=lambda pair: (-pair[1], pair[0]))[:3]
    tokens = ", ".join(f"{token} {n:,}" for token, n in shown)
    return (
        f"{counts[PREFIX]:,} {what} hold special tokens as text ({tokens}), which the tokenizer "
        "reads as such: a text ends or a turn begins there; rewrite them unless that is meant"
    )
