"""What every ability is, and the reading of options that all of them share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mtray.analysis.uncertainty import Measurement
from mtray.data.sources import read_columns
from mtray.errors import ConfigError, EvaluationError
from mtray.evaluation.engine import Output, Request
from mtray.schema import AbilitySpec

# options that every measure takes
COMMON = {"measure", "path", "size", "weight", "columns"}


@dataclass(frozen=True)
class Context:
    """What an ability is built with besides its own options."""

    name: str
    template: str
    max_new_tokens: int
    tokenizer: Any


class Ability(Protocol):
    """Requests to the model, and what its outputs are worth. `floor` is the value of chance or of a
    trivial output, in the unit of the measurement; higher is better. `extras` are further
    measurements to report, by name."""

    @property
    def name(self) -> str: ...

    @property
    def floor(self) -> float: ...

    @property
    def requests(self) -> list[Request]: ...

    def measure(self, outputs: Sequence[Output]) -> Measurement: ...

    def extras(self, outputs: Sequence[Output]) -> dict[str, Measurement]: ...

    def counts(self, outputs: Sequence[Output]) -> dict[str, float]: ...

    def part(self, share: float) -> Ability:
        """The same measure and floor on `evenly` chosen segments."""
        ...


# a part of an evaluation set has at least so many segments, or all: fewer have no standard error
LEAST_SEGMENTS = 8


def evenly(n: int, share: float) -> list[int]:
    """The places of a share of `n` segments, spread over all of them; the same for every model."""
    wanted = min(n, max(LEAST_SEGMENTS, math.ceil(n * share - 1e-9)))
    return [place * n // wanted for place in range(wanted)]


def read_rows(
    spec: AbilitySpec, roles: Sequence[str], path: str | None = None, limit: int | None = None
) -> list[dict[str, str]]:
    """Rows by role; `columns` of the spec maps a role to the file's column, which otherwise has the
    role's name."""
    unknown = spec.columns.keys() - set(roles)
    if unknown:
        raise ConfigError(
            f"measure {spec.measure}: unknown key {min(unknown)!r} in `columns`; "
            f"allowed: {', '.join(roles)}"
        )
    names = [spec.columns.get(role, role) for role in roles]
    rows = read_columns(path or spec.path, names, limit)
    return [{role: row[name] for role, name in zip(roles, names, strict=True)} for row in rows]


def check_options(name: str, spec: AbilitySpec, required: Sequence[str]) -> None:
    """ConfigError unless the options given are the common ones and `required`; `shots` has a
    default and may be left out."""
    given = spec.model_fields_set
    unknown = given - COMMON - set(required)
    if unknown:
        raise ConfigError(
            f"ability {name!r}: measure {spec.measure} does not know `{min(unknown)}`; "
            f"it takes {', '.join(sorted(COMMON | set(required)))}"
        )
    missing = [option for option in required if getattr(spec, option) is None]
    if missing:
        raise ConfigError(f"ability {name!r}: measure {spec.measure} needs `{missing[0]}`")


def languages_of(direction: str | None) -> tuple[str, str]:
    """Source and target language of a direction such as en-uk."""
    source, target = str(direction).split("-")
    return source, target


def one_line(text: str) -> str:
    """Prompts and answers are lines: any run of white space becomes one space."""
    return " ".join(text.split())


def check_outputs(name: str, requests: Sequence[Request], outputs: Sequence[Output]) -> None:
    """EvaluationError unless there is an output for every request."""
    if len(outputs) != len(requests):
        raise EvaluationError(f"{name}: {len(requests)} requests but {len(outputs)} outputs")


def output_counts(sources: Sequence[str], outputs: Sequence[Output]) -> dict[str, float]:
    """Failures that an average hides: empty and cut-off answers, and copies of the source."""
    return {
        "segments": float(len(outputs)),
        "empty": float(sum(not o.text for o in outputs)),
        "truncated": float(sum(o.truncated for o in outputs)),
        "copied": float(sum(o.text == s for o, s in zip(outputs, sources, strict=True))),
    }
