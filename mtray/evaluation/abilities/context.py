"""Ability: translate a sentence as the preceding sentences require (ctxpro: gender, animacy,
formality, auxiliary, inflection). Unit: guarded accuracy / the references' own, see
`mtray.evaluation.metrics.context_matching`.

With `context: true` the source is the whole text, the preceding sentences and the sentence in
question, joined by spaces; the model translates all of it and the last sentence of its answer is
scored. With `context: false` the source is the one sentence alone, which measures the accuracy that
needs no context. Measure both as two abilities.

The floor is the best constant answer: one expected form padded to the length that fits most of the
references. The animacy sets are degenerate, since each of their items expects "it": their floor is
high, and their raw accuracy (`accuracy` among the extras) is meaningless.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pydantic import Field

from mtray.analysis.uncertainty import Measurement
from mtray.data.benchmarks.ctxpro import Item, read_items, with_context
from mtray.data.readers.paragraphs import one_line
from mtray.errors import ConfigError
from mtray.evaluation.abilities.base import (
    Context,
    Tools,
    check_outputs,
    evenly,
    languages_of,
    options_of,
    output_counts,
    sampled,
)
from mtray.evaluation.inference.requests import Output, Request
from mtray.evaluation.metrics.context_matching import (
    ContextMatches,
    best_constant,
    judge,
    scored_texts,
)
from mtray.evaluation.metrics.quality import document_clusters
from mtray.schema import AbilitySpec, Direction, Frozen

ITEMS, INPUTS = "items", "inputs"


@dataclass(frozen=True)
class DocumentContext:
    """One request for each item; `sources` are the texts given to the model."""

    name: str
    requests: list[Request]
    items: list[Item]
    sources: list[str]
    language: str
    given: bool
    floor: float

    def _judged(self, outputs: Sequence[Output]) -> ContextMatches:
        check_outputs(self.name, self.requests, outputs)
        judged = judge(self.items, [o.text for o in outputs], self.language)
        context = "yes" if self.given else "no"
        return replace(judged, signature=f"{judged.signature}|context:{context}")

    def measure(self, outputs: Sequence[Output], tools: Tools) -> Measurement:
        return self._judged(outputs).value()

    def extras(self, outputs: Sequence[Output], tools: Tools) -> dict[str, Measurement]:
        return self._judged(outputs).extras()

    def counts(self, outputs: Sequence[Output]) -> dict[str, float]:
        return output_counts(self.sources, outputs) | self._judged(outputs).counts()

    def texts(self) -> list[tuple[str, ...]]:
        grouped = document_clusters([item.document for item in self.items]) is not None
        return [
            (source, f"\0{self.name}/{item.document}") if grouped else (source,)
            for source, item in zip(self.sources, self.items, strict=True)
        ]

    def part(self, share: float) -> DocumentContext:
        keep = evenly(len(self.requests), share)
        return replace(
            self,
            requests=[self.requests[i] for i in keep],
            items=[self.items[i] for i in keep],
            sources=[self.sources[i] for i in keep],
        )


class Options(Frozen):
    direction: Direction
    context: bool = True
    max_sentences: Annotated[int, Field(ge=2)] | None = None


def build(spec: AbilitySpec, context: Context) -> DocumentContext:
    """Options: `direction`, `context`, `max_sentences` (of a source text, including the one in
    question; the nearest are kept). `path`: `items` and, for context, `inputs`. The sample is
    stratified by rules and documents. The study's `max_new_tokens` applies to each sentence of a
    source."""
    options = options_of(context.name, spec, Options)
    items = _read(context.name, spec, options.context)
    strata = [[item.rule for item in items], [item.document for item in items]]
    items = sampled(spec, context, items, strata)
    source, target = languages_of(options.direction)
    texts = [_sentences(item, options) for item in items]
    sources = [one_line(" ".join(text)) for text in texts]
    requests = [
        Request(
            context.prompt_builder.translation(text, source, target),
            None,
            context.max_new_tokens * len(sentences),
        )
        for text, sentences in zip(sources, texts, strict=True)
    ]
    references = [item.reference for item in items]
    ceiling = judge(items, references, target).ceiling.sum()
    floor = best_constant(items, scored_texts(references, target)) / float(ceiling)
    return DocumentContext(context.name, requests, items, sources, target, options.context, floor)


def _read(name: str, spec: AbilitySpec, given: bool) -> list[Item]:
    paths = {ITEMS: spec.path} if isinstance(spec.path, str) else dict(spec.path)
    where = f"ability {name!r}: measure {spec.measure}"
    wanted = {ITEMS, INPUTS} if given else {ITEMS}
    if spec.columns:
        raise ConfigError(f"{where} takes no `columns`: ctxpro's files have their own keys")
    if not wanted <= paths.keys() <= {ITEMS, INPUTS}:
        raise ConfigError(
            f"{where} needs `path: {{{', '.join(f'{role}: FILE' for role in sorted(wanted))}}}`"
            f"{' (no inputs without context: `context: false`)' if given else ''}, "
            f"found {', '.join(paths)}"
        )
    items = read_items(Path(paths[ITEMS]))
    if not given:
        return items
    return with_context(items, Path(paths[ITEMS]), Path(paths[INPUTS]))


def _sentences(item: Item, options: Options) -> list[str]:
    if not options.context:
        return [item.source]
    text = [*item.context, item.source]
    return text if options.max_sentences is None else text[-options.max_sentences :]
