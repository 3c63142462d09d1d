"""Caveats that a reader of a front must know."""

from __future__ import annotations

from collections.abc import Sequence

from mtray.analysis.seed_variance import PRIOR_FREEDOM
from mtray.report.differences import Joint
from mtray.report.groups import Group
from mtray.runtime import CODE
from mtray.schema import Study, TrialRecord

# what every front is compared with
REFERENCES = {"base", "parallel_only", "mono_one_to_one"}


def versions(records: Sequence[TrialRecord]) -> dict[str, str]:
    """Version of every package; several, joined by a comma, if trials differ."""
    seen: dict[str, dict[str, None]] = {}
    for record in records:
        for name, version in record.versions.items():
            seen.setdefault(name, {})[version] = None
    return {name: ", ".join(found) for name, found in sorted(seen.items())}


def expected_references(study: Study) -> set[str]:
    """Which of `REFERENCES` a complete run of the study has."""
    kinds = {source.kind for source in study.sources}
    asked = set(study.budget.baselines) - (set() if "mono" in kinds else {"mono_one_to_one"})
    return {"base", *(REFERENCES & asked)}


def caveats(
    study: Study, records: Sequence[TrialRecord], groups: Sequence[Group], together: Joint
) -> tuple[str, ...]:
    """The notes in the files, on the page and on the terminal."""
    searched = sum(g.original.role == "search" for g in groups)
    if not searched:
        return ("No trial of the search is complete yet: all points are baselines.",)
    notes = [
        f"The points were selected as the best of {searched} recipes on the same segments that "
        "their scores come from, so the best look better than they are. Measure a chosen recipe "
        "again on held-out segments, with another seed.",
        _seeds_note(groups, together),
    ]
    if not together.paired:
        notes.append(
            "P(front) draws every objective from its 95 % interval, independently of the other "
            "trials. Intervals of differences treat the two scores as independent; on shared "
            "segments they are wider than necessary."
        )
    roles = {r.role for r in records}
    if missing := expected_references(study) - roles:
        notes.append(f"No complete trial of the baselines: {', '.join(sorted(missing))}.")
    if not REFERENCES & roles:
        notes.append(
            "Without baselines the reference point of the hypervolume changes as trials are added."
        )
    # the code has a note of its own, with the trials
    if mixed := [n for n, v in versions(records).items() if ", " in v and n != CODE]:
        notes.append(f"Trials were measured with different versions of: {', '.join(mixed)}.")
    return tuple(notes)


def _seeds_note(groups: Sequence[Group], together: Joint) -> str:
    repeated = [g for g in groups if g.n_seeds > 1]
    if not repeated:
        return (
            "No recipe was trained with a second seed: how much the seed and the draw of the data "
            "matter is assumed, not measured, and all intervals "
            "except the base model's are wider because of it."
        )
    return (
        f"{len(repeated)} of {len(groups)} recipes were trained with more than one seed; their "
        "values are means over seeds. All intervals except the base model's are over segments and "
        "seeds. The variance over seeds, used also for recipes with one seed, comes from those "
        f"recipes ({together.spread.repeats} degrees of freedom) and a prior ({PRIOR_FREEDOM:g})."
    )
