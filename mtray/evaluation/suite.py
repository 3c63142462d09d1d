"""A study's whole evaluation: every request to the model in one list, and the two objectives from
the outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

from mtray.analysis.uncertainty import Array, Drawn, Measurement, drawn, mean_of, retention
from mtray.errors import ConfigError, EvaluationError
from mtray.evaluation.abilities import build_ability
from mtray.evaluation.abilities.base import (
    Ability,
    Context,
    Tools,
    check_without_comet,
    floor_of,
    languages_of,
    one_line,
    output_counts,
)
from mtray.evaluation.directions import (
    Direction,
    build_direction,
    judge_direction,
    measure_direction,
)
from mtray.evaluation.engine import Output, Request
from mtray.evaluation.quality import COMET, METRICS, CometScorer, string_metrics
from mtray.evaluation.retention import kept_abilities
from mtray.schema import NO_COMET, Evaluation, Score, Study

# retention's own summaries, and the first part of other scores' names
RESERVED = ("mean", "worst")
RESERVED_PREFIXES = (COMET, *METRICS, "quality", "retention", "cost", "failures")


class Sample(NamedTuple):
    """One translation for people to read."""

    direction: str
    source: str
    hypothesis: str
    reference: str


@dataclass(frozen=True)
class SuiteResult:
    """`objectives`, `scores` and `counts` are those of a `TrialRecord`; `left_out` says why an
    ability does not count; `draws` are the bootstrap draws of quality, retention and whatever else
    is an objective, paired between models."""

    objectives: dict[str, Score]
    scores: dict[str, Score]
    counts: dict[str, dict[str, float]]
    left_out: dict[str, str] = field(default_factory=dict)
    draws: dict[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class Suite:
    """Frozen and free of models, so that it can be sent to a worker. `comet` is the metric's name,
    loaded when scores are made (`none`: there is none, and no quality); `metrics` are string
    metrics and `more_comet` the names of further models by the name that they are reported under.
    `objectives`: what the search looks at."""

    directions: list[Direction]
    abilities: list[Ability]
    weights: dict[str, float]
    comet: str
    metrics: tuple[str, ...] = ()
    more_comet: dict[str, str] = field(default_factory=dict)
    objectives: tuple[str, ...] = ()
    comet_device: str = "auto"

    @property
    def requests(self) -> list[Request]:
        """Every request: the directions', then the abilities', each part in its own order."""
        return [r for _, requests in self._named() for r in requests]

    def _named(self) -> list[tuple[str, list[Request]]]:
        named = [(f"quality.{d.name}", d.requests) for d in self.directions]
        return named + [(a.name, a.requests) for a in self.abilities]

    @property
    def parts(self) -> list[str]:
        """The part that each request belongs to: `quality.<direction>` or the ability's name."""
        return [name for name, requests in self._named() for _ in requests]

    def part(self, share: float) -> Suite:
        """The suite on a share of every evaluation set, for a quick look at the objectives:
        metrics that none of them is made of are left out. Its requests are among this suite's, its
        floors are this suite's."""
        looked_at = {name.split(".")[0] for name in self.objectives}
        return replace(
            self,
            metrics=tuple(name for name in self.metrics if name in looked_at),
            more_comet={n: model for n, model in self.more_comet.items() if n in looked_at},
            directions=[d.part(share) for d in self.directions],
            abilities=[a.part(share) for a in self.abilities],
        )

    def outputs_of(self, part: Suite, outputs: Sequence[Output]) -> list[Output]:
        """Of the outputs of this suite's requests those of a part's."""
        known = dict(zip(self.requests, outputs, strict=True))
        return [known[request] for request in part.requests]

    def split(self, outputs: Sequence[Output]) -> tuple[list[list[Output]], list[list[Output]]]:
        """Outputs of `requests` by direction and by ability."""
        if len(outputs) != len(self.requests):
            raise EvaluationError(f"{len(self.requests)} requests but {len(outputs)} outputs")
        rest = iter(outputs)
        directions = [[next(rest) for _ in d.requests] for d in self.directions]
        return directions, [[next(rest) for _ in a.requests] for a in self.abilities]

    def sample(self, outputs: Sequence[Output], k: int) -> list[Sample]:
        """The first `k` segments of every direction; the same ones for every model."""
        directions, _ = self.split(outputs)
        return [
            Sample(d.name, source, output.text, reference)
            for d, found in zip(self.directions, directions, strict=True)
            for source, output, reference in list(zip(d.sources, found, d.references, strict=True))[
                :k
            ]
        ]

    def score(
        self,
        outputs: Sequence[Output],
        base_outputs: Sequence[Output] | None,
        resamples: int,
        seed: int,
        load_comet: Callable[[str], CometScorer] | None = None,
    ) -> SuiteResult:
        """Objectives `quality` and `retention` with everything they are made of.

        `base_outputs` None: the outputs are the base model's own, whose retention is 1.
        `load_comet` replaces `mtray.evaluation.comet.load_comet`. Raises EvaluationError when a
        measurement cannot be made."""
        if load_comet is None:
            from mtray.evaluation.comet import loader

            load_comet = loader(self.comet_device)
        by_direction, by_ability = self.split(outputs)
        result = SuiteResult({}, {}, {})
        tools = Tools(partial(load_comet, self.comet))
        scorers = {COMET: tools.comet()} if self.comet != NO_COMET else {}
        scorers |= {name: load_comet(model) for name, model in self.more_comet.items()}
        self._score_quality(by_direction, scorers, result, resamples, seed)
        if self.abilities:
            base = by_ability if base_outputs is None else self.split(base_outputs)[1]
            self._score_abilities(by_ability, base, tools, result, resamples, seed)
        return result

    def _enter(self, name: str, found: Drawn, into: SuiteResult) -> None:
        """A score; of an objective its draws, too."""
        into.scores[name] = found.score
        if name in self.objectives:
            into.draws[name] = found.draws

    def _score_quality(
        self,
        outputs: Sequence[Sequence[Output]],
        scorers: Mapping[str, CometScorer],
        into: SuiteResult,
        resamples: int,
        seed: int,
    ) -> None:
        by_metric: dict[str, list[Measurement]] = {}
        for direction, found in zip(self.directions, outputs, strict=True):
            measured = measure_direction(direction, found, self.metrics, scorers)
            judged = judge_direction(direction, found)
            shares = judged.measurements("strict", direction.clusters())
            measured |= {f"failures.{kind}": share for kind, share in shares.items()}
            into.counts[f"failures.{direction.name}"] = judged.counts()
            for metric, measurement in measured.items():
                by_metric.setdefault(metric, []).append(measurement)
                found_here = drawn(measurement, resamples, seed)
                self._enter(f"{metric}.{direction.name}", found_here, into)
            asked = list(map(one_line, direction.sources))
            into.counts[f"quality.{direction.name}"] = output_counts(asked, found)
        for metric, measurements in by_metric.items():
            # off-target is not judged in a language that the detector does not know
            if len(measurements) == len(self.directions) > 1:
                self._enter(f"{metric}.mean", mean_of(measurements, resamples, seed), into)
        if COMET in by_metric:
            mean = mean_of(by_metric[COMET], resamples, seed)
            into.objectives["quality"], into.draws["quality"] = mean.score, mean.draws

    def _score_abilities(
        self,
        outputs: Sequence[Sequence[Output]],
        base_outputs: Sequence[Sequence[Output]],
        tools: Tools,
        into: SuiteResult,
        resamples: int,
        seed: int,
    ) -> None:
        tuned: dict[str, Measurement] = {}
        base: dict[str, Measurement] = {}
        for ability, found, before in zip(self.abilities, outputs, base_outputs, strict=True):
            tuned[ability.name], base[ability.name] = (
                ability.measure(found, tools),
                ability.measure(before, tools),
            )
            self._enter(ability.name, drawn(tuned[ability.name], resamples, seed), into)
            for extra, measurement in ability.extras(found, tools).items():
                self._enter(f"{ability.name}.{extra}", drawn(measurement, resamples, seed), into)
            into.counts[ability.name] = ability.counts(found)
        floors = {a.name: floor_of(a, tools) for a in self.abilities}
        kept, left_out = kept_abilities(floors, self.weights, tuned, base, resamples, seed)
        into.left_out.update(left_out)
        shares = retention(kept, resamples, seed)
        mean = shares.pop("mean")
        into.objectives["retention"], into.draws["retention"] = mean.score, mean.draws
        for name, share in shares.items():
            into.scores[f"retention.{name}"] = share.score
            into.draws[f"retention.{name}"] = share.draws


def build_suite(study: Study, tokenizer: Any) -> Suite:
    """Read every evaluation file of a study whose paths are resolved. Raises ConfigError or
    DataError naming what is wrong."""
    wanted = study.evaluation
    names = [q.direction for q in wanted.quality]
    if len(set(names)) != len(names):
        raise ConfigError(f"`evaluation.quality` has a direction twice: {', '.join(names)}")
    check_names(wanted)
    targets = [languages_of(name)[1] for name in names]
    metrics = string_metrics(wanted.metrics, "`evaluation.metrics`", targets)
    directions = [
        build_direction(q, study.template, wanted.max_new_tokens, tokenizer) for q in wanted.quality
    ]
    abilities = [
        build_ability(spec, Context(name, study.template, wanted.max_new_tokens, tokenizer))
        for name, spec in wanted.abilities.items()
    ]
    if wanted.comet == NO_COMET:
        check_without_comet(abilities)
    weights = {name: spec.weight for name, spec in wanted.abilities.items()}
    return Suite(
        directions, abilities, weights, wanted.comet, tuple(metrics), dict(wanted.more_comet),
        tuple(study.objectives), wanted.comet_device,
    )  # fmt: skip


def check_names(wanted: Evaluation) -> None:
    """ConfigError when a metric or an ability has a name that other scores have."""
    for name in wanted.more_comet:
        if name in RESERVED + RESERVED_PREFIXES:
            raise ConfigError(f"`evaluation.more_comet`: {name!r} is taken; choose another name")
    for name in wanted.abilities:
        taken = (*RESERVED_PREFIXES, *wanted.more_comet)
        if name in RESERVED or name.split(".")[0] in taken:
            raise ConfigError(f"`evaluation.abilities`: {name!r} is taken; choose another name")


def set_lines(suite: Suite) -> list[str]:
    """The size of every evaluation set, a line each."""
    sizes = {f"quality {d.name}": d.text() for d in suite.directions}
    sizes |= {f"ability {a.name}": f"{len(a.requests):,} requests" for a in suite.abilities}
    return [f"  {name}: {size}" for name, size in sizes.items()]
