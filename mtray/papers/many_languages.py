"""Report of 2305.15083, mFTI: what training on some language pairs does for the directions of
others, beside 8-shot prompts to the untouched model; how translations fail; and whether the
similarity of two languages goes with the gain."""

from __future__ import annotations

from collections.abc import Sequence
from math import hypot
from pathlib import Path

import numpy as np

from mtray.data.testsets import read_test_set
from mtray.embedded.corpora import prepare as prepare_corpora
from mtray.embedded.pivoted_pairs import prepare as prepare_pivoted
from mtray.evaluation.metrics.output_failures import STRICT
from mtray.evaluation.metrics.quality import chrf
from mtray.papers.forest import ForestPanel, forest_png
from mtray.papers.preset import Scale
from mtray.papers.rank_test import rank_test
from mtray.papers.results import (
    PaperResults,
    Report,
    RunResults,
    difference_text,
    of,
    score_text,
    value_text,
)
from mtray.report.differences import Difference
from mtray.report.printing import EMPTY, Sheet
from mtray.schema import QualitySet, TrialRecord

PUBLISHED = (
    "The paper reports +3 BLEU over 8-shot prompts on average and up to +1.7 for pairs that are in "
    "no training, similarity to English to explain more than a language's share of the "
    "pretraining text, and off-target, over- and under-translation to remain. Its tables were not "
    "at hand."
)
GAINS = (
    "chrF of zero-shot translations, as differences from the untouched model with 95 % intervals "
    "over segments and seeds; * marks those that exclude 0. (seen): the recipe trains on pairs of "
    "these languages."
)
BEYOND = (
    "chrF without examples after training, minus chrF of the untouched model after 8 examples, on "
    "the same segments. The interval treats the two as independent, so it is too wide rather than "
    "too narrow."
)


def prepare(folder: Path, data: Path | None, scale: Scale) -> None:
    """Tatoeba's pairs through English at tiny scale, else LibreOffice's help."""
    if scale == "tiny":
        prepare_pivoted(prepare_corpora(), folder)
        return
    from mtray.embedded.help_corpora import prepare as prepare_help

    prepare_help(folder / "help")  # the files of tiny lie beside it


def report(found: PaperResults) -> Report:
    parts: list[Sheet | str] = [PUBLISHED]
    for run in found.runs.values():
        parts += [gains_sheet(run), beyond_sheet(run), failures_sheet(run), similarity_text(run)]
    return Report(parts, {name: gains_figure(run) for name, run in found.runs.items()})


def directions(run: RunResults) -> list[str]:
    return [spec.direction for spec in run.study.evaluation.quality]


def seen(run: RunResults, record: TrialRecord, direction: str) -> bool:
    """Whether the recipe's mix has pairs of the direction's languages."""
    used = {share.source for share in record.mix.shares if share.realised}
    pairs = [set(s.languages) for s in run.study.sources if s.name in used]
    return set(direction.split("-")) in pairs


def mix_text(run: RunResults, record: TrialRecord) -> str:
    """For example `2,048 pairs: en-es, en-uk`."""
    languages = {s.name: "-".join(s.languages) for s in run.study.sources}
    used = [languages[share.source] for share in record.mix.shares if share.realised]
    return f"{record.recipe.parallel_size:,} pairs: {', '.join(used)}"


def gains_sheet(run: RunResults) -> Sheet:
    """Every recipe's gain in every direction, and whether it has seen the pair of languages."""
    names = directions(run)
    own = [of(run.base, f"chrf.{name}") for name in names]
    rows = [["untouched", EMPTY, *(value_text(s, 1) for s in own)]]
    for record in run.recipes:
        cells = [
            difference_text(run.gain(record, f"chrf.{name}"), 1)
            + (" (seen)" if seen(run, record, name) else "")
            for name in names
        ]
        rows.append([mix_text(run, record), str(len(run.seeds(record))), *cells])
    head = ["recipe", "seeds", *names]
    return Sheet(head, rows, title="Gain by direction", caption=GAINS, left=frozenset({"recipe"}),
                 named=2)  # fmt: skip


def gains_figure(run: RunResults) -> bytes:
    """A panel for each direction, a row for each recipe."""
    panels = [
        ForestPanel(name, [run.gain(record, f"chrf.{name}") for record in run.recipes])
        for name in directions(run)
    ]
    names = [mix_text(run, record) for record in run.recipes]
    return forest_png(names, panels, "chrF: differences from the untouched model, 95 % intervals")


def beyond_sheet(run: RunResults) -> Sheet:
    """Every recipe against 8 examples in the prompt of the untouched model."""
    names = [n for n in directions(run) if of(run.base, f"shots.{n}")]
    rows = [["8 examples, untouched", *(score_text(of(run.base, f"shots.{n}"), 1) for n in names)]]
    for record in run.recipes:
        gaps = [unpaired(record, f"chrf.{n}", run.base, f"shots.{n}") for n in names]
        rows.append([mix_text(run, record), *(difference_text(gap, 1) for gap in gaps)])
    return Sheet(["recipe", *names], rows, title="Against examples in the prompt", caption=BEYOND,
                 left=frozenset({"recipe"}))  # fmt: skip


def unpaired(a: TrialRecord, first: str, b: TrialRecord, second: str) -> Difference | None:
    """The difference of two scores as of independent ones: the half-widths of their intervals add
    up as squares. 50 [48, 52] minus 40 [38.5, 41.5] is 10 [7.5, 12.5]."""
    one, other = of(a, first), of(b, second)
    if one is None or other is None:
        return None
    half = hypot(one.high - one.low, other.high - other.low) / 2
    gap = one.value - other.value
    return Difference(gap, gap - half, gap + half)


def failures_sheet(run: RunResults) -> Sheet:
    """Shares of failed translations by label, over the directions that a recipe has seen and over
    those that it has not, beside the untouched model's on the same directions."""
    rows = []
    for record in run.recipes:
        groups: dict[str, list[str]] = {}
        for name in directions(run):
            groups.setdefault("seen" if seen(run, record, name) else "unseen", []).append(name)
        for which, names in sorted(groups.items()):
            shares = [
                f"{_share(run, record, names, what)} ({_share(run, run.base, names, what)})"
                for what in STRICT
            ]
            rows.append([mix_text(run, record), which, *shares])
    head = ["recipe", "directions", *STRICT]
    caption = (
        "Per cent of translations, mean over directions and seeds, by the strict rules; in "
        "parentheses the untouched model's in the same directions."
    )
    return Sheet(head, rows, title="Failures", caption=caption,
                 left=frozenset(head[:2]), named=2)  # fmt: skip


def _share(run: RunResults, record: TrialRecord, names: Sequence[str], label: str) -> str:
    """`names`: directions."""
    trials = [record] if record is run.base else run.seeds(record)
    found = [
        score.value
        for trial in trials
        for name in names
        if (score := of(trial, f"failures.{label}.{name}"))
    ]
    return f"{100 * float(np.mean(found)):.1f}" if found else EMPTY


def similarity_text(run: RunResults) -> str:
    """The rank correlation, over directions, of the similarity of two languages' texts with the
    gain of the recipe with the most examples."""
    seed = run.study.evaluation.sample_seed
    likeness = {s.direction: text_similarity(s, seed) for s in run.study.evaluation.quality}
    most = max(run.recipes, key=lambda r: (r.recipe.parallel_size, r.number))
    gains = {name: run.gain(most, f"chrf.{name}") for name in likeness}
    known = [(likeness[name], gain.gap) for name, gain in gains.items() if gain]
    if len(known) < 3:
        return "Similarity of languages: fewer than three directions are measured."
    x, y = (np.array(side, dtype=np.float64) for side in zip(*known, strict=True))
    return (
        "Rank correlation over directions of the similarity of the two languages (chrF of the "
        f"source text against its translation) with the gain of {mix_text(run, most)}: "
        f"{rank_test(x, y).text().replace('trainings', 'directions')}."
    )


def text_similarity(spec: QualitySet, seed: int) -> float:
    """chrF of the sources taken as translations: high for related languages in one script."""
    segments, _ = read_test_set(spec, seed)
    return chrf(list(segments.sources), list(segments.references)).point
