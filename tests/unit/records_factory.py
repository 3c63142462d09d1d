"""Made-up trials and a study to report on; shared by the tests of `mtray.report`."""

from __future__ import annotations

import numpy as np

from mtray.schema import (
    AbilitySpec,
    Estimate,
    Evaluation,
    Filters,
    Mix,
    QualitySet,
    Recipe,
    Rung,
    Score,
    Source,
    SourceShare,
    Study,
    TrialRecord,
)


def make_study(**changes) -> Study:
    fields = {
        "name": "made-up",
        "sources": (Source(name="pairs", kind="parallel", path="p.tsv", languages=("en", "uk")),),
        "evaluation": Evaluation(
            comet="embedded",
            quality=(QualitySet(direction="en-uk", path="dev.tsv"),),
            abilities={"animacy": AbilitySpec(measure="choice", path="a.jsonl")},
        ),
        "filters": Filters(leakage=None, shots_leakage=None),  # its evaluation sets are no files
    }
    return Study(**(fields | changes))


def make_score(value: float, half: float = 0.01, signature: str = "made-up|1") -> Score:
    return Score(value=value, low=value - half, high=value + half, n=200, signature=signature)


def make_record(number=0, quality=0.6, retention=0.8, role="search", half=0.01, **changes):
    """One complete trial. `changes` replace fields of the record; those of a recipe go to
    `recipe`."""
    recipe = changes.pop("recipe", None) or Recipe(parallel_size=0 if role == "base" else 2000)
    kept = make_score(retention, half)
    scores = {"comet.en-uk": make_score(quality, half), "bleu.en-uk": make_score(60 * quality, 1)}
    fields = {
        "number": number,
        "role": role,
        "state": "complete",
        "recipe": recipe,
        "seed": 1,
        "objectives": {"quality": make_score(quality, half), "retention": kept},
        "scores": scores | {"retention.animacy": kept},
        "seconds": {"train": 30.5, "evaluate": 11.25},
        "versions": {"mtray": "0.1.0", "torch": "2.13.0"},
        "mix": make_mix(recipe),
    }
    return TrialRecord(**(fields | changes))


def with_left_out(record: TrialRecord, **left_out: str) -> TrialRecord:
    """The record of a trial that was measured where the base model lacks these abilities; each with
    the reason."""
    kept = [n for n in record.scores if n.removeprefix("retention.") not in left_out]
    scores = {name: record.scores[name] for name in kept}
    extra = {**record.extra, "left_out": left_out}
    return record.model_copy(update={"scores": scores, "extra": extra})


def make_mix(recipe: Recipe) -> Mix:
    parallel = recipe.parallel_size
    mono = round(parallel * recipe.mono_ratio)
    replay = round(recipe.replay_fraction / (1 - recipe.replay_fraction) * (parallel + mono))
    amounts = {"parallel": parallel, "mono": mono, "replay": replay}
    return Mix(
        shares=tuple(
            SourceShare(
                source=kind, kind=kind, requested=n, realised=n, available=10_000, tokens=30 * n,
                repeats=n / 10_000,
            )
            for kind, n in amounts.items()
            if n
        )
    )  # fmt: skip


def make_baselines() -> list[TrialRecord]:
    """The three baselines; the base model's retention is 1 by definition, without an interval."""
    base = make_record(-1, 0.42, 1.0, "base")
    exact = Score(value=1.0, low=1.0, high=1.0, n=100, signature="made-up|1")
    base = base.model_copy(update={"objectives": base.objectives | {"retention": exact}})
    one_to_one = Recipe(parallel_size=2000, mono_ratio=1.0)
    return [
        base,
        make_record(0, 0.615, 0.58, "parallel_only"),
        make_record(1, 0.63, 0.66, "mono_one_to_one", recipe=one_to_one),
    ]


def make_run(trials: int = 30, seed: int = 0, **changes) -> list[TrialRecord]:
    """A plausible sweep: three baselines, `trials` searched ones that trade quality for retention,
    one that failed."""
    rng = np.random.default_rng(seed)
    records = make_baselines()
    for number in range(2, trials + 2):
        recipe = Recipe(
            parallel_size=int(2 ** rng.uniform(8, 13)),
            mono_ratio=round(float(rng.choice([0, rng.uniform(0.1, 4)])), 3),
            replay_fraction=round(float(rng.uniform(0, 0.5)), 3),
            frozen_layers=int(rng.integers(0, 7)),
            learning_rate=float(f"{10 ** rng.uniform(-4.3, -2.5):.3g}"),
        )
        push = np.clip(np.log10(recipe.learning_rate) / 1.8 + 2.39 + rng.normal(0, 0.05), 0, 1)
        quality = 0.42 + 0.27 * push**0.7 - 0.05 * recipe.replay_fraction + rng.normal(0, 0.012)
        kept = 1 - 0.5 * push**1.6 * (1 - recipe.replay_fraction) + rng.normal(0, 0.02)
        kept = float(np.clip(kept, 0, 0.995))
        records.append(
            make_record(number, float(quality), kept, half=0.012, recipe=recipe, **changes)
        )
    records.append(make_failed(trials + 2))
    return records


def make_failed(number: int) -> TrialRecord:
    reason = "TrainError: loss is not finite <at step 12> & no more"
    return TrialRecord(
        number=number, state="failed", recipe=Recipe(parallel_size=100), seed=1, reason=reason
    )


def with_third(records: list[TrialRecord]) -> list[TrialRecord]:
    """The same trials with a third objective, to be minimised."""
    return [
        r.model_copy(
            update={
                "objectives": r.objectives
                | {"off_target": make_score(0.02 + abs(hash_of(r.number)) / 10)}
            }
        )
        if r.state == "complete"
        else r
        for r in records
    ]


def hash_of(number: int) -> float:
    """A number in [-1, 1] that looks random and is the same in every process."""
    return float(np.sin(12.9898 * (number + 2)))


def make_rung(quality: float, retention: float, rung: int = 1, **changes) -> Rung:
    values = {"quality": quality, "retention": retention}
    objectives = {name: Estimate(value=value, error=0.01) for name, value in values.items()}
    return Rung(rung=rung, step=16 * (rung + 1), steps=64, objectives=objectives, **changes)


def make_pruned(number: int, recipe: Recipe | None = None, by=(2, 3)) -> TrialRecord:
    """A trial that ended at its second rung, worse than those of `by`."""
    reason = "rung 2: too bad"
    rungs = make_rung(0.5, 0.9, 0), make_rung(0.4, 0.5, decision=reason, dominated_by=by)
    return TrialRecord(
        number=number, state="pruned", recipe=recipe or Recipe(parallel_size=500), seed=1,
        reason=reason, rungs=rungs, seconds={"total": 9.0},
    )  # fmt: skip
