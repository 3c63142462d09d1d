"""From a source's files to its token store: read, filter, render, tokenise and write, as a stream
with a few shards in memory at a time (`mtray.data.shards`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from unicodedata import unidata_version

from mtray.data.content_hashes import tokenizer_hash, with_hashes
from mtray.data.filter_counts import KEPT, REASONS
from mtray.data.filters import RowFilter, build_filter, filters_of
from mtray.data.leakage import EvaluationIndex, evaluation_index
from mtray.data.noise import apertium_identity, with_lines
from mtray.data.readers.remarks import Remarks
from mtray.data.readers.sources import Row, is_data_set, paths_of, source_rows
from mtray.data.row_draws import DRAWS
from mtray.data.shards import Helpers, ShardWork
from mtray.data.special_tokens import PREFIX, special_token_line
from mtray.data.store_builder import Say, StoreBuilder
from mtray.data.templates import TEMPLATES
from mtray.data.token_files import (
    Store,
    TokenWriter,
    find_store,
    get_store,
    key_of,
    store_dir,
)
from mtray.data.token_makers import DrawMaker, ExampleMaker
from mtray.data.training_prompts import Renderer, build_renderer
from mtray.data.translation_prompts import keeps_breaks
from mtray.data.variants import Variant
from mtray.errors import DataError
from mtray.runtime import code_hash, version_of
from mtray.schema import Source, Study

# keys of a source that affect at most which of its examples are drawn, not their content; the
# filters are covered by their signature
OUTSIDE = {"name", "licence", "weight", "max_repeats", "filters"}
# keys that a source may set without its examples depending on the study's seed and its name
SEEDLESS = OUTSIDE | {
    "kind", "path", "languages", "columns", "format", "split", "config", "revision", "documents",
}  # fmt: skip
# packages that all examples depend on; packages of single features are listed where they are used
VERSIONS = ("tokenizers", "transformers")
CHAT_VERSIONS = ("jinja2",)  # fills a chat template
SLOW_VERSIONS = ("sentencepiece", "regex")  # used by slow (Python) tokenizers
SET_VERSIONS = ("datasets",)  # reads data set folders and hub data sets
SEEDLESS_TEMPLATES = {*TEMPLATES, "chat"}
OWN = Variant()
# of a store of draws: what the manifests of other stores say of their rows
NOTHING_TOLD: dict[str, Any] = {
    "filters": {}, "rendering": {}, "allowed": {}, "overlaps": [], "told": [], "remarks": [],
}  # fmt: skip


@dataclass
class Pipeline:
    """Turns a study's sources into token stores. `say`: is told how far they are; `helpers`: other
    processes that build parts of large ones."""

    study: Study
    tokenizer: Any
    say: Say = lambda _: None
    helpers: Helpers | None = None

    @cached_property
    def _tokenizer_hash(self) -> str:
        return tokenizer_hash(self.tokenizer)

    @cached_property
    def _index(self) -> EvaluationIndex:
        return evaluation_index(self.study)

    def filter_of(self, source: Source) -> RowFilter:
        filters = filters_of(source, self.study)
        looks = filters.leakage is not None or filters.shots_leakage is not None
        return build_filter(source, self.study, self._index if looks else None)

    def inputs(self, source: Source, variant: Variant = OWN) -> dict[str, Any]:
        """Everything that the tokens of a variant of a source depend on, as JSON: as in a study in
        which the source is like that."""
        source, study = variant.of(source), self._study_of(variant)
        row_filter = self.filter_of(source)
        options = source.model_dump(mode="json", exclude=OUTSIDE)
        inputs: dict[str, Any] = {
            "source": with_hashes(options),
            "filter": row_filter.signature,
            "evaluation_texts": row_filter.texts_signature,
            "template": study.template,
            "keeps_breaks": keeps_breaks(study.template, study.paragraphs),
            "max_length": study.training.max_length,
            "tokenizer": self._tokenizer_hash,
            "code": code_hash(Path(__file__).parent),
            "versions": self._versions(source, row_filter),
        }
        if source.own_noise and source.own_noise.apertium:
            inputs |= {"apertium": apertium_identity(source.own_noise.apertium)}
        if variant.few_shot:
            inputs |= {"few_shot": source.shots}
        if variant.instructions:
            inputs |= {"instructions": variant.instructions}
        given = source.model_dump(exclude_defaults=True, exclude=OUTSIDE).keys()
        if variant.few_shot or given - SEEDLESS or study.template not in SEEDLESS_TEMPLATES:
            inputs |= {"seed": study.seed, "name": source.name}
        return inputs

    def _study_of(self, variant: Variant) -> Study:
        if not variant.template:
            return self.study
        return self.study.model_copy(update={"template": variant.template})

    def _versions(self, source: Source, row_filter: RowFilter) -> dict[str, str | None]:
        """Versions of everything outside mtray that affects the source's examples."""
        names = [*VERSIONS, *row_filter.packages]
        if getattr(self.tokenizer, "chat_template", None):
            names += CHAT_VERSIONS
        if getattr(self.tokenizer, "backend_tokenizer", None) is None:
            names += SLOW_VERSIONS
        if any(is_data_set(path) for path in paths_of(source.path)):
            names += SET_VERSIONS
        # unicode: character classes and case mapping, used by filters and templates
        return {name: version_of(name) for name in names} | {"unicode": unidata_version}

    def store(self, source: Source, variant: Variant = OWN) -> Store:
        """The store of a source's variant, built if necessary. Raises DataError, also when no
        example is left."""
        inputs = self.inputs(source, variant)
        return get_store(inputs, lambda writer: self._write(source, writer, variant, inputs))

    def draws(self, source: Source, joins: bool = False) -> Store:
        """The store of the draws for a source's rows (`mtray.data.row_draws`), built if necessary.
        `joins`: for texts with the line breaks that those of the study's template do not have, or
        without those that they have."""
        source = source.model_copy(update={"noise": None})
        row_filter, study = self.filter_of(source), self.study
        options = source.model_dump(mode="json", exclude=OUTSIDE | {"directions", "shots"})
        inputs = {
            "draws": "of direction and noise", "source": with_hashes(options),
            "filter": row_filter.signature, "evaluation_texts": row_filter.texts_signature,
            "keeps_breaks": keeps_breaks(study.template, study.paragraphs) != joins,
            "seed": study.seed, "name": source.name,
            "code": code_hash(Path(__file__).parent),
            "versions": self._versions(source, row_filter),
        }  # fmt: skip
        return get_store(inputs, lambda writer: self._write_draws(source, writer, inputs))

    def _write_draws(
        self, source: Source, writer: TokenWriter, inputs: Mapping[str, Any]
    ) -> dict[str, Any]:
        name, row_filter = f"{source.name}{DRAWS}", self.filter_of(source)
        maker = DrawMaker(f"{self.study.seed}/{source.name}", inputs["keeps_breaks"])
        rows, parted, serial = _parted(source_rows(source), row_filter)
        builder = StoreBuilder(name, self.say, self.helpers, serial)
        work = ShardWork(parted, maker)
        made = builder.write(work, rows, inputs, writer, row_filter.found, Counter())
        return {"name": name, **NOTHING_TOLD, **made}

    def found(self, source: Source) -> Store | None:
        """The source's store if it was built before."""
        return find_store(store_dir() / key_of(self.inputs(source)))

    def _write(
        self, source: Source, writer: TokenWriter, variant: Variant, inputs: Mapping[str, Any]
    ) -> dict[str, Any]:
        opened, row_filter, renderer, remarks = self._opened(source, variant)
        limit = self.study.training.max_length
        rows, parted, serial = _parted(opened, row_filter, renderer)
        maker = ExampleMaker(None if renderer.combining else renderer, self.tokenizer, limit)
        builder = StoreBuilder(source.name + variant.suffix, self.say, self.helpers, serial)
        work = ShardWork(parted, maker)
        made = builder.write(work, rows, inputs, writer, row_filter.found, renderer.counts)
        told = _told(row_filter, renderer.counts, remarks)
        if not writer.rows:
            raise DataError(f"source {source.name!r}: no row is left; {'; '.join(told['told'])}")
        if not writer.examples:
            raise DataError(
                f"source {source.name!r}: no example has {limit} tokens or fewer; raise "
                "`training: {max_length: ...}`"
            )
        return {"name": source.name, **told, **made}

    def examples(
        self, source: Source, told: dict[str, Any], variant: Variant = OWN
    ) -> Iterator[tuple[str, str]]:
        """(prompt, target) of every row that passes the filters, as in the variant. When exhausted,
        `told` holds what a manifest says of the rows (`_told`)."""
        rows, row_filter, renderer, remarks = self._opened(source, variant)
        yield from renderer.examples(row_filter.kept(rows))
        told |= _told(row_filter, renderer.counts, remarks)

    def _opened(
        self, source: Source, variant: Variant
    ) -> tuple[Iterable[Row], RowFilter, Renderer, Remarks]:
        """The rows of a source, unread, and what is done with them."""
        source, remarks = variant.of(source), Remarks()
        renderer = build_renderer(
            source, self._study_of(variant), self.tokenizer, variant.few_shot, variant.instructions
        )
        rows = with_lines(source, source_rows(source, remarks))
        return rows, self.filter_of(source), renderer, remarks


def _parted(
    rows: Iterable[Row], row_filter: RowFilter, renderer: Renderer | None = None
) -> tuple[Iterable[Any], RowFilter | None, str]:
    """What is divided into shards, the filter that each shard applies, and a line on what is not
    divided.

    Usually these are the rows, their filter and an empty line. Where filters or rendering need all
    rows in their order, they are applied here: the first is then what they make of the rows
    (filtered rows, or examples), the filter is None, and the line says which steps and why.
    """
    if renderer is not None and renderer.combining:
        why = f"{renderer.combining}: an example is made of several rows"
        examples = renderer.examples(row_filter.kept(rows))
        return examples, None, f"reads, filters and renders in this process ({why})"
    if row_filter.comparing:
        why = f"{row_filter.comparing} compares rows"
        return row_filter.kept(rows), None, f"reads and filters in this process ({why})"
    return rows, row_filter, ""


def _told(row_filter: RowFilter, rendered: Counter[str], remarks: Remarks) -> dict[str, Any]:
    """What a manifest says of the rows: the counts `filters`, `allowed` and `rendering` by name, a
    summary for people as `told`, as `overlaps` some rows that are also in an evaluation set, and as
    `remarks` what the reader left out."""
    counts, overlaps = row_filter.counts, row_filter.examples
    told = [line for line in row_filter.lines() if line.strip() not in overlaps]
    told += [f"  {line}" for line in remarks.lines()]
    if line := special_token_line(rendered, "rows"):
        told.append(f"  {line}")
    made = {
        name: count
        for name, count in rendered.items()
        if name not in ("rows", "examples") and not name.startswith(PREFIX)
    }
    if made:
        told.append("  " + ", ".join(f"{k} {n:,}" for k, n in sorted(made.items())))
    return {
        "filters": {why: counts[why] for why in (KEPT, *REASONS) if why in counts},
        "rendering": dict(rendered), "allowed": row_filter.allowed, "overlaps": overlaps,
        "told": told, "remarks": remarks.lines(),
    }  # fmt: skip
