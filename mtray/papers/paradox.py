"""Report of 2405.20089, The Fine-Tuning Paradox: quality and abilities by the number of pairs,
their rank correlation with it, what monolingual text changes, and the effect of its ratio."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtray.analysis.critical_values import least_values
from mtray.papers.curves import Line, Panel, curves_png, gains_line
from mtray.papers.rank_test import rank_test
from mtray.papers.results import (
    PaperResults,
    Report,
    RunResults,
    difference_text,
    of,
    recipe_text,
    value_text,
)
from mtray.report.printing import EMPTY, Sheet
from mtray.schema import TrialRecord

# what the paper reports, as far as it is known in numbers
PUBLISHED = {
    "quality": "de-en COMET rises until 36K",
    "formality": "-.55, p < .001 (accuracy; presumably pooled over models and directions)",
}
UNPUBLISHED = "not published in numbers"
PUBLISHED_MONO = "accuracy falls by .1 without, by .025 (formal) and .007 (informal) with 1:1"
FEWEST = 3  # trainings with a rank correlation; of two it is 1 or -1
HALF = 0.5  # of the loss: the critical ratio is where no more than this remains
GAINS = (
    "Differences from the untouched model, with 95 % intervals over segments and seeds; * marks "
    "those that exclude 0."
)


def report(found: PaperResults) -> Report:
    parts: list[Sheet | str] = []
    figures = {}
    if sizes := found.runs.get("sizes"):
        parts += [
            size_sheet(sizes, "By size"),
            correlation_sheet(sizes),
            mono_sheet(sizes),
        ]
        figures["sizes"] = _figure(sizes, "parallel_size", "pairs", log=True)
    if web := found.runs.get("web"):
        parts.append(size_sheet(web, "Text from the web"))
    if ratio := found.runs.get("ratio"):
        parts += [size_sheet(ratio, "By ratio"), critical_sheet(ratio)]
        figures["ratio"] = _figure(ratio, "mono_ratio", "monolingual examples per pair")
    return Report(parts, figures)


def measures(run: RunResults) -> list[str]:
    """Quality, retention, and every ability, as far as the base model has them."""
    first = [name for name in run.study.objectives if of(run.base, name)]
    return first + [name for name in run.study.evaluation.abilities if of(run.base, name)]


def size_sheet(run: RunResults, title: str) -> Sheet:
    """Every recipe's difference from the base model; the base model's row has its own values."""
    names = measures(run)
    own = [of(run.base, name) for name in names]
    rows = [["untouched", EMPTY, *map(value_text, own)]]
    for record in _ordered(run.recipes):
        seeds = next(g.n_seeds for g in run.groups if g.original.number == record.number)
        cells = [difference_text(run.gain(record, name)) for name in names]
        rows.append([recipe_text(record.recipe), str(seeds), *cells])
    head = ["recipe", "seeds", *names]
    return Sheet(head, rows, title=title, caption=GAINS, left=frozenset({"recipe"}), named=2)


def _ordered(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    return sorted(records, key=lambda r: (r.recipe.parallel_size, r.recipe.mono_ratio))


def correlation_sheet(run: RunResults) -> Sheet:
    """Spearman's correlation of every measure with the number of pairs, over the trainings."""
    rows = []
    for name in measures(run):
        alone, mixed = (correlation_text(run, name, ratio) for ratio in (0.0, 1.0))
        rows.append([name, alone, mixed, PUBLISHED.get(name, UNPUBLISHED)])
    head = ["measure", "parallel text alone", "mono 1:1", "paper"]
    return Sheet(
        head, rows, title="Rank correlation with the number of pairs", left=frozenset(head),
        caption="Interval over trainings and segments, from six trainings on (at 1 or -1 resampled "
        "trainings are in the same order, so the interval is too narrow: use p); p of a two-sided "
        "permutation test.",
    )  # fmt: skip


def correlation_text(run: RunResults, name: str, ratio: float) -> str:
    """Over the trainings at this ratio that have the measure."""
    trials = [t for r in run.where(mono_ratio=ratio) for t in run.seeds(r) if of(t, name)]
    if len(trials) < FEWEST:
        return f"{len(trials)} training{'s' * (len(trials) != 1)}, too few"
    x = np.array([t.recipe.parallel_size for t in trials], dtype=np.float64)
    y = np.array([score.value for t in trials if (score := of(t, name))])
    drawn = [run.draws(t.number, [name]).get(name) for t in trials]
    known = [one for one in drawn if one is not None]
    return rank_test(x, y, np.stack(known, axis=1) if len(known) == len(trials) else None).text()


def mono_sheet(run: RunResults) -> Sheet:
    """At every size, the recipe with monolingual text 1:1 minus the one without."""
    names = measures(run)
    rows = []
    for record in _ordered(run.where(mono_ratio=1.0)):
        size = record.recipe.parallel_size
        alone = run.where(parallel_size=size, mono_ratio=0.0)
        cells = [difference_text(run.difference(record, alone[0], name)) for name in names if alone]
        rows += [[f"{size:,}", *cells]] if alone else []
    return Sheet(
        ["pairs", *names], rows, title="Monolingual text 1:1 minus parallel text alone",
        caption=f"Paper: {PUBLISHED_MONO}.", left=frozenset({"pairs"}),
    )  # fmt: skip


def critical_sheet(run: RunResults) -> Sheet:
    """By ability, the least ratio at which no more than half of what parallel text alone loses is
    lost, where that loss is beyond noise."""
    rows = []
    for name in measures(run):
        alone = run.where(mono_ratio=0.0)
        loss = run.gain(alone[0], name) if alone else None
        if loss is not None and loss.high < 0:
            rows.append([name, difference_text(loss), critical_text(run, name, -HALF * loss.gap)])
    return Sheet(
        ["measure", "lost by parallel text alone", "critical ratio"], rows,
        title="Least ratio of monolingual text that leaves at most half of the loss",
        caption="Linear between the ratios measured; the interval is over segments and seeds.",
        left=frozenset({"measure"}),
    )  # fmt: skip


def critical_text(run: RunResults, name: str, limit: float) -> str:
    """The critical ratio with its interval, for a limit on the loss in the measure's unit."""
    records = sorted(run.recipes, key=lambda r: r.recipe.mono_ratio)
    grid = np.array([r.recipe.mono_ratio for r in records])
    gains, errors = run.gains(records, name)
    value = float(least_values(-gains[None], grid, limit)[0])
    drawn = least_values(-(gains + errors), grid, limit)
    ends = np.quantile(drawn, (0.025, 0.975), method="inverted_cdf")
    beyond = f"none up to {grid[-1]:g}"
    value_text, low, high = (
        beyond if np.isinf(v) else f"{v:.2f}" for v in (value, *map(float, ends))
    )
    return f"{value_text} [{low}, {high}]; P(none) {np.isinf(drawn).mean():.2f}"


def _figure(run: RunResults, parameter: str, label: str, log: bool = False) -> bytes:
    ratios = [None] if parameter == "mono_ratio" else [0.0, 1.0]
    panels = [
        Panel(name, [line for r in ratios if (line := _line(run, name, parameter, r))])
        for name in measures(run)
    ]
    return curves_png(panels, label, "Differences from the untouched model, 95 % intervals", log)


def _line(run: RunResults, name: str, parameter: str, ratio: float | None) -> Line | None:
    records = run.recipes if ratio is None else run.where(mono_ratio=ratio)
    records = sorted(records, key=lambda r: r.recipe.value(parameter))
    found = [(float(r.recipe.value(parameter)), run.gain(r, name)) for r in records]
    points = [(x, gap) for x, gap in found if gap is not None]
    if not points:
        return None
    words = {None: "all", 0.0: "parallel text alone", 1.0: "mono 1:1"}
    x, gaps = zip(*points, strict=True)
    return gains_line(words[ratio], x, gaps)
