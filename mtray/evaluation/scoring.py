"""The scores of a suite's outputs: first all measurements, then the units that they share, then
values, intervals and draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from mtray.analysis.resampling_units import Keys, shared_units
from mtray.analysis.retention import retention
from mtray.analysis.uncertainty import Array, Measurement, ScoreDraws, drawn, mean_of
from mtray.evaluation.abilities.base import Ability, Tools, floor_of, output_counts
from mtray.evaluation.directions import Direction, judge_direction, measure_direction
from mtray.evaluation.inference.requests import Output
from mtray.evaluation.inference.translation_requests import asked_text, paragraph_counts
from mtray.evaluation.metrics.quality import COMET, CometScorer
from mtray.evaluation.retained_abilities import kept_abilities
from mtray.schema import Score

RETENTION = "retention"


class Parts(Protocol):
    """The part of a suite (`mtray.evaluation.suite.Suite`) that scoring needs."""

    @property
    def directions(self) -> list[Direction]: ...
    @property
    def abilities(self) -> list[Ability]: ...
    @property
    def weights(self) -> dict[str, float]: ...
    @property
    def metrics(self) -> tuple[str, ...]: ...
    @property
    def objectives(self) -> tuple[str, ...]: ...
    @property
    def beside(self) -> tuple[list[tuple[str, ...]], ...]: ...


@dataclass(frozen=True)
class SuiteResult:
    """The scores of a model's outputs.

    - `objectives`, `scores`, `counts`: those of a `TrialRecord`.
    - `left_out`: why an ability does not count.
    - `draws`: the bootstrap draws of every score and objective, each of shape (resamples,), paired
      between models.
    """

    objectives: dict[str, Score]
    scores: dict[str, Score]
    counts: dict[str, dict[str, float]]
    left_out: dict[str, str] = field(default_factory=dict)
    draws: dict[str, Array] = field(default_factory=dict)


@dataclass
class Scoring:
    """Computes the scores of one model's outputs.

    - `suite`, `scorers` (learned metrics by name), `tools`: what it is measured with.
    - `resamples`, `seed`: of the bootstrap.
    - `result`: the results so far.
    """

    suite: Parts
    scorers: Mapping[str, CometScorer]
    tools: Tools
    resamples: int
    seed: int
    result: SuiteResult = field(default_factory=lambda: SuiteResult({}, {}, {}))

    def enter(self, name: str, found: ScoreDraws, objective: bool = False) -> None:
        (self.result.objectives if objective else self.result.scores)[name] = found.score
        self.result.draws[name] = found.draws

    def _drawn(self, measurement: Measurement) -> ScoreDraws:
        return drawn(measurement, self.resamples, self.seed)

    def quality(self, outputs: Sequence[Sequence[Output]], units: Sequence[Keys]) -> None:
        """Every direction's metrics and failure rates, their means, and, with a COMET, the
        objective `quality`."""
        by_metric: dict[str, list[Measurement]] = {}
        for direction, found, keys in zip(self.suite.directions, outputs, units, strict=True):
            measured = measure_direction(direction, found, self.suite.metrics, self.scorers)
            judged = judge_direction(direction, found)
            shares = judged.measurements("strict")
            measured |= {f"failures.{kind}": share for kind, share in shares.items()}
            self.result.counts[f"failures.{direction.name}"] = judged.counts()
            for metric, measurement in measured.items():
                known = on_units(measurement, keys)
                by_metric.setdefault(metric, []).append(known)
                self.enter(f"{metric}.{direction.name}", self._drawn(known))
            asked = list(map(asked_text, direction.requests, direction.sources))
            counts = output_counts(asked, found)
            counts |= paragraph_counts(direction.requests, asked, found)
            self.result.counts[f"quality.{direction.name}"] = counts
        for metric, measurements in by_metric.items():
            # off-target is not measured for a language that the detector does not know
            if len(measurements) == len(self.suite.directions) > 1:
                self.enter(f"{metric}.mean", mean_of(measurements, self.resamples, self.seed))
        if COMET in by_metric:
            mean = mean_of(by_metric[COMET], self.resamples, self.seed)
            self.enter("quality", mean, objective=True)

    def abilities(
        self,
        outputs: Sequence[Sequence[Output]],
        base_outputs: Sequence[Sequence[Output]],
        units: Sequence[Keys | None],
    ) -> None:
        """Every ability with its extras, and its retention relative to the base model."""
        tuned: dict[str, Measurement] = {}
        base: dict[str, Measurement] = {}
        asked = zip(self.suite.abilities, outputs, base_outputs, units, strict=True)
        for ability, found, before, keys in asked:
            name = ability.name
            tuned[name] = on_units(ability.measure(found, self.tools), keys)
            base[name] = on_units(ability.measure(before, self.tools), keys)
            self.enter(name, self._drawn(tuned[name]))
            for extra, measurement in ability.extras(found, self.tools).items():
                self.enter(f"{name}.{extra}", self._drawn(on_units(measurement, keys)))
            self.result.counts[name] = ability.counts(found)
        floors = {a.name: floor_of(a, self.tools) for a in self.suite.abilities}
        kept, left_out = kept_abilities(
            floors, self.suite.weights, tuned, base, self.resamples, self.seed,
            required=RETENTION in {name.split(".")[0] for name in self.suite.objectives},
        )  # fmt: skip
        self.result.left_out.update(left_out)
        if not kept:
            return
        shares = retention(kept, self.resamples, self.seed)
        self.enter(RETENTION, shares.pop("mean"), objective=True)
        for name, share in shares.items():
            self.enter(f"{RETENTION}.{name}", share)


def on_units(measurement: Measurement, keys: Keys | None) -> Measurement:
    """The measurement with the suite's units if it has a row for each; one on other rows (for
    example, a subset of the segments) keeps its own."""
    if keys is None or len(keys) != len(measurement.stats):
        return measurement
    return replace(measurement, clusters=keys)


def suite_units(suite: Parts) -> tuple[list[Keys], list[Keys | None]]:
    """The units of the directions' segments and of the abilities' rows (None: an ability that does
    not name what its rows share)."""
    rows = [direction_names(direction) for direction in suite.directions]
    texts = [ability_texts(ability) for ability in suite.abilities]
    known = [found for found in texts if found is not None]
    keys = shared_units([*rows, *known, *suite.beside])
    rest = iter(keys[len(rows) :])
    return keys[: len(rows)], [None if found is None else next(rest) for found in texts]


def direction_names(direction: Direction) -> list[tuple[str, ...]]:
    """What each segment may share with others: its texts, and its document if the set has enough of
    them to be resampled."""
    documents = None if direction.clusters() is None else direction.documents
    texts = list(zip(direction.sources, direction.references, strict=True))
    if documents is None:
        return list(texts)
    return [
        (*pair, f"\0{direction.name}/{document}")
        for pair, document in zip(texts, documents, strict=True)
    ]


def ability_texts(ability: Ability) -> list[tuple[str, ...]] | None:
    """What an ability's rows may share with others (its `texts()`), None if it does not name it."""
    say = getattr(ability, "texts", None)
    return None if say is None else list(say())
