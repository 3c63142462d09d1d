"""The test segments of a study, which neither the search nor any choice of recipes uses."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import ValidationError

from mtray.errors import ConfigError
from mtray.schema import AbilitySpec, QualitySet, Study

# properties of a measurement that are the same on other segments
SAME = ("test", "direction", "measure", "weight", "language")

Spec = TypeVar("Spec", QualitySet, AbilitySpec)


def has_test(study: Study) -> bool:
    """Whether any evaluation set has test segments."""
    evaluation = study.evaluation
    abilities = evaluation.abilities.values()
    return any(q.test for q in evaluation.quality) or any(spec.test for spec in abilities)


def sets_without_test(study: Study) -> list[str]:
    """The evaluation sets without test segments."""
    evaluation = study.evaluation
    found = [f"quality {q.direction}" for q in evaluation.quality if not q.test]
    return found + [f"ability {n}" for n, spec in evaluation.abilities.items() if not spec.test]


def study_on_test(study: Study) -> Study:
    """The study with its test segments in place of the others. Raises ConfigError if a set has
    none, or the same ones."""
    if missing := sets_without_test(study):
        raise ConfigError(
            f"`evaluation`: no test segments for {', '.join(missing)}; give each set "
            "`test: {path: FILE}` in the study's file, and start the sweep's command once more, "
            "which adds them to the run"
        )
    evaluation = study.evaluation
    changed = {
        "quality": tuple(_moved(f"quality {q.direction}", q) for q in evaluation.quality),
        "abilities": {n: _moved(f"ability {n}", s) for n, s in evaluation.abilities.items()},
    }
    return study.model_copy(update={"evaluation": evaluation.model_copy(update=changed)})


def _moved(name: str, spec: Spec) -> Spec:
    where = f"`evaluation`: {name}: `test`"
    own = {**spec.model_dump(exclude_defaults=True), "path": spec.path}
    own.pop("test", None)
    if fixed := sorted(set(SAME) & set(spec.test)):
        raise ConfigError(f"{where}: {fixed[0]!r} cannot differ on test segments; leave it out")
    moved = {**own, **spec.test}
    if (moved["path"], moved.get("split")) == (own["path"], own.get("split")):
        raise ConfigError(f"{where}: these are the segments of the search; give different ones")
    try:
        return type(spec).model_validate(moved)
    except ValidationError as error:
        found: Any = error.errors()[0]
        key = ".".join(map(str, found["loc"]))
        raise ConfigError(f"{where}: {key}: {found['msg']}") from None
