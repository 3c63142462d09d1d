"""What every recipe is compared with, and its differences to that in everything measured.

All trials answer the same segments, so the interval of a difference is a paired one
(`mtray.report.differences`): errors that two models share cancel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from mtray.analysis.seed_variance import SeedVariance
from mtray.errors import ConfigError
from mtray.report.differences import Difference, Joint, joint
from mtray.report.groups import (
    Draws,
    Group,
    group_trials,
    has_scores,
    measured,
    no_draws,
    seed_variance,
)
from mtray.run_files import trial_name
from mtray.schema import Role

# a recipe's differences: by the number of what it is compared with, then by the measure's name
Differences = dict[int, dict[str, Difference]]
ABSOLUTE = (
    "Neither the base model nor a baseline is complete: values are shown as they are, and not as "
    "differences."
)


def reference_number(groups: Sequence[Group], against: str | None = None) -> int | None:
    """The number of the recipe that differences are relative to: that of `against`, a role or a
    number; by default the base model or, if it is not complete, the first baseline; None without
    either.

    Raises ConfigError if no complete recipe has that name.
    """
    found = [g for g in groups if against in _names(g)]
    if against is not None and not found:
        raise ConfigError(
            f"--against {against}: no complete recipe is called that; allowed: {_choices(groups)} "
            "(`front RUN --all` lists them)"
        )
    others = [g for g in groups if g.original.role != "search"]
    chosen = found or [g for g in others if g.original.role == "base"] or others
    return chosen[0].original.number if chosen else None


def _names(group: Group) -> list[str]:
    """Names of a recipe: the numbers of its trials, a baseline's role."""
    role = group.original.role
    return [str(trial.number) for trial in group.trials] + [role] * (role != "search")


def _choices(groups: Sequence[Group]) -> str:
    roles = [g.original.role for g in groups if g.original.role != "search"]
    numbers = [trial_name(g.original.number) for g in groups if g.original.role != "base"]
    return ", ".join([*roles, *numbers])


def reference_note(groups: Sequence[Group], reference: int | None) -> tuple[str, ...]:
    """A note if differences are not to the base model because it is not complete."""
    if any(g.original.role == "base" for g in groups):
        return ()
    if reference is None:
        return (ABSOLUTE,)
    role: Role = next(g.original.role for g in groups if g.original.number == reference)
    return (
        "The base model is not complete, so differences are to another recipe: "
        f"{role}, trial {reference}.",
    )


def all_differences(
    groups: Sequence[Group],
    together: Joint,
    references: Sequence[int],
    draws: Draws = no_draws,
    spreads: Mapping[str, SeedVariance] | None = None,
) -> dict[int, Differences]:
    """Every recipe's differences to the recipes of these numbers, by its own number, in everything
    measured in both. `together`: the joint errors of all groups in the objectives. `spreads`:
    `seed_spreads` of the groups, if they are known."""
    found: dict[int, Differences] = {
        g.original.number: {other: {} for other in references} for g in groups
    }
    for name in dict.fromkeys(n for g in groups for t in g.trials for n in measured(t)):
        having = [g for g in groups if all(has_scores(t, [name]) for t in g.trials)]
        numbers = [g.original.number for g in having]
        if not {*numbers} & {*references}:
            continue
        spread = spreads[name] if spreads and len(having) == len(groups) else None
        known = together
        if name not in together.names:
            known = joint(having, [name], draws, spread=spread)
        for other in [n for n in references if n in numbers]:
            gaps = known.differences(other, name)
            for number in numbers:
                found[number][other][name] = gaps[number]
    return found


def trial_differences(
    groups: Sequence[Group], reference: int, draws: Draws = no_draws
) -> Callable[[str], dict[int, Difference]]:
    """For a measure's name, the difference of every single trial that has it to the recipe of
    this number, by the trial's own. Intervals cover the segments and, like those of recipes,
    the seeds."""
    of = next(g for g in groups if g.original.number == reference)

    def differences(name: str) -> dict[int, Difference]:
        trials = [t for g in groups for t in g.trials if has_scores(t, [name])]
        if not all(has_scores(t, [name]) for t in of.trials):
            return {}
        spread = seed_variance(group_trials(trials), [name], draws)
        # the recipe comes first; its own trials share their trainings with it
        known = joint([of, *(Group((t,)) for t in trials)], [name], draws, spread=spread)
        placed = replace(known, numbers=tuple(range(len(trials) + 1)))
        gaps = placed.differences(0, name)
        found = {t.number: gaps[place] for place, t in enumerate(trials, 1)}
        # without draws the two would count as different models
        return found | ({reference: Difference(0, 0, 0)} if len(of.trials) == 1 else {})

    return differences
