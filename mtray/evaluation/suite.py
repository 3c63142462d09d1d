"""A study's whole evaluation: every request to the model in one list, and the objectives computed
from the outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

from mtray.data.readers.remarks import collected
from mtray.errors import ConfigError, EvaluationError
from mtray.evaluation.abilities import build_ability
from mtray.evaluation.abilities.base import (
    Ability,
    Context,
    Tools,
    check_without_comet,
    languages_of,
    spaced,
)
from mtray.evaluation.directions import Direction, build_direction
from mtray.evaluation.inference.requests import Output, Request
from mtray.evaluation.metrics.quality import COMET, METRICS, CometScorer, string_metrics
from mtray.evaluation.scoring import Scoring, SuiteResult, ability_texts, suite_units
from mtray.schema import NO_COMET, RETENTION_SUMMARIES, Evaluation, Paragraphs, Study

# the first part of other scores' names
RESERVED_PREFIXES = (COMET, *METRICS, "quality", "retention", "cost", "failures")


class Sample(NamedTuple):
    """One translation to be read by people."""

    direction: str
    source: str
    hypothesis: str
    reference: str


@dataclass(frozen=True)
class Suite:
    """Frozen and without models, so that it can be sent to a worker.

    comet: the metric's name, loaded when scores are computed (`none`: no metric and no quality).
    metrics: string metrics.
    more_comet: names of further models by the name under which they are reported.
    more_metrics: commands of the study's own metrics, in the same way.
    comet_long: how COMET models score what is longer than they read.
    objectives: what the search optimises.
    beside: what the rows of evaluation sets that were dropped shared with others, so that units
        stay those of the run's earlier trials.
    notes: what was read in another way than it looks.
    """

    directions: list[Direction]
    abilities: list[Ability]
    weights: dict[str, float]
    comet: str
    metrics: tuple[str, ...] = ()
    more_comet: dict[str, str] = field(default_factory=dict)
    objectives: tuple[str, ...] = ()
    comet_device: str = "auto"
    beside: tuple[list[tuple[str, ...]], ...] = ()
    notes: tuple[str, ...] = ()
    more_metrics: dict[str, tuple[str, ...]] = field(default_factory=dict)
    comet_long: str = "truncate"

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
        """The suite on a share of every evaluation set, for a fast estimate of the objectives.
        Metrics that no objective uses are left out. Its requests are a subset of this suite's, its
        floors are this suite's."""
        looked_at = {name.split(".")[0] for name in self.objectives}
        return replace(
            self,
            metrics=tuple(name for name in self.metrics if name in looked_at),
            more_comet={n: model for n, model in self.more_comet.items() if n in looked_at},
            more_metrics={n: what for n, what in self.more_metrics.items() if n in looked_at},
            directions=[d.part(share) for d in self.directions],
            abilities=[a.part(share) for a in self.abilities],
        )

    def outputs_of(self, part: Suite, outputs: Sequence[Output]) -> list[Output]:
        """Selects the outputs of a part's requests from those of this suite's requests."""
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
        """`k` evenly spaced segments of every direction; the same ones for every model."""
        directions, _ = self.split(outputs)
        return [
            Sample(d.name, d.sources[i], found[i].text, d.references[i])
            for d, found in zip(self.directions, directions, strict=True)
            for i in spaced(len(found), k)
        ]

    def _commands(self) -> dict[str, CometScorer]:
        if not self.more_metrics:
            return {}
        from mtray.evaluation.metrics.command_metric import load_command

        return {
            name: load_command(name, command, self.comet_device)
            for name, command in self.more_metrics.items()
        }

    def score(
        self,
        outputs: Sequence[Output],
        base_outputs: Sequence[Output] | None,
        resamples: int,
        seed: int,
        load_comet: Callable[[str], CometScorer] | None = None,
    ) -> SuiteResult:
        """Objectives `quality` and `retention` with all their components.

        `base_outputs` None: the outputs are the base model's own, whose retention is 1.
        `load_comet` replaces `mtray.evaluation.metrics.comet.load_comet`. Raises EvaluationError if
        a measurement fails.
        """
        if load_comet is None:
            from mtray.evaluation.metrics.comet import loader

            load_comet = loader(self.comet_device, self.comet_long)
        by_direction, by_ability = self.split(outputs)
        tools = Tools(partial(load_comet, self.comet))
        scorers = {COMET: tools.comet()} if self.comet != NO_COMET else {}
        scorers |= {name: load_comet(model) for name, model in self.more_comet.items()}
        scorers |= self._commands()
        scoring = Scoring(self, scorers, tools, resamples, seed)
        units, ability_units = suite_units(self)
        scoring.quality(by_direction, units)
        if self.abilities:
            base = by_ability if base_outputs is None else self.split(base_outputs)[1]
            scoring.abilities(by_ability, base, ability_units)
        return scoring.result


def asking_of(
    study: Study, evaluation: Evaluation, tokenizer: Any
) -> tuple[str, int, Any, int, Paragraphs]:
    """How translations are asked for, as `build_direction` and `Context` take it."""
    return (
        study.template, evaluation.max_new_tokens, tokenizer, evaluation.sample_seed,
        study.paragraphs,
    )  # fmt: skip


def build_suite(study: Study, tokenizer: Any) -> Suite:
    """Read every evaluation file of a study whose paths are resolved. Raises ConfigError or
    DataError naming the error."""
    wanted = study.evaluation
    names = [q.direction for q in wanted.quality]
    if len(set(names)) != len(names):
        raise ConfigError(f"`evaluation.quality` has a direction twice: {', '.join(names)}")
    check_names(wanted)
    targets = [languages_of(name)[1] for name in names]
    metrics = string_metrics(wanted.metrics, "`evaluation.metrics`", targets)
    asking = asking_of(study, wanted, tokenizer)
    with collected() as remarks:
        directions = [build_direction(q, *asking) for q in wanted.quality]
        abilities = [
            build_ability(spec, Context(name, *asking)) for name, spec in wanted.abilities.items()
        ]
    if wanted.comet == NO_COMET:
        check_without_comet(abilities)
    weights = {name: spec.weight for name, spec in wanted.abilities.items()}
    return Suite(
        directions, abilities, weights, wanted.comet, tuple(metrics), dict(wanted.more_comet),
        tuple(study.objectives), wanted.comet_device, notes=tuple(remarks.lines()),
        more_metrics=dict(wanted.more_metrics), comet_long=wanted.comet_long,
    )  # fmt: skip


def with_dropped_units(suite: Suite, study: Study, earlier: Evaluation, tokenizer: Any) -> Suite:
    """The suite of a study whose run was bound with `earlier`, which may have had more abilities.
    Bootstrap draws are paired with those of the run's trials only on the same units. Reads the
    files of dropped abilities; raises ConfigError or DataError."""
    wanted = study.evaluation
    asking = asking_of(study, earlier, tokenizer)
    gone = [
        build_ability(spec, Context(name, *asking))
        for name, spec in earlier.abilities.items()
        if name not in wanted.abilities
    ]
    texts = [found for ability in gone if (found := ability_texts(ability)) is not None]
    return replace(suite, beside=tuple(texts)) if texts else suite


def check_names(wanted: Evaluation) -> None:
    """Raise ConfigError if a metric or an ability has a name that other scores have."""
    taken = [*RETENTION_SUMMARIES, *RESERVED_PREFIXES]
    for key, names in (("more_comet", wanted.more_comet), ("more_metrics", wanted.more_metrics)):
        for name in names:
            if name in taken:
                raise ConfigError(
                    f"`evaluation.{key}`: {name!r} is already taken; choose another name"
                )
        taken += names
    for name in wanted.abilities:
        reserved = (*RESERVED_PREFIXES, *wanted.more_comet, *wanted.more_metrics)
        if name in RETENTION_SUMMARIES or name.split(".")[0] in reserved:
            raise ConfigError(
                f"`evaluation.abilities`: {name!r} is already taken; choose another name"
            )


def set_lines(suite: Suite, lengths: Mapping[str, Sequence[str]] | None = None) -> list[str]:
    """The size of every evaluation set, and a note on how it was read, a line each. `lengths`:
    further lines by set (`mtray.evaluation.set_lengths`)."""
    sizes = {f"quality {d.name}": d.text() for d in suite.directions}
    sizes |= {f"ability {a.name}": f"{len(a.requests):,} requests" for a in suite.abilities}
    lines = []
    for name, size in sizes.items():
        lines += [f"  {name}: {size}", *(f"    {line}" for line in (lengths or {}).get(name, ()))]
    return lines + [f"  note: {note}" for note in suite.notes]
