"""Ability: translate in a direction that is not fine-tuned, with the study's template and no
examples. Unit: chrF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mtray.analysis.uncertainty import Measurement
from mtray.evaluation.abilities.base import (
    Context,
    Tools,
    check_outputs,
    evenly,
    languages_of,
    options_of,
    output_counts,
    sampled_rows,
)
from mtray.evaluation.inference.requests import Output, Request
from mtray.evaluation.metrics.quality import chrf
from mtray.schema import AbilitySpec, Direction, Frozen


@dataclass(frozen=True)
class Translation:
    """Requests with a reference for each. `floor`: chrF of the sources themselves, that is, of a
    model that copies."""

    name: str
    requests: list[Request]
    sources: list[str]
    references: list[str]
    floor: float

    def measure(self, outputs: Sequence[Output], tools: Tools) -> Measurement:
        check_outputs(self.name, self.requests, outputs)
        return chrf([o.text for o in outputs], self.references)

    def extras(self, outputs: Sequence[Output], tools: Tools) -> dict[str, Measurement]:
        return {}

    def counts(self, outputs: Sequence[Output]) -> dict[str, float]:
        return output_counts(self.sources, outputs)

    def texts(self) -> list[tuple[str, ...]]:
        return list(zip(self.sources, self.references, strict=True))

    def part(self, share: float) -> Translation:
        keep = evenly(len(self.requests), share)
        return replace(
            self,
            requests=[self.requests[i] for i in keep],
            sources=[self.sources[i] for i in keep],
            references=[self.references[i] for i in keep],
        )


def build_translation(
    context: Context, prompts: Sequence[str], pairs: Sequence[tuple[str, str]]
) -> Translation:
    """The ability of answering `prompts` with the second part of `pairs`."""
    sources, references = [s for s, _ in pairs], [t for _, t in pairs]
    requests = list(map(context.translation_request, prompts, sources))
    return Translation(context.name, requests, sources, references, chrf(sources, references).point)


class Options(Frozen):
    direction: Direction


def build(spec: AbilitySpec, context: Context) -> Translation:
    """Options: `direction`; columns named after its two languages."""
    source, target = languages_of(options_of(context.name, spec, Options).direction)
    rows = sampled_rows(spec, context, [source, target])
    asking = context.prompt_builder
    pairs = [(asking.asked(r[source]), asking.asked(r[target])) for r in rows]
    prompts = [asking.translation(s, source, target) for s, _ in pairs]
    return build_translation(context, prompts, pairs)
