"""A made-up run whose truth is known: recipes over a small space, measured with paired errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from records_factory import make_record, make_score, make_study

from mtray.report.bootstrap_draws import write_draws
from mtray.report.evidence import Evidence, evidence
from mtray.report.records import write_record
from mtray.schema import Recipe, Study, TrialRecord
from mtray.search.ledger.run_folder import bind
from mtray.search_space.parameters import Choices, Condition, FloatRange, IntRange
from mtray.search_space.space import Space
from mtray.search_space.unit_cube import UnitCube

OBJECTIVES = {"quality": "max", "retention": "max"}
RESAMPLES = 200
SPACE = Space(
    parameters={
        "parallel_size": IntRange(type="int", low=100, high=10_000, log=True),
        "mono_ratio": FloatRange(type="float", low=0.0, high=2.0),
        "learning_rate": FloatRange(type="float", low=1e-5, high=1e-3, log=True),
    }
)
CONDITIONAL = Space(
    parameters={
        "parallel_size": IntRange(type="int", low=100, high=10_000, log=True),
        "method": Choices(type="categorical", choices=("full", "lora")),
        "lora_rank": IntRange(
            type="int", low=4, high=64, log=True, when={"method": Condition(among=("lora",))}
        ),
    },
    fixed={"learning_rate": 1e-4},
)
BASELINES = {
    "parallel_only": {"parallel_size": 10_000, "learning_rate": 1e-4},
    "uniform": {"parallel_size": 3_000, "learning_rate": 1e-4, "source_weights": "equal"},
}


def truth(recipe: Recipe) -> tuple[float, float]:
    """Quality grows with the pairs by .04 over the range; retention falls by .2 with them and is
    kept by mono, all linear in the unit coordinates."""
    cube = UnitCube(SPACE.distributions())
    size, mono, _ = cube.units(recipe.model_dump())
    return 0.6 + 0.04 * size, 1 - 0.2 * size * (1 - 0.8 * mono)


@dataclass(frozen=True)
class MadeUp:
    """Records with their draws."""

    records: list[TrialRecord]
    draws: Callable[[int, Sequence[str]], Mapping[str, np.ndarray]]

    def evidence(self) -> Evidence:
        return evidence(self.records, list(OBJECTIVES), self.draws)


def make_run(searched: int = 12, noise: float = 0.004, seed: int = 0) -> MadeUp:
    """The base model, two baselines, recipes spread over the space. `noise`: standard deviation of
    a difference from the base model; what all share is twice that."""
    from scipy.stats import qmc

    rng = np.random.default_rng(seed)
    cube = UnitCube(SPACE.distributions())
    recipes = [("base", Recipe(parallel_size=0))]
    recipes += [(role, Recipe(**values)) for role, values in BASELINES.items()]
    units = qmc.Halton(3, seed=seed).random(searched)
    recipes += [("search", SPACE.recipe(cube.params(row))) for row in units]
    shared, records, kept = rng.normal(0, 2 * noise, (RESAMPLES, 2)), [], {}
    for number, (role, recipe) in enumerate(recipes, start=-1):
        true = truth(recipe) if role != "base" else (0.6, 1.0)
        off = rng.normal(0, noise, 2) if role != "base" else np.zeros(2)
        own = rng.normal(0, noise, (RESAMPLES, 2)) * (role != "base")
        values = np.array(true) + off
        drawn = values + shared + own
        kept[number] = dict(zip(OBJECTIVES, drawn.T, strict=True))
        kept[number]["retention.animacy"] = kept[number]["retention"]
        quality, retention = (make_score(float(value), 4 * noise) for value in values)
        found = {"quality": quality, "retention": retention}
        records.append(
            make_record(
                number, role=role, recipe=recipe, objectives=found,
                scores={"retention.animacy": retention}, seconds={"total": 60.0},
            )
        )  # fmt: skip

    def draws(number: int, names: Sequence[str]) -> Mapping[str, np.ndarray]:
        return {n: d for n, d in kept[number].items() if n in names}

    return MadeUp(records, draws)


def write_made_up(
    folder: Path, run: MadeUp, study: Study | None = None, space: Space = SPACE
) -> Path:
    """The run's folder."""
    folder.mkdir(parents=True)
    bind(folder, study or make_study(), space)
    for record in run.records:
        write_record(folder, record)
        names = list({**record.scores, **record.objectives})
        write_draws(folder, record.number, dict(run.draws(record.number, names)))
    return folder
