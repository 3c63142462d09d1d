"""Simulated sweeps whose truth is known, for `calibration.py`.

A sweep consists of segment scores: the sum of a segment's effect on all models, a recipe's effect
on it, a seed's effect on it, and the effect of seed and data draw on a model as a whole. Everything
after that is mtray's own code: measurements, draws, scores, records, the selection of repeats, the
front and its comparisons. The constants are those of the default study (`recipe_table.py show`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mtray.analysis.resampling_units import key_of
from mtray.analysis.retention import RetainedAbility, retention
from mtray.analysis.uncertainty import Measurement, ScoreDraws, drawn, mean_measurement, mean_of
from mtray.report.differences import Joint, joint
from mtray.report.front import Front
from mtray.report.front_builder import build_front
from mtray.report.groups import complete_trials, group_trials
from mtray.schema import Evaluation, QualitySet, Recipe, Role, Source, Study, TrialRecord
from mtray.search.ledger.replicates import least_sure

Array = npt.NDArray[np.float64]
OBJECTIVES = ("quality", "retention")
BASELINES: tuple[Role, ...] = ("parallel_only", "mono_one_to_one", "mono_two_to_one", "uniform")


@dataclass(frozen=True)
class Scales:
    """Standard deviations of a segment's score, in its own unit (quality) or as a share of what the
    base model has above the floor (abilities).

    - `segment`: of the sentence, which all models share.
    - `recipe`: of what a recipe does to a sentence.
    - `seed`: of what a seed does to it on top.
    - `model`: of what seed and draw do to the whole model, not to a segment: of quality, and of
      the mean over abilities.
    """

    segment: tuple[float, float] = (0.26, 0.60)
    recipe: tuple[float, float] = (0.08, 0.19)
    seed: tuple[float, float] = (0.12, 0.28)
    model: tuple[float, float] = (0.001, 0.006)


@dataclass(frozen=True)
class Scenario:
    """One kind of sweep.

    - `searched`, `repeats`: recipes that are searched, and trainings with another seed.
    - `gain`: what the first `good` searched recipes are better by than all others, in quality and
      in retention.
    - `between`: standard deviation of the recipes' true values (0: all equal).
    - `directions`, `shared`: of quality, and whether they are of the same sentences, with how much
      of a sentence's score in common.
    - `luck`: what `Scales.model` is multiplied by; `unequal`: recipes differ in it by up to so
      many times.
    - `alphas`: of reversion; every training has a row at each.
    - `early`: shares of the steps; every training has a row after each, where as large a share of
      what the recipe does is done. A seed's error there is as large as at the end, and what adds up
      to it over the steps is the same until there.
    - `segments`, `resamples`: of every ability (quality: 400), and of the bootstrap.
    """

    name: str
    searched: int = 7
    repeats: int = 3
    gain: tuple[float, float] = (0.0, 0.0)
    good: int = 0
    between: tuple[float, float] = (0.0, 0.0)
    directions: int = 1
    shared: float = 0.0
    luck: float = 1.0
    unequal: float = 1.0
    alphas: tuple[float, ...] = ()
    early: tuple[float, ...] = ()
    abilities: int = 6
    segments: int = 150
    resamples: int = 400
    scales: Scales = field(default_factory=Scales)


FLOOR, ROOM = 0.2, 0.4  # of every ability: the floor, and what the base model has above it
QUALITY, QUALITY_SEGMENTS = 0.6, 400


@dataclass(frozen=True)
class Sweep:
    """What a simulated sweep ended with, and the truth.

    - `truth`: by trial, the true quality and retention.
    - `front`, `joint`: what mtray makes of the records.
    """

    scenario: Scenario
    truth: Mapping[int, tuple[float, float]]
    front: Front
    joint: Joint


class Luck(NamedTuple):
    """What seed and draw do: to quality (the first of two), to the abilities, and to the segments
    of both."""

    quality: Array
    abilities: Array
    sentences: Array
    texts: Array


class Simulator:
    """Trials of one sweep, trained one after another."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario, self._rng, self._seed = scenario, np.random.default_rng(seed), seed
        s, rng = scenario, self._rng
        common = rng.normal(0, 1, QUALITY_SEGMENTS)
        own = rng.normal(0, 1, (s.directions, QUALITY_SEGMENTS))
        mixed = np.sqrt(s.shared) * common + np.sqrt(1 - s.shared) * own
        self._sentences = s.scales.segment[0] * mixed
        self._texts = s.scales.segment[1] * rng.normal(0, 1, (s.abilities, s.segments))
        names = [f"q{0 if s.shared else d}" for d in range(s.directions)]
        self._units = [_units(seed, name, QUALITY_SEGMENTS) for name in names]
        self._ability_units = [_units(seed, f"a{k}", s.segments) for k in range(s.abilities)]
        self._effects: dict[Recipe, tuple[Array, Array, float]] = {}
        self.truth: dict[Recipe, tuple[float, float]] = {}
        self.records: list[TrialRecord] = []
        self._draws: dict[int, dict[str, Array]] = {}
        self._base = [self._ability(k, 0.0, self._noise(1, k)) for k in range(s.abilities)]
        self._enter(-1, "base", Recipe(parallel_size=0), QUALITY, self._noise(0, 0), None, 0)

    def draws(self, number: int, names: Sequence[str]) -> dict[str, Array]:
        return {n: d for n, d in self._draws.get(number, {}).items() if n in names}

    def _noise(self, side: int, _: int) -> Array:
        """What one model does to the segments: its recipe's part and its seed's."""
        s = self.scenario
        shape = (s.directions, QUALITY_SEGMENTS) if side == 0 else (s.segments,)
        return np.asarray(self._rng.normal(0, s.scales.recipe[side], shape))

    def recipe(self, recipe: Recipe, gain: tuple[float, float]) -> None:
        """A new recipe: its true values, and what it does to segments."""
        s, rng = self.scenario, self._rng
        quality = QUALITY + gain[0] + rng.normal(0, s.between[0])
        kept = 1 + gain[1] + rng.normal(0, s.between[1])
        texts = np.stack([self._noise(1, k) for k in range(s.abilities)])
        luck = s.luck * s.unequal ** rng.uniform(-1, 1)
        self._effects[recipe] = self._noise(0, 0), texts, luck
        self.truth[recipe] = quality, kept

    def train(
        self, recipe: Recipe, role: Role, number: int, replicate: int, of: int | None
    ) -> None:
        """One trial, and its rows at other alphas and after parts of its steps."""
        s = self.scenario
        sentences, texts, luck = self._effects[recipe]
        lucks = self._lucks(luck, sentences.shape, texts.shape)
        changes = [("reversion_alpha", alpha) for alpha in s.alphas] + [
            ("stop_after", e) for e in s.early
        ]
        for place, (name, reach) in enumerate([("reversion_alpha", 1.0), *changes]):
            row = recipe.model_copy(update={name: reach}) if place else recipe
            quality, kept = (
                b + reach * (t - b) for b, t in zip((QUALITY, 1.0), self.truth[recipe], strict=True)
            )
            self.truth.setdefault(row, (quality, kept))
            by_alpha = name == "reversion_alpha"
            scale, found = (reach, lucks[1.0]) if by_alpha else (1.0, lucks[reach])
            measured = [
                self._ability(
                    k, kept - 1 + scale * found.abilities[k],
                    reach * texts[k] + scale * found.texts[k],
                )
                for k in range(s.abilities)
            ]  # fmt: skip
            self._enter(
                number + 1_000_000 * place, "search" if place else role, row,
                quality + scale * found.quality[0], reach * sentences + scale * found.sentences,
                measured, replicate, of=None if of is None else of + 1_000_000 * place,
                trained_as=number if place else None,
            )  # fmt: skip

    def _lucks(
        self, luck: float, sentences: tuple[int, ...], texts: tuple[int, ...]
    ) -> dict[float, Luck]:
        """A seed's errors by share of the steps: of a random walk, each over its own length."""
        s = self.scenario
        # of the mean over abilities; each ability's own is as much larger
        each = luck * s.scales.model[1] * np.sqrt(s.abilities)
        scales = luck * s.scales.model[0], each, *s.scales.seed
        shapes = (2,), (s.abilities,), sentences, texts
        walk, before, found = [np.zeros(shape) for shape in shapes], 0.0, {}
        for share in sorted({*s.early, 1.0}):
            steps = [self._rng.normal(0, 1, shape) for shape in shapes]
            walk = [w + np.sqrt(share - before) * z for w, z in zip(walk, steps, strict=True)]
            scaled = zip(scales, walk, strict=True)
            found[share] = Luck(*(scale * w / np.sqrt(share) for scale, w in scaled))
            before = share
        return found

    def _ability(self, k: int, gain: float, noise: Array) -> Measurement:
        values = FLOOR + ROOM * (1 + gain + self._texts[k] + noise)
        return mean_measurement(values, "made-up", self._ability_units[k])

    def _enter(
        self, number: int, role: Role, recipe: Recipe, quality: float, noise: Array,
        found: list[Measurement] | None, replicate: int, of: int | None = None,
        trained_as: int | None = None,
    ) -> None:  # fmt: skip
        s, seed = self.scenario, self._seed
        sets = [
            mean_measurement(quality + self._sentences[d] + noise[d], "comet", self._units[d])
            for d in range(s.directions)
        ]
        kept = {
            f"a{k}": RetainedAbility(tuned, base, FLOOR)
            for k, (tuned, base) in enumerate(zip(found or self._base, self._base, strict=True))
        }
        shares = retention(kept, s.resamples, seed)
        objectives = {"quality": mean_of(sets, s.resamples, seed), "retention": shares.pop("mean")}
        scores: dict[str, ScoreDraws] = {f"retention.{name}": d for name, d in shares.items()}
        for d, measured in enumerate(sets):
            scores[f"comet.{d}"] = drawn(measured, s.resamples, seed)
        self._draws[number] = {name: d.draws for name, d in (scores | objectives).items()}
        if role == "base":
            self.truth[recipe] = QUALITY, 1.0
        self.records.append(
            TrialRecord(
                number=number, role=role, state="complete", recipe=recipe, seed=1 + replicate,
                replicate=replicate, of=of, trained_as=trained_as,
                objectives={name: d.score for name, d in objectives.items()},
                scores={name: d.score for name, d in scores.items()}, seconds={"total": 1.0},
            )
        )  # fmt: skip

    def least_sure(self) -> TrialRecord:
        """What the search would train again next
        (`mtray.search.ledger.replicates.ReplicateChoice.pick`)."""
        own = [r for r in self.records if r.trained_as is None]
        groups = group_trials(complete_trials(own))
        together = joint(groups, OBJECTIVES, self.draws, 250)
        chances = together.front_chances(["max", "max"])
        chosen = least_sure(
            chances, [len(g.seeds) for g in groups], [g.n_seeds > 0 for g in groups]
        )
        assert chosen is not None
        return groups[chosen].original


def _units(seed: int, name: str, count: int) -> npt.NDArray[np.int64]:
    return np.array([key_of(f"{name}/{i}") for i in range(count)])


def simulate(scenario: Scenario, seed: int) -> Sweep:
    """A whole sweep: base model, baselines, searched recipes, repeats of the least sure."""
    simulator = Simulator(scenario, seed)
    for number, role in enumerate(BASELINES):
        recipe = Recipe(parallel_size=4096, mono_ratio=float(number))
        simulator.recipe(recipe, (0.0, 0.0))
        simulator.train(recipe, role, number, 0, None)
    for place in range(scenario.searched):
        number = len(BASELINES) + place
        recipe = Recipe(parallel_size=100 + place)
        simulator.recipe(recipe, scenario.gain if place < scenario.good else (0.0, 0.0))
        simulator.train(recipe, "search", number, 0, None)
    for again in range(scenario.repeats):
        first = simulator.least_sure()
        count = sum(r.of == first.number for r in simulator.records) + 1
        number = len(BASELINES) + scenario.searched + again
        simulator.train(first.recipe, first.role, number, count, first.number)
    front = build_front(simulator.records, STUDY, Path("simulated"), simulator.draws)
    groups = group_trials(complete_trials(simulator.records))
    truth = {r.number: simulator.truth[r.recipe] for r in simulator.records}
    return Sweep(scenario, truth, front, joint(groups, OBJECTIVES, simulator.draws))


STUDY = Study(
    name="simulated",
    sources=(Source(name="pairs", kind="parallel", path="none", languages=("en", "uk")),),
    evaluation=Evaluation(
        comet="embedded", quality=(QualitySet(direction="en-uk", path="none"),), abilities={}
    ),
)
