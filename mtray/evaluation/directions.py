"""One direction of translation: its segments, its requests, and the measurement of outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mtray.analysis.uncertainty import Measurement
from mtray.data.testsets import read_test_set
from mtray.data.translation_prompts import PromptBuilder
from mtray.evaluation.abilities.base import evenly, languages_of
from mtray.evaluation.inference.requests import Output, Request
from mtray.evaluation.inference.translation_requests import translation_request
from mtray.evaluation.metrics import quality
from mtray.evaluation.metrics.output_failures import FailureLabels, judge
from mtray.schema import Paragraphs, QualitySet, Unit


@dataclass(frozen=True)
class Direction:
    """One direction's segments, requested with the study's template. Texts are unchanged, so that
    metrics get the same text as elsewhere; only prompts have less white space.

    documents: the document of each segment, if the set has them.
    available: number of segments in the whole set.
    unit: what a segment is, one or the whole text of a document.
    """

    name: str
    requests: list[Request]
    sources: list[str]
    references: list[str]
    documents: list[str] | None = None
    available: int = 0
    unit: Unit = "segment"

    def part(self, share: float) -> Direction:
        """The direction on `evenly` chosen segments."""
        keep = evenly(len(self.requests), share)
        return replace(
            self,
            requests=[self.requests[i] for i in keep],
            sources=[self.sources[i] for i in keep],
            references=[self.references[i] for i in keep],
            documents=self.documents and [self.documents[i] for i in keep],
        )

    def clusters(self) -> quality.Clusters:
        """Documents, if the set has enough of them."""
        return quality.document_clusters(self.documents)

    def text(self) -> str:
        """The set in a few words, such as `200 of 1,984 segments, 12 documents`."""
        found = f"{len(self.requests):,} of {self.available:,} {self.unit}s"
        if self.documents is None or self.unit == "document":
            return found
        count = len(set(self.documents))
        few = " (too few to resample: intervals are over segments)"
        return f"{found}, {count:,} documents{few if self.clusters() is None else ''}"


def build_direction(
    spec: QualitySet,
    template: str,
    max_new_tokens: int,
    tokenizer: Any = None,
    sample_seed: int = 0,
    paragraphs: Paragraphs = "auto",
) -> Direction:
    """Read the segments that are measured; the tokenizer has the template of a chat model. Raises
    ConfigError or DataError."""
    source, target = languages_of(spec.direction)
    found, available = read_test_set(spec, sample_seed)
    asking = PromptBuilder(template, tokenizer, paragraphs=paragraphs)
    sources = list(map(asking.asked, found.sources))
    requests = [
        translation_request(asking.translation(s, source, target), s, max_new_tokens, tokenizer)
        for s in sources
    ]
    return Direction(
        spec.direction,
        requests,
        found.sources,
        found.references,
        found.documents,
        available,
        spec.unit,
    )


def measure_direction(
    direction: Direction,
    outputs: Sequence[Output],
    metrics: Sequence[str],
    scorers: Mapping[str, quality.CometScorer],
) -> dict[str, Measurement]:
    """The learned metrics of `scorers` and the string metrics of one direction."""
    target = languages_of(direction.name)[1]
    segments = quality.Segments(
        direction.sources, direction.references, target, direction.clusters()
    )
    return quality.measure(segments, [o.text for o in outputs], metrics, scorers)


def judge_direction(direction: Direction, outputs: Sequence[Output]) -> FailureLabels:
    """Failure labels of one direction's outputs."""
    texts = [o.text for o in outputs]
    return judge(direction.sources, texts, direction.references, *languages_of(direction.name))
