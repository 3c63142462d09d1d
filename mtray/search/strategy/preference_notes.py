"""What a study prefers, for the plan of a sweep."""

from __future__ import annotations

from collections.abc import Sequence

from mtray.run_files import BASE_NUMBER
from mtray.schema import Study, TrialRecord, preference_text
from mtray.search.strategy.samplers import AUTO, EHVI


def preference_plan(study: Study) -> list[str]:
    """Lines on the preference of a study, and what does not follow it; none without one."""
    if not study.prefer:
        return []
    lines = [f"preferred: {preference_text(study.prefer, study.objectives)}"]
    if study.sampler not in (AUTO, EHVI):
        lines.append(
            f"  note: sampler {study.sampler} does not know `prefer` (auto and ehvi do); the "
            "answer and the picture follow it"
        )
    above = [
        f"  note: `prefer.{name}` is {p.limit_text}; the base model has 1 by definition, so "
        "that asks for better than nothing lost"
        for name, p in study.prefer.items()
        if name.split(".")[0] == "retention" and p.at_least is not None and p.at_least > 1
    ]
    return [*lines, *above]


def base_notes(study: Study, records: Sequence[TrialRecord]) -> list[str]:
    """A line for each limit that the measured base model does not reach."""
    base = next((r for r in records if r.number == BASE_NUMBER), None)
    found = []
    for name, sense in study.objectives.items():
        wanted = study.prefer.get(name)
        score = None if base is None else base.objectives.get(name)
        if wanted is None or wanted.limit is None or score is None:
            continue
        if (score.value < wanted.limit) if sense == "max" else (score.value > wanted.limit):
            found.append(
                f"`prefer.{name}` is {wanted.limit_text}; the base model itself has "
                f"{score.value:.4g} and does not reach that"
            )
    return found
