"""Computes the front of a run, once, from its records."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mtray.analysis import pareto
from mtray.errors import RunError
from mtray.report.abilities import AbilitySets, ability_sets
from mtray.report.answer import answer
from mtray.report.answer_text import with_texts
from mtray.report.axis_labels import measure_label, objective_label
from mtray.report.caveats import caveats, versions
from mtray.report.compare import Comparison, compare
from mtray.report.differences import Joint, joint
from mtray.report.front import Front, Objective, Point
from mtray.report.groups import (
    Draws,
    Group,
    complete_trials,
    group_trials,
    no_draws,
    objective_array,
)
from mtray.report.hypervolume import reference_point
from mtray.report.leave_one_out import left_out_errors, left_out_notes
from mtray.report.modelled_front import modelled_front
from mtray.report.omissions import run_notes
from mtray.report.paired_differences import (
    Differences,
    all_differences,
    reference_note,
    reference_number,
)
from mtray.report.parameters import parameters
from mtray.report.posterior import JointPosterior, posterior_of
from mtray.report.second_metric import second_metric_notes, second_metrics
from mtray.report.seed_means import mean_records, seed_spreads
from mtray.report.training_numbers import training_numbers
from mtray.run_files import result_path, trial_name
from mtray.schema import POOLS, Study, TrialRecord
from mtray.search_space.space import Space


def build_front(
    records: Sequence[TrialRecord],
    study: Study,
    run_dir: Path,
    draws: Draws = no_draws,
    against: str | None = None,
    space: Space | None = None,
) -> Front:
    """The front of all recipes with a complete trial, including baselines.

    `draws` gives paired bootstrap draws; without them every score is drawn from its own interval.
    `against`: the recipe that differences are relative to (`reference_number`). Without a `space`
    there is no answer. Raises RunError if no trial is complete or one lacks an objective,
    ConfigError if no recipe is called `against`.
    """
    complete = complete_trials(records)
    if not complete:
        raise RunError(f"{run_dir}: no trial is complete yet, so there is no front")
    names, senses = list(study.objectives), list(study.objectives.values())
    _check_objectives(complete, names)
    groups = group_trials(complete)
    spreads, together = seed_spreads(groups, draws), joint(groups, names, draws)
    means = mean_records(groups, draws, spreads)
    values = pareto.maximised(objective_array(means, names, "value"), senses)
    on_front, knee = pareto.non_dominated(values), pareto.knee(values)
    chances = together.front_chances(senses)
    reference = reference_point(means, study.objectives)
    corner = pareto.maximised(reference, senses)
    baselines = values[[r.role != "search" for r in means]]
    abilities = ability_sets(complete)
    against_number = reference_number(groups, against)
    apart = all_differences(
        groups, together, _compared_with(groups, against_number), draws, spreads
    )
    seconds = second_metrics(groups, study.objectives, apart, draws)
    order = tuple(means[i].number for i in pareto.front_order(values))
    believed = _believed(
        posterior_of(complete, study, space, draws) if space else None, str(run_dir)
    )
    return Front(
        study=study.name,
        run=str(run_dir),
        objectives=_objectives(study, reference, pareto.spread(values), together, abilities),
        points=tuple(
            _point(
                mean,
                group,
                apart[mean.number],
                FrontMembership(bool(on), i == knee, float(p)),
                run_dir,
            )
            for i, (mean, group, on, p) in enumerate(
                zip(means, groups, on_front, chances, strict=True)
            )
        ),
        front=order,
        knee=means[knee].number,
        **believed,
        reference=against_number,
        paired=together.paired,
        hypervolume=pareto.hypervolume(values, corner),
        baseline_hypervolume=pareto.hypervolume(baselines, corner) if len(baselines) else None,
        comparisons=_comparisons(means, on_front, study, together),
        second_metrics=seconds,
        abilities=abilities,
        pruned={r.number: r.reason or "" for r in records if r.state == "pruned"},
        stopped={r.number: r.reason or "" for r in records if r.state == "stopped"},
        infeasible={r.number: r.reason or "" for r in records if r.state == "infeasible"},
        failed={r.number: r.reason or "no reason recorded" for r in records if r.state == "failed"},
        versions=versions(complete),
        notes=(
            *second_metric_notes(seconds, order, means[0].objectives),
            *reference_note(groups, against_number),
            *caveats(study, complete, groups, together),
            *left_out_notes(believed.get("left_out", {})),
            *run_notes(records),
        ),
    )


def _believed(found: JointPosterior | None, run: str) -> dict[str, Any]:
    """The parts of a front that depend on the model of the run."""
    if found is None:
        return {}
    surface = found.surface
    left_out = {n: left_out_errors(surface, n) for n in found.objectives} if surface else {}
    return {
        "answer": with_texts(answer(found), run),
        "modelled": modelled_front(found),
        "left_out": left_out,
    }


def _objectives(
    study: Study, reference: np.ndarray, reach: np.ndarray, together: Joint, abilities: AbilitySets
) -> tuple[Objective, ...]:
    spread = together.spread
    return tuple(
        Objective(
            name=n, sense=s, label=objective_label(n, s, study, abilities),
            measure=measure_label(n, study, abilities), reference=float(reference[i]),
            spread=float(reach[i]),
            seed_deviation=float(spread.deviation[i]) if spread.freedom else None,
        )
        for i, (n, s) in enumerate(study.objectives.items())
    )  # fmt: skip


def _compared_with(groups: Sequence[Group], reference: int | None) -> list[int]:
    """Numbers of the recipes that all others are compared with."""
    others = [g.original.number for g in groups if g.original.role != "search"]
    return others + ([] if reference is None or reference in others else [reference])


def _comparisons(
    records: Sequence[TrialRecord], on_front: np.ndarray, study: Study, together: Joint
) -> tuple[Comparison, ...]:
    """The front's searched points compared with every baseline; empty before a searched trial is
    complete."""
    searched = [r.number for r in records if r.role == "search"]
    front = [r for r, on in zip(records, on_front, strict=True) if on and r.role == "search"]
    baselines = [r for r in records if r.role != "search"]
    return compare(front, baselines, searched, study.objectives, together) if searched else ()


def rerun_command(run_dir: Path, number: int) -> str:
    """The shell command that trains and measures one trial's recipe again."""
    return f"python -m mtray rerun {shlex.quote(str(run_dir))} {trial_name(number)}"


def _check_objectives(records: Sequence[TrialRecord], names: Sequence[str]) -> None:
    for record in records:
        if missing := [name for name in names if name not in record.objectives]:
            raise RunError(
                f"trial {record.number} is complete but has no objective {missing[0]!r}; it has "
                f"{sorted(record.objectives)}. Was the run made with another study?"
            )


class FrontMembership(NamedTuple):
    """A point's position: whether it is on the front, whether it is the knee, and its probability
    of being on the front."""

    on_front: bool
    knee: bool
    chance: float


def _point(
    mean: TrialRecord, group: Group, differences: Differences, place: FrontMembership, run_dir: Path
) -> Point:
    mix = {
        f"n_{kind}": sum(s.examples for s in mean.mix.shares if POOLS.get(s.kind, s.kind) == kind)
        for kind in ("parallel", "mono", "replay")
    }
    return Point(
        number=mean.number, role=mean.role, trials=tuple(t.number for t in group.trials),
        replicates=len(group.seeds), on_front=place.on_front, knee=place.knee,
        p_front=place.chance, recipe=parameters(mean.recipe), objectives=mean.objectives,
        scores=mean.scores, differences=differences,
        mix=mix | {"n_examples": mean.mix.examples, "mix_tokens": mean.mix.tokens},
        training=training_numbers(mean),
        seconds=mean.total_seconds,
        record=result_path(run_dir, mean.number).relative_to(run_dir).as_posix(),
        command=rerun_command(run_dir, mean.number),
    )  # fmt: skip
