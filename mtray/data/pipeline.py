"""From a source's files to its token store: read, filter, render, tokenise and write, as a stream
with one chunk in memory at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any
from unicodedata import unidata_version

import numpy as np

from mtray.data.filters import KEPT, REASONS, RowFilter, build_filter, filters_of
from mtray.data.leakage import EvaluationIndex, evaluation_index
from mtray.data.noise import apertium_identity, with_lines
from mtray.data.readers.folders import data_files, entries_below
from mtray.data.readers.remarks import Remarks
from mtray.data.readers.sources import is_data_set, paths_of, source_rows
from mtray.data.row_draws import DRAWS, draw_chunks
from mtray.data.special_tokens import PREFIX, special_token_line
from mtray.data.templates import TEMPLATES
from mtray.data.token_files import (
    ROWS,
    Store,
    TokenWriter,
    find_store,
    get_store,
    key_of,
    store_dir,
)
from mtray.data.tokenization import encode_examples
from mtray.data.training_prompts import build_renderer, trained_row
from mtray.data.translation_prompts import keeps_breaks
from mtray.data.variants import Variant
from mtray.errors import DataError
from mtray.files import file_hash
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
    """Turns a study's sources into token stores."""

    study: Study
    tokenizer: Any

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
            "source": _with_hashes(options),
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
        return get_store(inputs, lambda writer: self._write(source, writer, variant))

    def draws(self, source: Source, joins: bool = False) -> Store:
        """The store of the draws for a source's rows (`mtray.data.row_draws`), built if necessary.
        `joins`: for texts with the line breaks that those of the study's template do not have, or
        without those that they have."""
        source = source.model_copy(update={"noise": None})
        row_filter, study = self.filter_of(source), self.study
        options = source.model_dump(mode="json", exclude=OUTSIDE | {"directions", "shots"})
        breaks = keeps_breaks(study.template, study.paragraphs) != joins
        inputs = {
            "draws": "of direction and noise", "source": _with_hashes(options),
            "filter": row_filter.signature, "evaluation_texts": row_filter.texts_signature,
            "keeps_breaks": breaks, "seed": study.seed, "name": source.name,
            "code": code_hash(Path(__file__).parent),
            "versions": self._versions(source, row_filter),
        }  # fmt: skip
        return get_store(inputs, lambda writer: self._write_draws(source, writer, breaks))

    def _write_draws(self, source: Source, writer: TokenWriter, breaks: bool) -> dict[str, Any]:
        rows = (
            trained_row(row, breaks) for row in self.filter_of(source).kept(source_rows(source))
        )
        pairs = ((row["source"], row["target"]) for row in rows)
        for chunk in draw_chunks(pairs, f"{self.study.seed}/{source.name}", ROWS):
            writer.add(*chunk)
        return {"name": f"{source.name}{DRAWS}", **NOTHING_TOLD}

    def found(self, source: Source) -> Store | None:
        """The source's store if it was built before."""
        return find_store(store_dir() / key_of(self.inputs(source)))

    def _write(self, source: Source, writer: TokenWriter, variant: Variant) -> dict[str, Any]:
        told: dict[str, Any] = {}
        limit = self.study.training.max_length
        # tokenizers releases the GIL: one chunk is encoded while the next is read
        with ThreadPoolExecutor(1) as other:
            before: Future[Any] | None = None
            for chunk in _chunks(self.examples(source, told, variant)):
                now = other.submit(encoded, chunk, self.tokenizer, limit)
                if before is not None:
                    writer.add(*before.result())
                before = now
            if before is not None:
                writer.add(*before.result())
        if not writer.rows:
            raise DataError(f"source {source.name!r}: no row is left; {'; '.join(told['told'])}")
        if not writer.examples:
            raise DataError(
                f"source {source.name!r}: no example has {limit} tokens or fewer; raise "
                "`training: {max_length: ...}`"
            )
        return {"name": source.name, **told}

    def examples(
        self, source: Source, told: dict[str, Any], variant: Variant = OWN
    ) -> Iterator[tuple[str, str]]:
        """(prompt, target) of every row that passes the filters, as in the variant. When exhausted,
        `told` holds the counts `filters`, `allowed` and `rendering` by name, a summary for people
        as `told`, as `overlaps` some rows that are also in an evaluation set, and as `remarks` what
        the reader left out."""
        source, row_filter, remarks = variant.of(source), self.filter_of(source), Remarks()
        renderer = build_renderer(
            source, self._study_of(variant), self.tokenizer, variant.few_shot, variant.instructions
        )
        rows = with_lines(source, source_rows(source, remarks))
        yield from renderer.examples(row_filter.kept(rows))
        counts = row_filter.counts
        told["filters"] = {why: counts[why] for why in (KEPT, *REASONS) if why in counts}
        told["rendering"] = dict(renderer.counts)
        told["allowed"] = row_filter.allowed
        told["overlaps"] = row_filter.examples
        told["told"] = [x for x in row_filter.lines() if x.strip() not in row_filter.examples]
        told["remarks"] = remarks.lines()
        told["told"] += [f"  {line}" for line in told["remarks"]]
        if line := special_token_line(renderer.counts, "rows"):
            told["told"].append(f"  {line}")
        made = {
            name: count
            for name, count in renderer.counts.items()
            if name not in ("rows", "examples") and not name.startswith(PREFIX)
        }
        if made:
            told["told"].append("  " + ", ".join(f"{k} {n:,}" for k, n in sorted(made.items())))


def _with_hashes(node: Any, key: str = "") -> Any:
    """Every file that a source names, by `path` or `..._path`, replaced by the hash of its
    content."""
    if node and (key == "path" or key.endswith("_path")):
        if isinstance(node, dict):
            return {role: content_hash(Path(path)) for role, path in node.items()}
        return content_hash(Path(node))
    if isinstance(node, dict):
        return {k: _with_hashes(v, str(k)) for k, v in node.items()}
    return node


def content_hash(path: Path) -> str:
    """Hash of a file, with the suffixes of its name, which can determine its format; of the files
    of a data set's folder, with their names; of a member of an archive, the archive's hash with the
    member's name. Anything else (a name on a hub) is returned unchanged. DataError for a folder
    that is no data set."""
    if path.is_file():
        found = path.stat()
        return "".join(path.suffixes) + " " + _file_hash(path, found.st_size, found.st_mtime_ns)
    if not path.exists() and (archive := next((p for p in path.parents if p.is_file()), None)):
        return f"{path.relative_to(archive)} in {content_hash(archive)}"
    if path.is_dir():
        files = data_files(path)
        inside = "\n".join(f"{p.relative_to(path)} {content_hash(p)}" for p in files)
        return hashlib.sha256(inside.encode()).hexdigest()
    return str(path)


@lru_cache(maxsize=256)
def _file_hash(path: Path, size: int, modified: int) -> str:
    return file_hash(path)


def tokenizer_hash(tokenizer: Any) -> str:
    """Hash of everything in a tokenizer that its ids depend on."""
    import tempfile

    specials = (
        type(tokenizer).__name__,
        tokenizer.bos_token_id,
        tokenizer.eos_token_id,
        getattr(tokenizer, "chat_template", None),
        getattr(tokenizer, "add_bos_token", None),
        getattr(tokenizer, "add_eos_token", None),
    )
    digest = hashlib.sha256(repr(specials).encode())
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        backend.no_padding()  # the padding of the last call must not change the hash
        backend.no_truncation()
        digest.update(backend.to_str().encode())
    else:
        with tempfile.TemporaryDirectory() as folder:
            tokenizer.save_pretrained(folder)
            for file in sorted(entries_below(Path(folder))):
                digest.update(f"{file.relative_to(folder)} {file_hash(file)}".encode())
    return digest.hexdigest()


def _chunks(examples: Iterable[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    rest = iter(examples)
    while chunk := list(islice(rest, ROWS)):
        yield chunk


def encoded(chunk: list[tuple[str, str]], tokenizer: Any, limit: int) -> tuple[Any, Any, Any]:
    """Ids (tokens,), lengths and `loss_from` (examples,); an example of more than `limit` tokens
    becomes empty."""
    found = encode_examples(tokenizer, chunk)
    lengths = np.fromiter((len(ids) for ids, _ in found), np.int64, len(found))
    loss_from = np.fromiter((start for _, start in found), np.int32, len(found))
    fits = lengths <= limit
    lengths, loss_from = lengths * fits, loss_from * fits
    kept = chain.from_iterable(ids for (ids, _), fit in zip(found, fits, strict=True) if fit)
    return np.fromiter(kept, np.int32, int(lengths.sum())), lengths, loss_from.astype(np.int32)
