"""Labels of objectives on axes and in tables."""

from __future__ import annotations

from pathlib import Path

from mtray.report.abilities import AbilitySets, count_text
from mtray.schema import Sense, Study


def objective_label(name: str, sense: Sense, study: Study, abilities: AbilitySets = ()) -> str:
    """The label of an axis: the objective, its measure, and whether higher or lower is better."""
    better = f"{'higher' if sense == 'max' else 'lower'} is better"
    return f"{measure_label(name, study, abilities)}, {better}"


def measure_label(name: str, study: Study, abilities: AbilitySets = ()) -> str:
    """The objective and its measure; for retention also how many of the abilities count."""
    head, _, rest = name.partition(".")
    comet = f"COMET ({comet_name(study)})"
    if head == "retention" and rest:
        return f"{name}: share of {rest} kept"
    return {
        "quality": f"quality: {comet}",
        "retention": f"retention: share of {_counted(abilities)} kept",
        "comet": f"{name}: {comet}",
    }.get(head, name)


def _counted(abilities: AbilitySets) -> str:
    return count_text(abilities[0]) if any(s.left_out for s in abilities) else "abilities"


def comet_name(study: Study) -> str:
    """The metric's display name, without folders and file extension; `none` if there is none."""
    comet = study.evaluation.comet
    return "mtray-comet-tiny" if comet == "embedded" else Path(comet).name.removesuffix(".ckpt")
