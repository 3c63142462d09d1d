"""Whether gains in the optimised metric are also gains in a metric of another kind: a single metric
can be gamed, two unrelated ones hardly.

A learned metric (COMET) is compared with a string-based one (chrF++, chrF or BLEU, the first that
was measured), and vice versa. Gains are paired differences from the base model. For comparison both
are divided by the standard deviation of the base model's score over segments, which follows from
its interval (both metrics have the same segments). In these units chrF gains more than COMET: 1.0
to 2.6 times as much in eight trainings of the default study's baselines, median 1.5. A gain is
*comparable* if it is at least a third (`COMPARABLE`) of the other metric's, which allows for the
usual difference in size, in either direction. The two disagree on a recipe as

- `opposite`: one gains and the other loses, both beyond noise;
- `unconfirmed`: the optimised metric gains and the other gains less than a comparable amount, both
  beyond noise.

Noise is joint over all recipes: the intervals of both gains and of the shortfall (the second
metric's gain minus a comparable one) are widened so that 95 % of the joint draws lie within all of
them simultaneously (`Joint.stretch`). If the metrics truly agree on every recipe, at most 5 % of
sweeps flag any, whichever recipes were picked for the front.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from mtray.report.differences import Difference, Joint, better_by, joint, widened
from mtray.report.groups import Draws, Group, has_scores, measured, no_draws
from mtray.report.paired_differences import Differences
from mtray.run_files import BASE_NUMBER
from mtray.schema import Frozen, Score, Sense

COMPARABLE = 1 / 3
COMET = "comet"
LEARNED = ("|comet:", "|protocol:")  # in signatures
QUALITY = "quality"  # the objective that is COMET's mean over the directions
STRINGS = ("chrf++", "chrf", "bleu", "spbleu", "spbleu101")  # preferred second metric first
SHORTFALL = "second less comparable"
Disagreement = Literal["opposite", "unconfirmed"]
REASONS: dict[Disagreement, str] = {
    "opposite": "in the opposite direction",
    "unconfirmed": "less than a comparable gain",
}


class MetricGain(Frozen):
    """One recipe's gains over the base model in the objective (`first`) and in the other metric
    (`second`); positive is better, each with its own paired 95 % interval."""

    number: int
    first: Difference
    second: Difference
    disagreement: Disagreement | None


class SecondMetric(Frozen):
    """The second metric of an objective that is a metric of quality.

    - `metric`: the score's name.
    - `exchange`: its standard deviation over segments divided by the objective's.
    - `gains`: of every trained recipe that has both.
    """

    objective: str
    metric: str
    exchange: float
    gains: tuple[MetricGain, ...]

    @property
    def disagreements(self) -> dict[int, Disagreement]:
        """The disagreements, by the recipe's number."""
        return {g.number: g.disagreement for g in self.gains if g.disagreement}


def partner(objective: str, scores: Mapping[str, Score]) -> str | None:
    """The score that an objective is compared with: of the same direction, or the mean over all;
    None if the objective is no metric of quality or no such score was measured."""
    metric, _, where = objective.partition(".")
    if metric == QUALITY and not where:
        return next((n for m in STRINGS for n in _overall(m, scores)), None)
    if metric == COMET or _is_learned(scores.get(objective)):
        wanted = [f"{m}.{where}" for m in STRINGS]
    else:
        wanted = [f"{COMET}.{where}"] * (metric in STRINGS)
    return next((name for name in wanted if name in scores), None)


def is_quality(objective: str, scores: Mapping[str, Score]) -> bool:
    """Whether an objective is a metric of translation quality."""
    metric = objective.partition(".")[0]
    return metric in (QUALITY, COMET, *STRINGS) or _is_learned(scores.get(objective))


def _overall(metric: str, scores: Mapping[str, Score]) -> list[str]:
    """A metric's mean over directions, or its only direction."""
    mine = [name for name in scores if name.startswith(f"{metric}.")]
    return [f"{metric}.mean"] if f"{metric}.mean" in mine else mine if len(mine) == 1 else []


def _is_learned(score: Score | None) -> bool:
    return score is not None and any(mark in score.signature for mark in LEARNED)


def second_metrics(
    groups: Sequence[Group],
    objectives: Mapping[str, Sense],
    differences: Mapping[int, Differences],
    draws: Draws = no_draws,
) -> tuple[SecondMetric, ...]:
    """The second metric of every objective that is a metric of quality and has a partner; none
    without the base model or a trained recipe. `differences`: the recipes', by number, to the base
    model."""
    base = next((g for g in groups if g.original.number == BASE_NUMBER), None)
    if base is None:
        return ()
    found = []
    for name, sense in objectives.items():
        other = partner(name, measured(base.original))
        if other is None:
            continue
        pair = [name, other]
        having = [g for g in groups if g.n_seeds and all(has_scores(t, pair) for t in g.seeds)]
        exchange = _exchange(measured(base.original), name, other)
        if having and exchange is not None:
            known = joint([base, *having], pair, draws)
            gains = _gains(with_shortfall(known, sense, exchange), sense, differences)
            found.append(SecondMetric(objective=name, metric=other, exchange=exchange, gains=gains))
    return tuple(found)


def _exchange(base: Mapping[str, Score], name: str, other: str) -> float | None:
    """Standard deviation of one metric over that of the other; None if one has no interval."""
    first, second = (base[n].high - base[n].low for n in (name, other))
    return second / first if first > 0 and second > 0 else None


def _gains(
    tested: Joint, sense: Sense, differences: Mapping[int, Differences]
) -> tuple[MetricGain, ...]:
    """Gains of all groups except the first, which is the base model's."""
    base, *numbers = tested.numbers
    first, second, _ = tested.names
    stretch = tested.stretch(numbers, [base])
    apart = [tested.differences(base, name) for name in tested.names]

    def gain(number: int) -> MetricGain:
        own = differences[number][base]
        wide = [widened(found[number], stretch) for found in apart]
        return MetricGain(
            number=number,
            first=better_by(own[first], sense),
            second=own[second],
            disagreement=disagreement(*wide),
        )

    return tuple(map(gain, numbers))


def with_shortfall(known: Joint, sense: Sense, exchange: float) -> Joint:
    """The two metrics, with signs such that higher is better, and the second minus a comparable
    gain: with an exchange of 60 a gain of .05 makes .05 * 60 / 3 = 1.0 comparable, and a second
    gain of .4 falls short by .6."""
    sign = 1 if sense == "max" else -1
    mixed = np.array([[sign, 0, -sign * COMPARABLE * exchange], [0, 1, 1]])
    names = (*known.names, SHORTFALL)
    errors = np.tensordot(mixed.T, known.errors.T, 1).T
    return replace(known, names=names, values=known.values @ mixed, errors=errors)


def disagreement(first: Difference, second: Difference, beyond: Difference) -> Disagreement | None:
    """The disagreement by simultaneous intervals of the two gains and of the second minus a
    comparable one."""
    if (first.low > 0 and second.high < 0) or (first.high < 0 and second.low > 0):
        return "opposite"
    return "unconfirmed" if first.low > 0 and beyond.high < 0 else None


def second_metric_notes(
    found: Sequence[SecondMetric], front: Sequence[int], objectives: Mapping[str, Score]
) -> tuple[str, ...]:
    """A sentence for each pair that disagrees on points of the front (`front`: their numbers), and
    for each metric of quality without a second metric. `objectives`: of any trial."""
    notes = []
    for pair in found:
        wrong = [g for g in pair.gains if g.disagreement and g.number in front]
        if wrong:
            notes.append(
                f"{pair.objective} and {pair.metric} disagree beyond noise about the gain over the "
                f"base model: {'; '.join(_sentence(g, pair) for g in wrong)}. Read translations of "
                "these recipes before choosing one."
            )
    alone = {n for n in objectives if is_quality(n, objectives)} - {p.objective for p in found}
    notes += [
        f"{name} has no second metric: none of another kind was measured on both the base model "
        "and a recipe, so a gain in this metric alone would go unnoticed "
        "(`evaluation.metrics`: bleu, chrf, chrf++)."
        for name in objectives
        if name in alone
    ]
    return tuple(notes)


def _sentence(gain: MetricGain, pair: SecondMetric) -> str:
    assert gain.disagreement
    texts = [f"{d.gap:+.3g} [{d.low:+.3g}, {d.high:+.3g}]" for d in (gain.first, gain.second)]
    return (
        f"trial {gain.number}: {pair.objective} {texts[0]}, {pair.metric} {texts[1]}, "
        f"{REASONS[gain.disagreement]}"
    )
