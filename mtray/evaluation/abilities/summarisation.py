"""Ability: summarise an article in another language. Unit: chrF; ROUGE-L and the length ratio are
reported as well.

The floor is the better of two answers that need no understanding. One is the article's own
beginning, as long as the median reference (in the wrong language, but with the right names and
numbers; strong if both languages are the same). The other is the reference of another article
(fluent text in the right language on something else, to which chrF gives a good part of the score
of a fair summary).
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Annotated, Any

from pydantic import Field, field_validator

from mtray.analysis.uncertainty import Measurement
from mtray.data.language_names import language_name
from mtray.data.readers.paragraphs import one_line
from mtray.evaluation.abilities.base import (
    Context,
    Tools,
    check_outputs,
    evenly,
    options_of,
    output_counts,
    sampled_rows,
)
from mtray.evaluation.inference.requests import Output, Request
from mtray.evaluation.metrics.quality import chrf
from mtray.evaluation.metrics.summaries import measure_summaries
from mtray.schema import AbilitySpec, Frozen, Language

PROMPT = "Article: {article}\nSummary in {language}:"


@dataclass(frozen=True)
class Summarisation:
    """One request for each article. `articles` are the texts given to the model, `cut` tells which
    of them were truncated."""

    name: str
    requests: list[Request]
    articles: list[str]
    cut: list[bool]
    references: list[str]
    language: str
    floor: float

    def _values(self, outputs: Sequence[Output]) -> dict[str, Measurement]:
        check_outputs(self.name, self.requests, outputs)
        return measure_summaries([o.text for o in outputs], self.references, self.language)

    def measure(self, outputs: Sequence[Output], tools: Tools) -> Measurement:
        return self._values(outputs)["chrf"]

    def extras(self, outputs: Sequence[Output], tools: Tools) -> dict[str, Measurement]:
        return {name: m for name, m in self._values(outputs).items() if name != "chrf"}

    def counts(self, outputs: Sequence[Output]) -> dict[str, float]:
        return output_counts(self.articles, outputs) | {"articles_cut": float(sum(self.cut))}

    def texts(self) -> list[tuple[str, ...]]:
        return list(zip(self.articles, self.references, strict=True))

    def part(self, share: float) -> Summarisation:
        keep = evenly(len(self.requests), share)
        return replace(
            self,
            requests=[self.requests[i] for i in keep],
            articles=[self.articles[i] for i in keep],
            cut=[self.cut[i] for i in keep],
            references=[self.references[i] for i in keep],
        )


def lead(article: str, characters: float) -> str:
    """The article's first words, at most `characters` long in all; at least one word."""
    words = article.split()
    end, length = 1, len(words[0])
    while end < len(words) and length + 1 + len(words[end]) <= characters:
        length += 1 + len(words[end])
        end += 1
    return " ".join(words[:end])


def trivial_value(articles: Sequence[str], references: Sequence[str]) -> float:
    """chrF of the better of the leads and, with two articles or more, the references of other
    articles."""
    length = median(len(reference) for reference in references)
    answers = [[lead(article, length) for article in articles]]
    if len(references) > 1:
        # half the set away, since neighbours may report the same story
        half = len(references) // 2
        answers.append([*references[half:], *references[:half]])
    return max(chrf(texts, references).point for texts in answers)


def shortened(articles: Sequence[str], tokenizer: Any, limit: int) -> list[str]:
    """Articles truncated to at most `limit` tokens, without special tokens."""
    fast = bool(getattr(tokenizer, "is_fast", False))
    options = {"return_offsets_mapping": True} if fast else {}
    found = tokenizer(list(articles), add_special_tokens=False, verbose=False, **options)
    places = found["offset_mapping"] if fast else [None] * len(articles)
    return [
        text if len(ids) <= limit else _cut(text, ids[:limit], spans and spans[limit][0], tokenizer)
        for text, ids, spans in zip(articles, found["input_ids"], places, strict=True)
    ]


def _cut(text: str, ids: Sequence[int], end: int | None, tokenizer: Any) -> str:
    """The text up to the first character that is left out, or the decoded remaining tokens."""
    if end is not None:
        return text[:end].rstrip()
    decoded = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
    # a token may end within a character
    return one_line(decoded.rstrip("\N{REPLACEMENT CHARACTER}"))


class Options(Frozen):
    language: Language
    max_article_tokens: Annotated[int, Field(ge=1)] = 512
    max_new_tokens: Annotated[int, Field(ge=1)] | None = None
    prompt: str = PROMPT

    @field_validator("prompt")
    @classmethod
    def _slots(cls, prompt: str) -> str:
        try:
            slots = {name for _, name, _, _ in string.Formatter().parse(prompt)} - {None}
        except ValueError as error:
            raise ValueError(str(error)) from None
        if "article" not in slots or slots - {"article", "language"}:
            raise ValueError("needs the slot {article}, and may have {language}")
        return prompt


def build(spec: AbilitySpec, context: Context) -> Summarisation:
    """Options: `language` (of the summaries), `max_article_tokens`, `max_new_tokens` (by
    default the study's), `prompt` with the slots {article} and {language}. Columns:
    `article`, `summary`."""
    options = options_of(context.name, spec, Options)
    rows = sampled_rows(spec, context, ["article", "summary"])
    whole = [one_line(row["article"]) for row in rows]
    articles = shortened(whole, context.tokenizer, options.max_article_tokens)
    references = [one_line(row["summary"]) for row in rows]
    language = language_name(options.language)
    length = options.max_new_tokens or context.max_new_tokens
    requests = [
        Request(options.prompt.format(article=a, language=language).rstrip(), None, length)
        for a in articles
    ]
    cut = [a != w for a, w in zip(articles, whole, strict=True)]
    floor = trivial_value(whole, references)
    return Summarisation(context.name, requests, articles, cut, references, options.language, floor)
