"""Ability: translate text of a special domain after a few translations of that domain (the study's
template, with answers, before the query). Unit: that of the study's COMET, or chrF.

The examples come from the domain's own pool: another file, or documents of the same file that are
not tested. They depend on the query's content alone, so every model gets the same ones. The floor
is the value of the sources themselves, that is, of a model that copies.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from mtray.analysis.uncertainty import Measurement
from mtray.data.benchmarks.glossary import read_glossary
from mtray.data.evaluation_texts import shot_places
from mtray.data.readers.sources import DOMAIN, paths_of, read_columns
from mtray.data.readers.tmx import DOCUMENT
from mtray.errors import ConfigError, DataError
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
)
from mtray.evaluation.abilities.few_shot import Pair, choose_shots
from mtray.evaluation.inference.requests import Output, Request
from mtray.evaluation.metrics import quality
from mtray.evaluation.metrics.terminology import Terms, find_terms
from mtray.schema import AbilitySpec, Direction, Frozen

TMX = (".tmx", ".zip")


class Segment(NamedTuple):
    source: str
    reference: str
    document: str | None
    domain: str | None = None


def measure_technical(
    segments: quality.Segments,
    hypotheses: Sequence[str],
    terms: Terms | None,
    scorer: quality.CometScorer | None,
) -> dict[str, Measurement]:
    """`comet` if a scorer is given, `chrf`, and with a glossary `term_accuracy` and
    `term_accuracy_translated`, each if it has a term to count."""
    found = quality.measure(segments, hypotheses, ["chrf"], {"comet": scorer} if scorer else {})
    kinds = {"": terms, "_translated": terms.translated()} if terms else {}
    for ending, kind in kinds.items():
        if kind.counted:
            found[f"term_accuracy{ending}"] = kind.measure(hypotheses, segments.clusters)
    return found


@dataclass(frozen=True)
class Technical:
    """Requests with their segments; `whole`: the sources and references of the whole set, from
    which the floor is computed. `floor` is that of chrF, see `floor_by`."""

    name: str
    requests: list[Request]
    segments: list[Segment]
    whole: list[Pair]
    language: str
    metric: Literal["comet", "chrf"]
    terms: Terms | None
    floor: float = 0.0

    @property
    def without_comet(self) -> str:
        return "set its `metric: chrf`" if self.metric == "comet" else ""

    def _against(self) -> quality.Segments:
        documents = [s.document for s in self.segments if s.document is not None]
        clusters = quality.document_clusters(documents or None)
        return quality.Segments(self.sources, self.references, self.language, clusters)

    def _values(self, outputs: Sequence[Output], tools: Tools) -> dict[str, Measurement]:
        check_outputs(self.name, self.requests, outputs)
        scorer = tools.comet() if self.metric == "comet" else None
        return measure_technical(self._against(), [o.text for o in outputs], self.terms, scorer)

    def measure(self, outputs: Sequence[Output], tools: Tools) -> Measurement:
        return self._values(outputs, tools)[self.metric]

    def extras(self, outputs: Sequence[Output], tools: Tools) -> dict[str, Measurement]:
        found = self._values(outputs, tools)
        return {name: value for name, value in found.items() if name != self.metric}

    def counts(self, outputs: Sequence[Output]) -> dict[str, float]:
        found = output_counts(self.sources, outputs)
        documents = {s.document for s in self.segments if s.document is not None}
        found |= {"documents": float(len(documents))} if documents else {}
        return found | (self.terms.counts([o.text for o in outputs]) if self.terms else {})

    def floor_by(self, tools: Tools) -> float:
        """The value of the sources of the whole set as their own translations."""
        if self.metric == "chrf":
            return self.floor
        sources, references = [s for s, _ in self.whole], [r for _, r in self.whole]
        return quality.comet(tools.comet(), sources, sources, references).point

    @property
    def sources(self) -> list[str]:
        return [s.source for s in self.segments]

    @property
    def references(self) -> list[str]:
        return [s.reference for s in self.segments]

    def texts(self) -> list[tuple[str, ...]]:
        grouped = self._against().clusters is not None
        return [
            (s.source, s.reference, f"\0{self.name}/{s.document}")
            if grouped
            else (s.source, s.reference)
            for s in self.segments
        ]

    def part(self, share: float) -> Technical:
        keep = evenly(len(self.requests), share)
        return replace(
            self,
            requests=[self.requests[i] for i in keep],
            segments=[self.segments[i] for i in keep],
            terms=self.terms and self.terms.take(keep),
        )


class Split(Frozen):
    """Which documents of one file are tested: as many as are needed for `test` segments."""

    seed: Annotated[int, Field(ge=0)] = 1
    test: Annotated[float, Field(gt=0, lt=1)] = 0.7


class Options(Frozen):
    direction: Direction
    shots: Annotated[int, Field(ge=1, le=50)] = 5
    shots_path: str | dict[str, str] | None = None
    split: Split | None = None
    metric: Literal["comet", "chrf"] = "comet"
    glossary_path: str | None = None


def split_segments(
    segments: Sequence[Segment], split: Split, path: str
) -> tuple[list[Segment], list[Segment]]:
    """Tested segments and the pool, in file order. No document is in both; a segment without one is
    its own. Raises DataError if all segments are of one document."""
    names = [s.document or f"{i}" for i, s in enumerate(segments)]
    order = sorted(set(names))
    if len(order) < 2:
        raise DataError(
            f"{path}: all segments belong to one document; give a file of shots in `shots_path`"
        )
    random.Random(split.seed).shuffle(order)
    sizes = Counter(names)
    tested: set[str] = set()
    reached = 0
    for name in order[:-1]:  # the pool keeps at least the last one
        if reached >= split.test * len(names):
            break
        tested.add(name)
        reached += sizes[name]
    test: list[Segment] = []
    pool: list[Segment] = []
    for name, segment in zip(names, segments, strict=True):
        (test if name in tested else pool).append(segment)
    return test, pool


def _read(spec: AbilitySpec, direction: str, asked: Callable[[str], str]) -> list[Segment]:
    """The segments of `path`, as they are `asked`, with documents and domains if it has them."""
    source, target = languages_of(direction)
    if isinstance(spec.path, str) and spec.path.endswith(TMX):
        spec = spec.model_copy(update={"columns": {DOCUMENT: DOCUMENT, **spec.columns}})
    return [
        Segment(asked(row[source]), asked(row[target]), row.get(DOCUMENT), row.get(DOMAIN))
        for row in read_rows(spec, [source, target])
    ]


def _test_and_pool(
    spec: AbilitySpec, options: Options, context: Context
) -> tuple[list[Segment], list[Pair]]:
    """All tested segments, and the pool without pairs that share a side with one of them."""
    asked = context.prompt_builder.asked
    segments = _read(spec, options.direction, asked)
    if options.shots_path is None:
        path = ", ".join(paths_of(spec.path))
        segments, rest = split_segments(segments, options.split or Split(), path)
        pool = [(s.source, s.reference) for s in rest]
    elif options.split is not None:
        raise ConfigError(
            f"ability {context.name!r}: measure {spec.measure}: `split` is for a `path` that "
            "also contains the shots; remove it or `shots_path`"
        )
    else:
        codes = [spec.columns.get(code, code) for code in languages_of(options.direction)]
        rows = read_columns(options.shots_path, codes)
        places = shot_places(len(rows), spec.take, context.sample_seed)
        pool = [(asked(rows[i][codes[0]]), asked(rows[i][codes[1]])) for i in places]
    tested = {side.casefold() for s in segments for side in (s.source, s.reference)}
    return segments, [pair for pair in pool if not {side.casefold() for side in pair} & tested]


def build(spec: AbilitySpec, context: Context) -> Technical:
    """Options: `direction`, `shots`, `shots_path` (a file like `path`) or `split`, `metric`,
    `glossary_path`. Columns: the two languages and `document`, which TMX gives by its unit ids. The
    tested segments are sampled."""
    options = options_of(context.name, spec, Options)
    source, target = languages_of(options.direction)
    every, pool = _test_and_pool(spec, options, context)
    segments = sampled(
        spec, context, every, [[s.domain for s in every], [s.document for s in every]]
    )
    pairs = [(s.source, s.reference) for s in segments]

    requests = []
    for pair in pairs:
        shots = choose_shots(pair, pool, options.shots)
        prompt = context.prompt_builder.translation(pair[0], source, target, shots=shots)
        requests.append(context.translation_request(prompt, pair[0]))
    sources, references = [s for s, _ in pairs], [t for _, t in pairs]
    terms = None
    if options.glossary_path is not None:
        glossary = read_glossary(Path(options.glossary_path), source, target)
        terms = find_terms(glossary, sources, references, (source, target))
        if not terms.counted:
            raise DataError(
                f"{options.glossary_path}: none of its {len(glossary):,} terms is in a source of "
                f"{', '.join(paths_of(spec.path))} and its translation in the reference"
            )
    floor = quality.chrf(sources, references).point if options.metric == "chrf" else 0.0
    return Technical(context.name, requests, segments, pairs, target, options.metric, terms, floor)
