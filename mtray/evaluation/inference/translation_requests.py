"""Requests for a translation: what ends an answer, and how long it may be.

The answer to a source of one line is one line of at most `max_new_tokens`. A source with line
breaks, where the study keeps them (`mtray.data.translation_prompts`), has an answer that ends at an
end token alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mtray.data.readers.paragraphs import has_break, line_count, lines_kept, one_line
from mtray.evaluation.inference.requests import Output, Request

# a translation has at most about three times as many tokens as its source, where the tokenizer was
# made for the source's language
TOKENS_PER_SOURCE_TOKEN = 3


def translation_request(prompt: str, source: str, max_new_tokens: int, tokenizer: Any) -> Request:
    """The request for a translation of `source`, which is as it is in the prompt. An answer of
    several lines may be longer than `max_new_tokens`, in proportion to its source."""
    if not has_break(source):
        return Request(prompt, None, max_new_tokens)
    ids = (
        []
        if tokenizer is None
        else tokenizer(source, add_special_tokens=False, verbose=False)["input_ids"]
    )
    limit = max(max_new_tokens, TOKENS_PER_SOURCE_TOKEN * len(ids))
    return Request(prompt, None, limit, one_line=False, within_positions=True)


def asked_text(request: Request, source: str) -> str:
    """A source as its request has it."""
    return one_line(source) if request.one_line else lines_kept(source)


def paragraph_counts(
    requests: Sequence[Request], sources: Sequence[str], outputs: Sequence[Output]
) -> dict[str, float]:
    """`several_lines`: the sources of several lines that were asked for as such;
    `other_line_count`: answers to them with another number of lines (blank ones do not count), such
    as those that dropped a paragraph. Nothing where there are no such sources."""
    asked = [
        line_count(source) == line_count(output.text)
        for request, source, output in zip(requests, sources, outputs, strict=True)
        if not request.one_line
    ]
    if not asked:
        return {}
    return {"several_lines": float(len(asked)), "other_line_count": float(asked.count(False))}
