"""The front as one value: everything that the files, the page and the tables show, worked out once
from the records."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from mtray.analysis import pareto
from mtray.errors import RunError
from mtray.report.abilities import AbilitySets, ability_sets, count_text
from mtray.report.caveats import caveats, versions
from mtray.report.compare import Comparison, compare
from mtray.report.differences import Joint, joint
from mtray.report.groups import (
    Draws,
    Group,
    complete_trials,
    group_trials,
    no_draws,
    objective_array,
)
from mtray.report.means import mean_records
from mtray.report.omissions import run_notes
from mtray.report.parameters import Parameters, parameters
from mtray.report.records import result_path, trial_name
from mtray.schema import POOLS, Frozen, Role, Score, Sense, Study, TrialRecord


class Objective(Frozen):
    """`reference` is this objective's coordinate of the hypervolume's reference point, `spread` the
    front's reach, `seed_deviation` the standard deviation of one trial over seeds, beyond what the
    bootstrap over segments holds, from all repeated recipes and the prior of
    `mtray.analysis.seeds`; None where nothing was trained."""

    name: str
    sense: Sense
    label: str
    reference: float
    spread: float
    seed_deviation: float | None = None


class Point(Frozen):
    """One recipe: its complete `trials`, by number, and their means over `replicates` seeds.

    `number` is the trial that the others repeat. `p_front`: probability of being on the front,
    given its intervals. `recipe` has None where a parameter has no meaning. `record`, `mix` and
    `training` are that trial's, `record` relative to the run's folder, `command` measures the
    recipe again, `seconds` is a whole trial's.
    """

    number: int
    role: Role
    trials: tuple[int, ...]
    replicates: int
    on_front: bool
    knee: bool
    p_front: float
    recipe: Parameters
    objectives: dict[str, Score]
    scores: dict[str, Score]
    mix: dict[str, int]
    training: dict[str, int | float]
    seconds: float
    record: str
    command: str


class Front(Frozen):
    """`front` holds the numbers on the front from the best in the first objective to the worst.
    `hypervolume` is of all points, `baseline_hypervolume` of the baselines alone, against the same
    reference point. `abilities`: what retention is the mean of, once unless trials disagree."""

    study: str
    run: str
    objectives: tuple[Objective, ...]
    points: tuple[Point, ...]
    front: tuple[int, ...]
    knee: int
    hypervolume: float
    baseline_hypervolume: float | None
    comparisons: tuple[Comparison, ...]
    abilities: AbilitySets
    pruned: dict[int, str]
    infeasible: dict[int, str]
    failed: dict[int, str]
    versions: dict[str, str]
    notes: tuple[str, ...]

    @property
    def searched(self) -> int:
        """Number of searched recipes with a complete trial."""
        return sum(point.role == "search" for point in self.points)

    @property
    def trials(self) -> int:
        """Number of complete trials behind them."""
        return sum(len(point.trials) for point in self.points if point.role == "search")

    def point(self, number: int) -> Point:
        return next(point for point in self.points if point.number == number)


def build_front(
    records: Sequence[TrialRecord],
    study: Study,
    run_dir: Path,
    draws: Draws = no_draws,
) -> Front:
    """The front of all recipes with a complete trial, baselines among them. RunError when none is
    complete or one lacks an objective.

    `draws` gives the trials' paired bootstrap draws; without them every score is drawn from its own
    interval.
    """
    complete = complete_trials(records)
    if not complete:
        raise RunError(f"{run_dir}: no trial is complete yet, so there is no front")
    names, senses = list(study.objectives), list(study.objectives.values())
    _check_objectives(complete, names)
    groups = group_trials(complete)
    means, together = mean_records(groups, draws), joint(groups, names, draws)
    values = pareto.maximised(objective_array(means, names, "value"), senses)
    on_front, knee = pareto.non_dominated(values), pareto.knee(values)
    chances = together.front_chances(senses)
    reference = reference_point(means, study.objectives)
    corner = pareto.maximised(reference, senses)
    baselines = values[[r.role != "search" for r in means]]
    abilities = ability_sets(complete)
    return Front(
        study=study.name,
        run=str(run_dir),
        objectives=_objectives(study, reference, pareto.spread(values), together, abilities),
        points=tuple(
            _point(means[i], group, bool(on_front[i]), i == knee, float(chances[i]), run_dir)
            for i, group in enumerate(groups)
        ),
        front=tuple(means[i].number for i in pareto.front_order(values)),
        knee=means[knee].number,
        hypervolume=pareto.hypervolume(values, corner),
        baseline_hypervolume=pareto.hypervolume(baselines, corner) if len(baselines) else None,
        comparisons=_comparisons(means, on_front, study, together), abilities=abilities,
        pruned={r.number: r.reason or "" for r in records if r.state == "pruned"},
        infeasible={r.number: r.reason or "" for r in records if r.state == "infeasible"},
        failed={r.number: r.reason or "no reason recorded" for r in records
                if r.state == "failed"},
        versions=versions(complete),
        notes=(*caveats(complete, groups, together), *run_notes(records)),
    )  # fmt: skip


def _objectives(
    study: Study, reference: np.ndarray, reach: np.ndarray, together: Joint,
    abilities: AbilitySets,
) -> tuple[Objective, ...]:  # fmt: skip
    spread = together.spread
    return tuple(
        Objective(
            name=n, sense=s, label=objective_label(n, s, study, abilities),
            reference=float(reference[i]), spread=float(reach[i]),
            seed_deviation=float(spread.deviation[i]) if spread.freedom else None,
        )
        for i, (n, s) in enumerate(study.objectives.items())
    )  # fmt: skip


def _comparisons(
    records: Sequence[TrialRecord], on_front: np.ndarray, study: Study, together: Joint
) -> tuple[Comparison, ...]:
    """The front's searched points beside every baseline; nothing before a searched trial is
    complete."""
    searched = [r.number for r in records if r.role == "search"]
    front = [r for r, on in zip(records, on_front, strict=True) if on and r.role == "search"]
    baselines = [r for r in records if r.role != "search"]
    return compare(front, baselines, searched, study.objectives, together) if searched else ()


def reference_point(records: Sequence[TrialRecord], objectives: Mapping[str, Sense]) -> np.ndarray:
    """The hypervolume's reference point, shape (m,), in the objectives' own units.

    Retention: 0, the score of a trivial output. Others: a tenth of the baselines' range worse than
    the worst baseline. Both stay put while a sweep grows, so hypervolumes of one study can be
    compared. Without baselines all trials stand in for them.
    """
    anchors = [r for r in records if r.role != "search"] or list(records)
    found = []
    for name, sense in objectives.items():
        if name.split(".")[0] == "retention" and sense == "max":
            found.append(0.0)
            continue
        values = [r.objectives[name].value for r in anchors]
        worst, extent = (min if sense == "max" else max)(values), max(values) - min(values)
        margin = 0.1 * (extent or abs(worst) or 1.0)
        found.append(worst - margin if sense == "max" else worst + margin)
    return np.array(found)


def objective_label(name: str, sense: Sense, study: Study, abilities: AbilitySets = ()) -> str:
    """What an axis is called: the objective, its measure, which way is better; of retention also
    how many of the abilities count."""
    head, _, rest = name.partition(".")
    comet = f"COMET ({comet_name(study)})"
    what = {
        "quality": f"quality: {comet}",
        "retention": f"retention: share of {_counted(abilities)} kept",
        "comet": f"{name}: {comet}",
    }.get(head, name)
    if head == "retention" and rest:
        what = f"{name}: share of {rest} kept"
    return f"{what}, {'higher' if sense == 'max' else 'lower'} is better"


def _counted(abilities: AbilitySets) -> str:
    return count_text(abilities[0]) if any(s.left_out for s in abilities) else "abilities"


def comet_name(study: Study) -> str:
    """The metric's name as a person knows it: no folders, no file ending; `none` where there is
    none."""
    comet = study.evaluation.comet
    return "mtray-comet-tiny" if comet == "embedded" else Path(comet).name.removesuffix(".ckpt")


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


def training_numbers(record: TrialRecord) -> dict[str, int | float]:
    """What a training moved, by how much, and from how much text; empty for the base model."""
    done = record.training
    if done is None:
        return {}
    found: dict[str, int | float] = {
        "tuned_parameters": done.trainable_parameters,
        "tokens_per_parameter": done.tokens_per_parameter,
        "accumulated_learning_rate": done.accumulated_learning_rate,
    }
    if done.mean_difference is not None:
        found["mean_difference"] = done.mean_difference
    if done.forward_kl is not None:
        found["forward_kl"] = done.forward_kl
    found |= {f"movement.{part}": value for part, value in done.movement.items()}
    return found | {f"des.{part}": value for part, value in record.extra.get("des", {}).items()}


def _point(
    mean: TrialRecord, group: Group, on_front: bool, knee: bool, chance: float, run_dir: Path
) -> Point:
    mix = {
        f"n_{kind}": sum(s.realised for s in mean.mix.shares if POOLS.get(s.kind, s.kind) == kind)
        for kind in ("parallel", "mono", "replay")
    }
    return Point(
        number=mean.number, role=mean.role, trials=tuple(t.number for t in group.trials),
        replicates=len(group.seeds), on_front=on_front, knee=knee, p_front=chance,
        recipe=parameters(mean.recipe), objectives=mean.objectives, scores=mean.scores,
        mix=mix | {"n_examples": mean.mix.examples, "mix_tokens": mean.mix.tokens},
        training=training_numbers(mean),
        seconds=mean.total_seconds,
        record=result_path(run_dir, mean.number).relative_to(run_dir).as_posix(),
        command=rerun_command(run_dir, mean.number),
    )  # fmt: skip
