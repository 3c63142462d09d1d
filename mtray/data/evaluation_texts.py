"""Every text that a study's evaluation reads, for the leakage search (`mtray.data.leakage`):
sources, references and documents of dev and test segments, and the files that the abilities' shots
are drawn from. Whole files, even if a study measures only a part of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

from pydantic import ValidationError

from mtray.data.benchmarks.cocoa_mt import is_table, read_cocoa
from mtray.data.benchmarks.ctxpro import read_items, with_context
from mtray.data.benchmarks.idioms import read_idioms
from mtray.data.readers.sources import all_rows, paths_of
from mtray.data.stratified_sample import sample_indices
from mtray.data.testsets import whole_test_set
from mtray.errors import ConfigError
from mtray.schema import AbilitySpec, QualitySet, Study, Take

# the most rows of a file that shots are drawn from
SHOT_ROWS = 5_000

Spec = TypeVar("Spec", QualitySet, AbilitySpec)
Path_ = str | Mapping[str, str]
Part = Literal["dev", "test"]


class EvaluationText(NamedTuple):
    """A text of an evaluation set.

    - `where`: the file, and the row counted from 1.
    - `shown`: used as a shot in prompts, not scored.
    """

    text: str
    where: str
    shown: bool = False


def evaluation_texts(study: Study, part: Part | None = None) -> Iterator[EvaluationText]:
    """All of them, dev before test, or those of one part. Raises ConfigError or DataError, like the
    evaluation itself."""
    evaluation = study.evaluation
    for quality in evaluation.quality:
        for spec in _dev_and_test(f"quality {quality.direction}", quality, part):
            # the segments of a document are found more surely than the whole
            found, unit = whole_test_set(spec.model_copy(update={"unit": "segment"}))
            where = ", ".join(paths_of(spec.path))
            pairs = zip(found.sources, found.references, strict=True)
            for number, sides in enumerate(pairs, 1):
                place = f"{where}: {unit} {number}"
                yield from (EvaluationText(side, place) for side in sides if side)
    for name, ability in evaluation.abilities.items():
        for wanted in _dev_and_test(f"ability {name}", ability, part):
            if wanted.measure not in TEXTS:
                continue  # reported by `unread`
            yield from TEXTS[wanted.measure](wanted, wanted.path)
            shots: Any = (wanted.model_extra or {}).get("shots_path")
            if isinstance(shots, str | Mapping):
                texts = TEXTS[wanted.measure](wanted, shots)
                pool = _pool(texts, wanted.take, evaluation.sample_seed)
                yield from (text._replace(shown=True) for text in pool)


def unread(study: Study) -> list[str]:
    """The abilities whose texts are unknown until they are built: tasks of the LM evaluation
    harness, which downloads its own documents."""
    abilities = study.evaluation.abilities
    return [name for name, spec in abilities.items() if spec.measure not in TEXTS]


def _dev_and_test(name: str, spec: Spec, part: Part | None) -> Iterator[Spec]:
    if part != "test":
        yield spec
    if spec.test and part != "dev":
        own = spec.model_dump(exclude_defaults=True, exclude={"test"})
        try:
            yield type(spec).model_validate({**own, "path": spec.path, **spec.test})
        except ValidationError as error:
            found = error.errors()[0]
            key = ".".join(map(str, found["loc"]))
            raise ConfigError(f"`evaluation`: {name}: `test`: {key}: {found['msg']}") from None


def shot_places(n: int, take: Take, seed: int) -> list[int]:
    """The indices of the rows, of n complete rows of a file, that shots are drawn from."""
    return sample_indices(n, SHOT_ROWS, take, seed)


def _pool(texts: Iterator[EvaluationText], take: Take, seed: int) -> Iterator[EvaluationText]:
    """The texts that shots are drawn from, among those of a whole file. Abilities skip rows that
    lack a text as well."""
    rows = [list(row) for _, row in groupby(texts, key=lambda text: text.where)]
    whole = max(map(len, rows), default=0)
    complete = [row for row in rows if len(row) == whole]
    for place in shot_places(len(complete), take, seed):
        yield from complete[place]


def _of_table(spec: AbilitySpec, path: Path_, roles: Sequence[str]) -> Iterator[EvaluationText]:
    names = [spec.columns.get(role, role) for role in roles]
    where = ", ".join(paths_of(path))
    for number, row in enumerate(all_rows(path, names), 1):
        for name in names:
            if row[name].strip():  # a Parquet cell may be empty
                yield EvaluationText(row[name], f"{where}: row {number}")


def _languages(spec: AbilitySpec) -> list[str]:
    direction = (spec.model_extra or {}).get("direction")
    if not isinstance(direction, str) or direction.count("-") != 1:
        raise ConfigError(
            f"measure {spec.measure}: `direction` must be two languages, such as en-uk, "
            f"found {direction!r}"
        )
    return direction.split("-")


def _in_direction(spec: AbilitySpec, path: Path_) -> Iterator[EvaluationText]:
    yield from _of_table(spec, path, _languages(spec))


def _with_columns(*roles: str) -> Callable[[AbilitySpec, Path_], Iterator[EvaluationText]]:
    return lambda spec, path: _of_table(spec, path, roles)


def _formality(spec: AbilitySpec, path: Path_) -> Iterator[EvaluationText]:
    source, target = _languages(spec)
    if is_table(path):
        yield from _of_table(spec, path, [source, "formal", "informal"])
        return
    for number, row in enumerate(read_cocoa(Path(str(path)), source, target), 1):
        for text in (row.source, row.formal, row.informal):
            yield EvaluationText(text, f"{path}: sentence {number}")


def _idioms(spec: AbilitySpec, path: Path_) -> Iterator[EvaluationText]:
    if isinstance(path, str):
        yield from _in_direction(spec, path)
        return
    for file in path.values():
        for number, text in enumerate(read_idioms(Path(file)), 1):
            yield EvaluationText(text, f"{file}: sentence {number}")


def _context(spec: AbilitySpec, path: Path_) -> Iterator[EvaluationText]:
    paths = {"items": path} if isinstance(path, str) else path
    items = read_items(Path(paths["items"]))
    if "inputs" in paths:
        items = with_context(items, Path(paths["items"]), Path(paths["inputs"]))
    for number, item in enumerate(items, 1):
        for text in (item.source, item.reference, *item.context):
            yield EvaluationText(text, f"{paths['items']}: item {number}")


# by an ability's measure; choices and answers of questions are too short to identify leakage
TEXTS: dict[str, Callable[[AbilitySpec, Path_], Iterator[EvaluationText]]] = {
    "formality": _formality,
    "translation": _in_direction,
    "few_shot": _in_direction,
    "instructions": _in_direction,
    "technical": _in_direction,
    "perplexity": _with_columns("text"),
    "choice": _with_columns("question"),
    "summarisation": _with_columns("article", "summary"),
    "context": _context,
    "idioms": _idioms,
}
