"""Differences between a run's study and space and the current ones, and what each difference
requires so that the run's trials stay usable."""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mtray.schema import KEPT_BESIDE, Evaluation, Study
from mtray.search.ledger.earlier_versions import CURRENT, NAMES
from mtray.search_space.space import Space

# may change between two starts of one run
FREE = ("budget", "resources")
# lists of a study whose members have a name
NAMED = {"study.sources": "name", "study.evaluation.quality": "direction"}
SHOWN = 60  # characters of a value


class Need(StrEnum):
    """What a change requires.

    - `NOTHING`: it changes no trial.
    - `RECOMPUTE`: objectives follow from stored scores and draws.
    - `SEARCH`: how a run searches or is named; its trials can be imported into another run.
    - `FIT`: some trials fit and others do not.
    - `MEASURE`: other requests or metrics. Another run scores stored answers again, and generates
      missing ones with kept weights.
    - `ANSWER`: another generation of every answer.
    - `TRAIN`: other models.
    """

    NOTHING = "nothing"
    RECOMPUTE = "recompute"
    SEARCH = "search"
    FIT = "fit"
    MEASURE = "measure"
    ANSWER = "answer"
    TRAIN = "train"


WORDS = {
    Need.NOTHING: "changes no trial",
    Need.RECOMPUTE: "is recomputed from stored scores and draws",
    Need.SEARCH: "cannot change within a run; every trial fits another run",
    Need.FIT: "cannot change within a run; trials that fit can be imported",
    Need.MEASURE: (
        "cannot change within a run; another run scores stored answers again and generates missing "
        "ones with kept weights"
    ),
    Need.ANSWER: "every model has to be evaluated again",
    Need.TRAIN: "every trial has to be trained again",
}
# the same run continues; a new run imports trials
SAME_RUN = (Need.NOTHING, Need.RECOMPUTE)
TAKEN_OVER = (*SAME_RUN, Need.SEARCH, Need.FIT, Need.MEASURE)
# the first pattern that matches a key decides
RULES: tuple[tuple[str, Need], ...] = (
    (r"space", Need.FIT),
    (r"study\.(name|seed|sampler|defaults|early_stopping)", Need.SEARCH),
    (r"study\.(objectives|constraints)", Need.RECOMPUTE),
    (r"study\.prefer", Need.NOTHING),
    (r"study\.sources\.[^.]+\.licence$", Need.NOTHING),
    (r"study\.sources\.", Need.FIT),
    (r"study\.evaluation\.(comet_device|batch_tokens|divergence|embedder|metrics)", Need.NOTHING),
    (r"study\.evaluation\.abilities\.[^.]+\.weight$", Need.RECOMPUTE),
    (r"study\.evaluation\.(quality|abilities|more_comet|more_metrics)\.", Need.MEASURE),
    (r"study\.evaluation\.(comet|comet_long|bootstrap|sample_seed)$", Need.MEASURE),
    (r"study\.evaluation\.", Need.ANSWER),
    (r"", Need.TRAIN),
)
ABILITY = re.compile(r"study\.evaluation\.abilities\.[^.]+")
FLOOR = re.compile(r"study\.evaluation\.abilities\.[^.]+\.floor")
MORE_METRICS = re.compile(r"study\.evaluation\.more_(comet|metrics)\.[^.]+")


@dataclass(frozen=True)
class StudyChange:
    """One key that differs, such as `study.training.epochs`.

    - `before`, `now`: its values; None if the key is absent.
    - `needs`: what the change requires.
    """

    key: str
    before: Any
    now: Any
    needs: Need

    @property
    def text(self) -> str:
        before = " was not set" if self.before is None else f" = {_shown(self.before)}"
        now = "not set" if self.now is None else _shown(self.now)
        return f"{self.key}{before}, now it is {now}: {WORDS[self.needs]}"


def content(study: Study, space: Space | None = None) -> dict[str, Any]:
    """Study and space in the form that `study_changes` compares; without a space the study
    alone."""
    found = {"study": study.model_dump(mode="json")}
    if space is None:
        return found
    return found | {"space": space.model_dump(mode="json"), NAMES: CURRENT}


def study_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[StudyChange, ...]:
    """All differences between two studies, each as returned by `content`, in the order of their
    keys. Keys in `FREE` or `KEPT_BESIDE` and test segments, which no trial of a search uses, are
    ignored."""
    return _changes(_lasting(old), _lasting(new))


def text_changes(old: Evaluation, new: Evaluation) -> tuple[StudyChange, ...]:
    """Differences, including test segments, that change the texts of the leakage check."""
    before, now = (
        {"study": {"evaluation": _by_name(found.model_dump(mode="json"), "study.evaluation")}}
        for found in (old, new)
    )
    found = _changes(before, now)
    others = (Need.MEASURE, Need.ANSWER)
    return tuple(c for c in found if c.needs in others or ABILITY.fullmatch(c.key))


def _changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[StudyChange, ...]:
    found = _differences(old, new)
    return tuple(StudyChange(key, was, now, _need(key, was, now)) for key, was, now in found)


def _need(key: str, before: Any, now: Any) -> Need:
    if ABILITY.fullmatch(key) and now is None:
        return Need.RECOMPUTE
    if FLOOR.fullmatch(key) and isinstance(now, int | float):
        return Need.RECOMPUTE  # a floor that the measure computes itself is not stored
    if MORE_METRICS.fullmatch(key) and None in (before, now):
        return Need.NOTHING  # scores of different metrics have different names
    return next(need for pattern, need in RULES if re.match(pattern, key))


def _lasting(found: Mapping[str, Any]) -> dict[str, Any]:
    """The content without keys that may change between two starts, and with named lists as
    mappings."""
    study = {key: value for key, value in found["study"].items() if key not in FREE}
    study["training"] = {k: v for k, v in study["training"].items() if k not in KEPT_BESIDE}
    evaluation = study["evaluation"]
    study["evaluation"] = {
        **evaluation,
        "quality": [_untested(spec) for spec in evaluation["quality"]],
        "abilities": {name: _untested(spec) for name, spec in evaluation["abilities"].items()},
    }
    return {**found, "study": _by_name(study, "study")}


def _untested(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in spec.items() if key != "test"}


def _by_name(node: Any, key: str) -> Any:
    if isinstance(node, Mapping):
        return {part: _by_name(value, f"{key}.{part}") for part, value in node.items()}
    if key in NAMED and isinstance(node, list | tuple):
        return {member[NAMED[key]]: dict(member) for member in node}
    return node


def _differences(old: Any, new: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Key, old and new value of every difference."""
    if key == "study.objectives":
        # values in the journal are in the order of the objectives
        if list(old.items()) != list(new.items()):
            yield key, old, new
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for part in sorted(old.keys() | new.keys()):
            yield from _differences(old.get(part), new.get(part), f"{key}.{part}".strip("."))
        if key == "study.sources" and _order(old, new) != _order(new, old):
            yield key, list(old), list(new)  # the order of the sources decides the shuffling
    elif old != new:
        yield key, old, new


def _order(names: Iterable[str], among: Collection[str]) -> list[str]:
    return [name for name in names if name in among]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 4]} ..."


def change_lines(changes: Sequence[StudyChange]) -> str:
    """An indented line for each change, preceded by a line feed."""
    return "".join(f"\n  {change.text}" for change in changes)


def is_beyond(changes: Sequence[StudyChange], needs: Collection[Need]) -> bool:
    """Whether a change needs anything other than these."""
    return any(change.needs not in needs for change in changes)


def how_to_go_on(run: str, changes: Sequence[StudyChange]) -> str:
    """The command that starts a run of another study and reuses what it can of this one."""
    if not is_beyond(changes, TAKEN_OVER):
        return (
            "restore the old values to continue it, or give the same command another --name and "
            f"--from {shlex.quote(run)}, which imports every trial that fits and lists those that "
            "do not"
        )
    return (
        "none of its trials fits the new study: restore the old values to continue it, or give "
        "the same command another --name to train anew"
    )
