"""Ability: translate sentences that contain an idiom (IdiomsInCtx-MT, or a table). Unit: that of
the study's COMET. Neighbours that share an idiom are resampled together.

With a dictionary a proxy of literalness is reported as well (`mtray.evaluation.metrics.gloss`);
higher means more literal, that is, worse. LitTER needs spans, which the set does not have: use
`score idioms`. The floor is the value of the sources as their own translations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from mtray.analysis.uncertainty import Measurement
from mtray.data.benchmarks.idioms import idiom_clusters, read_dictionary, read_idioms
from mtray.data.languages import WITHOUT_SPACES
from mtray.data.stratified_sample import Strata
from mtray.errors import ConfigError
from mtray.evaluation.abilities.base import (
    Context,
    Tools,
    check_outputs,
    evenly,
    languages_of,
    options_of,
    output_counts,
    read_rows,
    sampled,
    strata_of,
)
from mtray.evaluation.inference.requests import Output, Request
from mtray.evaluation.metrics import quality
from mtray.evaluation.metrics.gloss import Gloss, gloss, literalness_proxy
from mtray.evaluation.metrics.output_failures import tokens
from mtray.schema import AbilitySpec, Direction, Frozen

PROXY = "literalness_proxy"


def measure_idioms(
    segments: quality.Segments,
    hypotheses: Sequence[str],
    glosses: Sequence[Gloss],
    scorer: quality.CometScorer | None,
) -> dict[str, Measurement]:
    """`comet` if a scorer is given, `chrf`, and `literalness_proxy` if there are glosses."""
    found = quality.measure(segments, hypotheses, ["chrf"], {"comet": scorer} if scorer else {})
    if glosses:
        found[PROXY] = literalness_proxy(hypotheses, glosses, segments.clusters)
    return found


def clusters_of(
    sources: Sequence[str], references: Sequence[str], languages: tuple[str, str], pairs: bool
) -> list[int]:
    """`idiom_clusters` of sentences in two languages."""
    sides = zip((sources, references), languages, strict=True)
    words = [
        [tokens(text, language not in WITHOUT_SPACES) for text in side] for side, language in sides
    ]
    return [int(c) for c in idiom_clusters(words, pairs)]


@dataclass(frozen=True)
class Idioms:
    """One request for each sentence; `clusters` and `glosses` (none without a dictionary) by
    sentence. `whole`: the sources and references of the whole set, from which the floor is
    computed."""

    name: str
    requests: list[Request]
    pairs: list[tuple[str, str]]
    clusters: list[int]
    glosses: list[Gloss]
    whole: list[tuple[str, str]]
    language: str
    floor: float = 0.0  # in the unknown scale of COMET: see `floor_by`
    without_comet: ClassVar[str] = "drop it"

    def _against(self) -> quality.Segments:
        sources, references = [s for s, _ in self.pairs], [r for _, r in self.pairs]
        clusters = np.array(self.clusters, dtype=np.int64)
        return quality.Segments(sources, references, self.language, clusters)

    def _values(self, outputs: Sequence[Output], tools: Tools) -> dict[str, Measurement]:
        check_outputs(self.name, self.requests, outputs)
        texts = [o.text for o in outputs]
        return measure_idioms(self._against(), texts, self.glosses, tools.comet())

    def measure(self, outputs: Sequence[Output], tools: Tools) -> Measurement:
        return self._values(outputs, tools)["comet"]

    def extras(self, outputs: Sequence[Output], tools: Tools) -> dict[str, Measurement]:
        found = self._values(outputs, tools)
        return {name: value for name, value in found.items() if name != "comet"}

    def counts(self, outputs: Sequence[Output]) -> dict[str, float]:
        """With a dictionary also its coverage, and the references' own proxy."""
        found = output_counts([s for s, _ in self.pairs], outputs)
        found["clusters"] = float(len(set(self.clusters)))
        if self.glosses:
            found |= gloss_counts(self.glosses, [r for _, r in self.pairs])
        return found

    def floor_by(self, tools: Tools) -> float:
        sources, references = [s for s, _ in self.whole], [r for _, r in self.whole]
        return quality.comet(tools.comet(), sources, sources, references).point

    def texts(self) -> list[tuple[str, ...]]:
        named = zip(self.pairs, self.clusters, strict=True)
        return [(*pair, f"\0{self.name}/{cluster}") for pair, cluster in named]

    def part(self, share: float) -> Idioms:
        keep = evenly(len(self.requests), share)
        return replace(
            self, requests=[self.requests[i] for i in keep], pairs=[self.pairs[i] for i in keep],
            clusters=[self.clusters[i] for i in keep],
            glosses=[self.glosses[i] for i in keep] if self.glosses else [],
        )  # fmt: skip


def gloss_counts(glosses: Sequence[Gloss], references: Sequence[str]) -> dict[str, float]:
    """Number of words in the sources, number of those in the dictionary, and the references' own
    proxy."""
    return {
        "source_words": float(sum(g.words for g in glosses)),
        "source_words_in_the_dictionary": float(sum(g.known for g in glosses)),
        f"{PROXY}_of_the_references": literalness_proxy(references, glosses).point,
    }


class Options(Frozen):
    direction: Direction
    dictionary_path: str | None = None
    reverse_dictionary_path: str | None = None


def build(spec: AbilitySpec, context: Context) -> Idioms:
    """Options: `direction`, `dictionary_path` (source to target), `reverse_dictionary_path` (target
    to source, added to it). `path`: a file of IdiomsInCtx-MT for each language, or a table with a
    column for each. The sample is stratified by the sentences of one idiom."""
    options = options_of(context.name, spec, Options)
    if options.reverse_dictionary_path and not options.dictionary_path:
        raise ConfigError(
            f"ability {context.name!r}: `reverse_dictionary_path` needs `dictionary_path`"
        )
    source, target = languages_of(options.direction)
    whole, clusters, labels = _read(spec, (source, target), context)
    keep = sampled(spec, context, range(len(whole)), [*labels, clusters])
    pairs = [whole[i] for i in keep]
    glosses = []
    if options.dictionary_path:
        reverse = options.reverse_dictionary_path
        dictionary = read_dictionary(
            Path(options.dictionary_path), Path(reverse) if reverse else None
        )
        glosses = [gloss(text, dictionary) for text, _ in pairs]
    prompts = [context.prompt_builder.translation(s, source, target) for s, _ in pairs]
    requests = [
        context.translation_request(prompt, s)
        for prompt, (s, _) in zip(prompts, pairs, strict=True)
    ]
    return Idioms(
        context.name, requests, pairs, [clusters[i] for i in keep], glosses, pairs, target
    )


def _read(
    spec: AbilitySpec, languages: tuple[str, str], context: Context
) -> tuple[list[tuple[str, str]], list[int], Strata]:
    """Sources with references, their clusters, and the labels if a table has them."""
    labels: Strata = ()
    if isinstance(spec.path, str):
        rows = read_rows(spec, list(languages))
        labels = strata_of(rows)
        sides = [[row[code] for row in rows] for code in languages]
    elif spec.columns or spec.path.keys() != set(languages):
        raise ConfigError(
            f"ability {context.name!r}: measure {spec.measure} takes a file for each language "
            f"({', '.join(languages)}) without `columns`, or one table; "
            f"found {', '.join(spec.path)}"
        )
    else:
        sides = [read_idioms(Path(spec.path[code])) for code in languages]
    sources, references = (list(map(context.prompt_builder.asked, side)) for side in sides)
    clusters = clusters_of(sources, references, languages, pairs=not isinstance(spec.path, str))
    return list(zip(sources, references, strict=True)), clusters, labels
