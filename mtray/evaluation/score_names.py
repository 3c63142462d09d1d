"""The names of everything that a study's evaluation measures, known before anything runs: a study
that names another one is refused at once, and not after the base model's evaluation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

import numpy as np

from mtray.analysis.uncertainty import Array
from mtray.data.languages import knows
from mtray.errors import ConfigError
from mtray.evaluation.abilities.base import Ability, Tools, languages_of
from mtray.evaluation.costs import cost_scores
from mtray.evaluation.inference.requests import Output
from mtray.evaluation.metrics.output_failures import STRICT
from mtray.evaluation.metrics.quality import COMET
from mtray.evaluation.suite import Suite
from mtray.schema import NO_COMET, Resources, Study

OFF_TARGET = "off_target"


def score_names(suite: Suite) -> list[str]:
    """Objectives and scores of a complete trial, without the extras of abilities
    (`extra_names`)."""
    learned = [*([COMET] if suite.comet != NO_COMET else []), *suite.more_comet]
    learned += suite.more_metrics
    names = ["quality"] if COMET in learned else []
    names += ["retention"] if suite.abilities else []
    directions = [d.name for d in suite.directions]
    for metric in (*learned, *suite.metrics, *(f"failures.{kind}" for kind in (*STRICT, "any"))):
        where = [d for d in directions if _is_measured(metric, d)]
        names += [f"{metric}.{direction}" for direction in where]
        names += [f"{metric}.mean"] if len(where) == len(directions) > 1 else []
    abilities = [ability.name for ability in suite.abilities]
    names += [*abilities, *(f"retention.{name}" for name in abilities)]
    names += ["retention.worst"] if abilities else []
    return [*names, *cost_scores({}, Resources())]


def _is_measured(metric: str, direction: str) -> bool:
    """Off-target is not measured for a language that the detector does not know."""
    return metric != f"failures.{OFF_TARGET}" or knows(languages_of(direction)[1])


class _ConstantScorer:
    """A stand-in for the study's metric when only names are needed."""

    signature = ""

    def scores(
        self, sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str]
    ) -> Array:
        return np.zeros(len(sources))


def extra_names(ability: Ability) -> list[str] | None:
    """Names of an ability's extras, as `<ability>.<name>`, found by measuring placeholder outputs.
    None if that fails."""
    blank = [Output(request.target or "", -1.0, 1) for request in ability.requests]
    try:
        found = ability.extras(blank, Tools(_ConstantScorer))
    except Exception:  # a task of the harness may need a real answer
        return None
    return [f"{ability.name}.{name}" for name in found]


def check_measured(study: Study, suite: Suite) -> None:
    """Raise ConfigError if an objective, a constraint or a floor refers to a score that is not
    measured, with the nearest name and all allowed ones."""
    named = [("objectives", name) for name in study.objectives]
    named += [("constraints", name) for name in study.constraints]
    named += [("early_stopping.floors", n) for n in getattr(study.early_stopping, "floors", ())]
    known = score_names(suite)
    unknown = [(key, name) for key, name in named if name not in known]
    if not unknown:
        return
    for ability in suite.abilities:
        of_it = [pair for pair in unknown if pair[1].startswith(f"{ability.name}.")]
        extras = extra_names(ability) if of_it else []
        if extras is None:
            unknown = [pair for pair in unknown if pair not in of_it]
        else:
            known += extras
    for key, name in unknown:
        if name not in known:
            raise ConfigError(_text(key, name, known, study))


def _text(key: str, name: str, known: Sequence[str], study: Study) -> str:
    head = name.split(".")[0]
    near, why = _nearest(name, known), ""
    if head in ("quality", COMET) and study.evaluation.comet == NO_COMET:
        near = [n for n in known if n.split(".")[0] in study.evaluation.metrics]
        near = [n for n in near if n.endswith(".mean")] or near
        why = ", since `evaluation.comet` is none"
    elif name.endswith(".mean") and len(study.evaluation.quality) == 1:
        why = ": means are over directions, and the study has one"
    elif head == "retention" and not study.evaluation.abilities:
        why = ", since `evaluation.abilities` has none"
    return (
        f"`{key}` names {name!r}, which is not measured{why}. Nearest: "
        f"{', '.join(near) or 'none'}. Measured: {', '.join(known)}"
    )


def _nearest(name: str, known: Iterable[str]) -> list[str]:
    """The closest name, of the same measure if there is one."""
    among = list(known)
    alike = [n for n in among if n.split(".")[0] == name.split(".")[0]]
    return get_close_matches(name, alike or among, 1, 0.0)
