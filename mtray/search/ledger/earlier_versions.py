"""Study files of earlier versions: `early_stopping` had one margin, `alpha` is now
`reversion_alpha`, and `lora_alpha`, once a multiple of the rank, is now as in peft."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mtray.schema import LORA_SCALE, RENAMED, Recipe, TrialRecord

NAMES = "parameter_names"  # which names a study file uses; absent: those of an earlier version
CURRENT = 2
CHANGED = {name: f"which is now {new}" for name, new in RENAMED.items()} | {
    "lora_alpha": "which is now as in peft, and no longer a multiple of the rank"
}


def in_current_names(found: Mapping[str, Any]) -> dict[str, Any]:
    """Study and space of a run's file, in the names of this version.

    A searched `lora_alpha` gets the range of its products with all ranks of the space, and its
    guess and step are dropped, as are conditions on it: they depend on the rank.
    """
    study, space = _with_floor_margin(found["study"]), found["space"]
    if found.get(NAMES) == CURRENT:
        return {**found, "study": study}
    defaults, fixed = _renamed(study.get("defaults", {})), _renamed(space.get("fixed", {}))
    parameters = {
        name: {**p, "when": _renamed(p.get("when", {}))}
        for name, p in _renamed(space["parameters"]).items()
    }
    ranks = _values(parameters.get("lora_rank"), {**defaults, **fixed})
    for values in (defaults, fixed):
        if "lora_alpha" in values:
            _scale_fixed(values, ranks)
    if "lora_alpha" in parameters:
        between = "low" in parameters.get("lora_rank", {})
        parameters["lora_alpha"] = _scaled(parameters["lora_alpha"], ranks, between)
        for p in parameters.values():
            p["when"].pop("lora_alpha", None)
    return {
        **found,
        "study": {**study, "defaults": defaults},
        "space": {"parameters": parameters, "fixed": fixed},
    }


def _with_floor_margin(study: Mapping[str, Any]) -> dict[str, Any]:
    """`floor_margin` was `margin`."""
    rule = study.get("early_stopping")
    if not rule or "margin" not in rule or not rule.get("floors"):
        return dict(study)
    return {**study, "early_stopping": {"floor_margin": rule["margin"], **rule}}


def changed_parameters(found: Mapping[str, Any]) -> list[str]:
    """The parameters of a run's file that this version names or counts otherwise, under their old
    names, and that no space of this version has as that run did: the run's search cannot go on with
    them. A searched one, or `lora_alpha` fixed at a multiple of searched ranks."""
    if found.get(NAMES) == CURRENT:
        return []
    searched, fixed = found["space"]["parameters"], found["space"].get("fixed", {})
    names = [name for name in searched if name in CHANGED]
    if "lora_rank" in searched and fixed.get("lora_alpha", LORA_SCALE) != LORA_SCALE:
        names.append("lora_alpha")
    return names


def in_earlier_units(record: TrialRecord) -> TrialRecord:
    """With `lora_alpha` as a multiple of the rank."""
    recipe = record.recipe
    if recipe.lora_alpha is None:
        return record
    scaled = recipe.model_copy(update={"lora_alpha": recipe.lora_scale})
    return record.model_copy(update={"recipe": scaled})


def in_earlier_names(text: str) -> str:
    """The JSON text of a record with the names of an earlier version."""
    for before, now in RENAMED.items():
        text = text.replace(f'"{now}":', f'"{before}":')
    return text


def _renamed(values: Mapping[str, Any]) -> dict[str, Any]:
    return {RENAMED.get(name, name): value for name, value in values.items()}


def _values(parameter: Mapping[str, Any] | None, known: Mapping[str, Any]) -> list[float]:
    if parameter is None:
        return [known.get("lora_rank", Recipe.model_fields["lora_rank"].default)]
    return parameter.get("choices") or [parameter["low"], parameter["high"]]


def _scale_fixed(values: dict[str, Any], ranks: list[float]) -> None:
    scale = values.pop("lora_alpha")
    if scale != LORA_SCALE:  # which is what no `lora_alpha` means, at any rank
        values["lora_alpha"] = scale * max(ranks)


def _scaled(parameter: Mapping[str, Any], ranks: list[float], between: bool) -> dict[str, Any]:
    """`between`: there are ranks between these, so that choices become a range."""
    found = {k: v for k, v in parameter.items() if k not in ("guess", "step", "choices")}
    scales = _values(parameter, {})
    if "choices" in parameter and not between:
        return {**found, "choices": sorted({c * r for c in scales for r in ranks})}
    ends = {"low": min(scales) * min(ranks), "high": max(scales) * max(ranks)}
    return {**found, **ends, **({"type": "float", "log": True} if "choices" in parameter else {})}
