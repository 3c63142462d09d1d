"""Which abilities retention is the mean of, in words and for two sets of segments.

An ability that the base model does not have is left out (`mtray.evaluation.retained_abilities`), so
retention may be another mean on other segments or with other versions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from mtray.analysis.uncertainty import TAILS
from mtray.report.groups import Draws
from mtray.run_files import trials_text
from mtray.schema import RETENTION_SUMMARIES, Frozen, Score, TrialRecord

Array = npt.NDArray[np.float64]
PREFIX = "retention."
COMMON = "retention.common"


class AbilitySet(Frozen):
    """The abilities in the retention of some trials.

    - `kept`: the abilities that it averages.
    - `left_out`: the others, with the reason.
    - `trials`: the trials' numbers, ascending.
    """

    kept: tuple[str, ...]
    left_out: dict[str, str]
    trials: tuple[int, ...]


AbilitySets = tuple[AbilitySet, ...]


def ability_sets(records: Iterable[TrialRecord]) -> AbilitySets:
    """The abilities of all trials that have a retention: one set for each different
    selection, ordered by lowest trial number (the base model's first). More than one set if
    trials disagree."""
    found: dict[frozenset[str], list[TrialRecord]] = {}
    for record in sorted(records, key=lambda r: r.number):
        if kept := _kept(record):
            found.setdefault(frozenset(kept), []).append(record)
    return tuple(
        AbilitySet(
            kept=_kept(same[0]), trials=tuple(r.number for r in same),
            left_out={n: why for r in reversed(same) for n, why in _left_out(r).items()},
        )
        for same in found.values()
    )  # fmt: skip


def ability_measures(names: Iterable[str]) -> tuple[str, ...]:
    """Those of the names that are the retention of one ability, `retention.<ability>`."""
    return tuple(
        name
        for name in names
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in RETENTION_SUMMARIES
    )


def _kept(record: TrialRecord) -> tuple[str, ...]:
    return tuple(name.removeprefix(PREFIX) for name in ability_measures(record.scores))


def _left_out(record: TrialRecord) -> dict[str, str]:
    return dict(record.extra.get("left_out") or {})


def ability_sentences(sets: AbilitySets) -> tuple[str, ...]:
    """Sentences on what retention averages, what is left out of it and why; one per set if trials
    disagree; none without a retention."""
    if not sets:
        return ()
    found = sets[0]
    said = f"Retention is the weighted mean over {count_text(found)}: {', '.join(found.kept)}."
    said += f" Left out: {_reasons(found)}." if found.left_out else ""
    if len(sets) == 1:
        return (said,)
    each = "; ".join(f"{trials_text(s.trials)}: {', '.join(s.kept)}" for s in sets)
    return said, (
        "Trials disagree on the abilities that retention averages, so it is not comparable between "
        f"them ({each})."
    )


def ability_notes(sets: AbilitySets) -> tuple[str, ...]:
    """`ability_sentences` if they matter to a reader of the results, that is, if an ability is left
    out or trials disagree."""
    matter = len(sets) > 1 or any(found.left_out for found in sets)
    return ability_sentences(sets) if matter else ()


def count_text(found: AbilitySet) -> str:
    """For example `2 of 3 abilities`; `3 abilities` if none is left out."""
    kept, whole = len(found.kept), len({*found.kept, *found.left_out})
    if kept < whole:
        return f"{kept} of {whole} abilities"
    return f"{kept} {'ability' if kept == 1 else 'abilities'}"


def _reasons(found: AbilitySet) -> str:
    return "; ".join(f"{name}, since {why}" for name, why in found.left_out.items())


def common_abilities(sets: Iterable[AbilitySet]) -> tuple[str, ...]:
    """The abilities that are in every set, in the order of the first."""
    found = list(sets)
    return tuple(
        name for name in (found[0].kept if found else ()) if all(name in s.kept for s in found)
    )


def sides_differ(before: AbilitySets, now: AbilitySets) -> bool:
    """Whether the trials of both sides do not all average the same abilities."""
    return len({frozenset(found.kept) for found in (*before, *now)}) > 1


def between_sides(
    before: AbilitySets, now: AbilitySets, names: tuple[str, str] = ("on dev", "on test")
) -> tuple[str, ...]:
    """Notes on two retentions side by side, such as those on dev and on test; `names` are the
    sides' names. Like `ability_notes` if both average the same abilities."""
    if not sides_differ(before, now):
        return ability_notes(before or now)
    parts = []
    for name, sets in zip(names, (before, now), strict=True):
        for found in sets:
            parts.append(f"{name} it is the weighted mean over {', '.join(found.kept)}")
            parts[-1] += f" ({trials_text(found.trials)})" if len(sets) > 1 else ""
            parts[-1] += f", without {_reasons(found)}" if found.left_out else ""
    return (
        f"Retention {names[0]} and {names[1]} average different abilities and are not comparable: "
        f"{'; '.join(parts)}.",
    )


def common_sentence(before: AbilitySets, now: AbilitySets) -> str:
    """A sentence that defines `retention.common`."""
    both = common_abilities((*before, *now))
    if not both:
        return "No ability is in both, so there is no comparable retention."
    return f"`{COMMON}` is the weighted mean over the abilities that both have: {', '.join(both)}."


def common_retention(
    scores: Mapping[str, Score],
    abilities: Sequence[str],
    weights: Mapping[str, float],
    draws: Mapping[str, Array],
) -> Score:
    """The weighted mean of the retention of these abilities (`retention.<ability>` of `scores` and
    `draws`, each of shape (resamples,)).

    Its interval is that of the mean of the draws. If an ability has no draws, the abilities'
    intervals are combined as independent (MOVER: Zou & Donner 2008, Stat. Med. 27:1693): .8 [.7,
    .9] with weight 1 and .6 [.4, .7] with weight 3 give .65, less hypot(.025, .15) and plus
    hypot(.025, .075).
    """
    names = [PREFIX + name for name in abilities]
    found = [scores[name] for name in names]
    shares = np.array([weights[name] for name in abilities])
    ends = np.array([[s.value, s.value - s.low, s.high - s.value] for s in found])
    # divided last, so that the mean of fully retained abilities is exactly 1
    value = float(shares @ ends[:, 0] / shares.sum())
    drawn = [draws[name] for name in names if name in draws]
    if len(drawn) == len(names) and len(set(map(len, drawn))) == 1:
        mean = shares @ np.stack(drawn) / shares.sum()
        low, high = np.quantile(mean[np.isfinite(mean)], TAILS)
    else:
        below, above = np.sqrt((shares**2) @ ends[:, 1:] ** 2) / shares.sum()
        low, high = value - below, value + above
    return Score(
        value=value, low=min(value, float(low)), high=max(value, float(high)),
        n=sum(s.n for s in found),
        signature=f"weighted mean:{'+'.join(abilities)}|{found[0].signature}",
    )  # fmt: skip


def with_common(
    records: Iterable[TrialRecord],
    abilities: Sequence[str],
    weights: Mapping[str, float],
    draws: Draws,
) -> list[TrialRecord]:
    """The records, with `retention.common` added to the scores of those that have the abilities."""
    names = [PREFIX + name for name in abilities]

    def score(record: TrialRecord) -> dict[str, Score]:
        if not names or not record.scores.keys() >= {*names}:
            return {}
        own = draws(record.number, names)
        return {COMMON: common_retention(record.scores, abilities, weights, own)}

    return [r.model_copy(update={"scores": {**r.scores, **score(r)}}) for r in records]
