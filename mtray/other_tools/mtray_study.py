"""mtray itself: a study and a space of one recipe, for a sweep that trains it again elsewhere."""

from __future__ import annotations

from typing import Any

import yaml

from mtray.other_tools.plan import ROWS, Files, Plan
from mtray.schema import Budget, Recipe, Study, TrialRecord, as_written

STUDY, SPACE = "study.yaml", "space.yaml"


def mtray_study(plan: Plan, study: Study, record: TrialRecord) -> Files:
    """`study`: the run's, with the evaluation that decides which rows its sources have."""
    return Files(
        {STUDY: study_text(plan, study, record), SPACE: space_text(record.recipe)},
        f"python sweeps/ratio_search.py --study FOLDER/{STUDY} --space FOLDER/{SPACE}",
        "mtray",
        _differences(plan, study, record),
        "",
        plan.rows,
    )


def study_text(plan: Plan, study: Study, record: TrialRecord) -> str:
    """The study, with a budget of this recipe alone."""
    budget = Budget(
        trials=1,
        baselines=(),
        recipes=({"parallel_size": record.recipe.parallel_size},),
        replicate_share=0,
        confirm=0,
    )
    own = study.model_copy(
        update={
            "name": f"{study.name}-{record.number}",
            "model": plan.model if study.model != "embedded" else study.model,
            "seed": record.seed - record.replicate,
            "budget": budget,
            "early_stopping": None,
            "defaults": {},
        }
    )
    given = as_written(own).model_dump(mode="json", exclude_defaults=True)
    given["budget"] |= {"baselines": "none"}
    head = f"# The study of {plan.run} with the recipe of trial {record.number} alone.\n"
    return head + yaml.safe_dump(given, sort_keys=False, allow_unicode=True, width=10_000)


def space_text(recipe: Recipe) -> str:
    """A space with every parameter at the recipe's value, but for the range that each needs."""
    values: dict[str, Any] = recipe.model_dump(mode="json", exclude_defaults=True)
    size = values.pop("parallel_size")
    found = {"parallel_size": {"type": "int", "low": max(1, size // 2), "high": 2 * size}, **values}
    head = "# A space needs a range; the study's `budget` gives the value.\n"
    return head + yaml.safe_dump(found, sort_keys=False)


def _differences(plan: Plan, study: Study, record: TrialRecord) -> list[str]:
    found = [
        f"The sources are read where they were: `path` in `{STUDY}` is absolute. On another "
        "machine, copy the files and change the paths; a row that differs changes the draw.",
        f"`{ROWS}` is what the trial was trained on, for reading; mtray draws the same rows itself "
        "and records their hash.",
    ]
    if record.replicate:
        found.append(
            f"Trial {record.number} is replicate {record.replicate} of another, with a draw of its "
            "own. A sweep begins with the first draw, so this one trains on other rows; "
            f"`python -m mtray rerun RUN {record.number}` repeats the trial itself."
        )
    if study.early_stopping is not None:
        found.append("`early_stopping` is left out, since there is no other trial.")
    return found
