"""The ability protocol, and the reading of options that all abilities share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pydantic import ValidationError

from mtray.analysis.uncertainty import Measurement
from mtray.data.readers.sources import LABELS, read_columns
from mtray.data.stratified_sample import Strata, sample_indices
from mtray.data.translation_prompts import PromptBuilder
from mtray.errors import ConfigError, EvaluationError
from mtray.evaluation.inference.requests import Output, Request
from mtray.evaluation.inference.translation_requests import translation_request
from mtray.evaluation.metrics.quality import CometScorer
from mtray.schema import AbilitySpec, Frozen, Paragraphs


@dataclass(frozen=True)
class Context:
    """What an ability is built from, in addition to its own options."""

    name: str
    template: str
    max_new_tokens: int
    tokenizer: Any
    sample_seed: int = 0
    paragraphs: Paragraphs = "auto"

    @property
    def prompt_builder(self) -> PromptBuilder:
        """Builds the study's translation prompts."""
        return PromptBuilder(self.template, self.tokenizer, paragraphs=self.paragraphs)

    def translation_request(self, prompt: str, source: str) -> Request:
        """The request for a translation of `source`, which is as it is in the prompt."""
        return translation_request(prompt, source, self.max_new_tokens, self.tokenizer)


@dataclass(frozen=True)
class Tools:
    """What a measurement may need in addition to outputs. `comet` loads the study's metric, once
    per process."""

    comet: Callable[[], CometScorer]


class Ability(Protocol):
    """Requests to the model, and the measurement of its outputs; higher is better.

    floor: the value at chance or of a trivial output, in the unit of the measurement. If only the
        study's metric can measure it, a method `floor_by(tools)` returns it (see `floor_of`).
    extras: further reported measurements, by name.
    texts: optional method; returns what each row of the measurement may share with other sets: its
        texts, and its document (see `mtray.analysis.resampling_units`).
    """

    @property
    def name(self) -> str: ...

    @property
    def floor(self) -> float: ...

    @property
    def requests(self) -> list[Request]: ...

    def measure(self, outputs: Sequence[Output], tools: Tools) -> Measurement: ...

    def extras(self, outputs: Sequence[Output], tools: Tools) -> dict[str, Measurement]: ...

    def counts(self, outputs: Sequence[Output]) -> dict[str, float]: ...

    def part(self, share: float) -> Ability:
        """The same measure and floor on `evenly` chosen segments."""
        ...


def floor_of(ability: Ability, tools: Tools) -> float:
    """The ability's floor, from its `floor_by(tools)` if it has one."""
    by_metric: Callable[[Tools], float] | None = getattr(ability, "floor_by", None)
    return ability.floor if by_metric is None else by_metric(tools)


Options = TypeVar("Options", bound=Frozen)
Row = TypeVar("Row")


def check_without_comet(abilities: Sequence[Ability]) -> None:
    """Raise ConfigError naming the first ability that is measured by the study's COMET; its
    attribute `without_comet` describes an alternative."""
    for ability in abilities:
        if instead := getattr(ability, "without_comet", ""):
            raise ConfigError(
                f"ability {ability.name!r} is measured by COMET, and `evaluation.comet` is none: "
                f"{instead}, or name a COMET model"
            )


# a part of an evaluation set has at least this many segments, or all: fewer have no standard error
LEAST_SEGMENTS = 8


def evenly(n: int, share: float) -> list[int]:
    """Indices of a share of `n` segments, evenly spaced; the same for every model."""
    return spaced(n, max(LEAST_SEGMENTS, math.ceil(n * share - 1e-9)))


def spaced(n: int, wanted: int) -> list[int]:
    """`wanted` indices of `n` (all if there are no more), evenly spaced."""
    wanted = min(n, wanted)
    return [place * n // wanted for place in range(wanted)]


def read_rows(
    spec: AbilitySpec,
    roles: Sequence[str],
    path: str | Mapping[str, str] | None = None,
) -> list[dict[str, str]]:
    """All rows by role. `columns` of the spec maps a role to the file's column, whose default
    name is the role's. Labels that it names are read too, but not from another `path` than
    the spec's."""
    own = path in (None, spec.path)
    labels = [label for label in LABELS if own and label in spec.columns and label not in roles]
    unknown = spec.columns.keys() - {*roles, *LABELS}
    if unknown:
        raise ConfigError(
            f"measure {spec.measure}: unknown key {min(unknown)!r} in `columns`; "
            f"allowed: {', '.join(dict.fromkeys([*roles, *LABELS]))}"
        )
    names = {role: spec.columns.get(role, role) for role in [*roles, *labels]}
    columns = [names[role] for role in roles]
    rows = read_columns(path or spec.path, columns, [names[label] for label in labels])
    return [{role: row[name] for role, name in names.items()} for row in rows]


def sampled(
    spec: AbilitySpec, context: Context, rows: Sequence[Row], strata: Strata = ()
) -> list[Row]:
    """The rows that are measured (`mtray.data.stratified_sample`)."""
    places = sample_indices(len(rows), spec.size, spec.take, context.sample_seed, strata)
    return [rows[i] for i in places]


def sampled_rows(spec: AbilitySpec, context: Context, roles: Sequence[str]) -> list[dict[str, str]]:
    """The rows of `path` that are measured, by role; stratified by the labels that `columns`
    names."""
    rows = read_rows(spec, roles)
    return sampled(spec, context, rows, strata_of(rows))


def strata_of(rows: Sequence[dict[str, str]]) -> Strata:
    """The labels of rows by role, if they have any."""
    return [[row[label] for row in rows] for label in LABELS if label in rows[0]]


def options_of(name: str, spec: AbilitySpec, model: type[Options]) -> Options:
    """The measure's own options, parsed by its `model`. Raises ConfigError naming the ability, the
    option, the value found and what is allowed."""
    try:
        return model.model_validate(spec.model_extra or {})
    except ValidationError as error:
        found = error.errors()[0]
    option = ".".join(map(str, found["loc"]))
    where = f"ability {name!r}: measure {spec.measure}"
    if found["type"] == "extra_forbidden":
        allowed = sorted({*AbilitySpec.model_fields, *model.model_fields})
        raise ConfigError(f"{where} does not know `{option}`; it takes {', '.join(allowed)}")
    if found["type"] == "missing":
        raise ConfigError(f"{where} needs `{option}`")
    reason = found["msg"].removeprefix("Value error, ")
    raise ConfigError(f"{where}: `{option}`: {reason}, found {found['input']!r}")


def languages_of(direction: str) -> tuple[str, str]:
    """Source and target language of a direction such as en-uk."""
    source, target = direction.split("-")
    return source, target


def check_outputs(name: str, requests: Sequence[Request], outputs: Sequence[Output]) -> None:
    """Raise EvaluationError unless there is an output for every request."""
    if len(outputs) != len(requests):
        raise EvaluationError(f"{name}: {len(requests)} requests but {len(outputs)} outputs")


def output_counts(sources: Sequence[str], outputs: Sequence[Output]) -> dict[str, float]:
    """Failures that a mean hides: empty and truncated answers, and copies of the source."""
    return {
        "segments": float(len(outputs)),
        "empty": float(sum(not o.text for o in outputs)),
        "truncated": float(sum(o.truncated for o in outputs)),
        "copied": float(sum(o.text == s for o, s in zip(outputs, sources, strict=True))),
    }
