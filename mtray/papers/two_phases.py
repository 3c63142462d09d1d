"""Report of 2410.16006, Exploring Two-Phase Continual Instruction Fine-tuning: what a second phase
in another language costs of the first, with and without the paper's methods to preserve it, and
whether the similarity of the data (DES) or the distance of the weights (MPD) predicts the cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mtray.embedded.corpora import prepare as prepare_corpora
from mtray.embedded.two_phase_corpora import prepare as prepare_two_phase
from mtray.papers.forest import ForestPanel, forest_png
from mtray.papers.preset import Scale
from mtray.papers.rank_test import rank_test
from mtray.papers.results import PaperResults, Report, RunResults, difference_text, of, score_text
from mtray.report.printing import EMPTY, Sheet
from mtray.schema import Recipe, TrialRecord

TASK, LANGUAGE = "retention", "quality"  # the objectives that stand for the paper's two averages
BASELINE = "none"
# mean scores of the paper's Table (secondary notes; the article's own tables were not at hand)
PUBLISHED = (
    ("Alpaca, then MultiAlpaca (similar data)", ".371", ".338", ".265", ".427"),
    ("Instruct, then MultiAlpaca: none", ".332", ".302", ".178", ".302"),
    ("+ GR_5", ".394", ".298", ".236", ".348"),
    ("+ GR_10", ".394", ".274", ".173", ".204"),
    ("+ ER_10", ".404", ".276", ".345", ".359"),
    ("+ LF_H2", ".294", ".263", ".306", ".320"),
    ("+ Spectrum", ".363", ".237", ".329", ".261"),
    ("+ LoRA", ".341", ".321", ".142", ".075"),
    ("both at once, one stage", ".371", ".278", ".335", ".289"),
)
OURS = (
    "Task ability: what is kept of the abilities with English answers, 1 as after phase 1. "
    "Language ability: quality in the language of phase 2. Means over seeds with 95 % intervals "
    "over segments and seeds; * marks differences whose interval excludes 0."
)
DISTANCE = (
    "MPD: the mean distance of the trained weights from the model of phase 1, divided by the "
    "largest here (frozen blocks are not counted). DES: the cosine of the mean embeddings of the "
    "mix's prompts and of the prompts of `task`."
)


def prepare(folder: Path, data: Path | None, scale: Scale) -> None:
    """The pairs of both phases, from the corpora of the default study; at full scale they are the
    user's own."""
    if scale != "full":
        prepare_two_phase(prepare_corpora(), folder)


def report(found: PaperResults) -> Report:
    parts: list[Sheet | str] = [published_sheet()]
    if first := found.runs.get("phase1"):
        parts.append(phase_1_sheet(first))
    if second := found.runs.get("phase2"):
        parts += [ways_sheet(second), distance_sheet(second), prediction_text(second)]
    return Report(parts, {"phase2": ways_figure(second)} if second else {})


def way(recipe: Recipe) -> str:
    """The paper's name of the method by which a recipe preserves phase 1; `none` for none."""
    if recipe.method != "full":
        return "LoRA"
    if recipe.frozen_layers:
        names = {"random": "LF_H1", "most_changed": "LF_H2", "snr": "Spectrum"}
        return names.get(recipe.freeze_policy, recipe.freeze_policy)
    if not recipe.replay_fraction:
        return BASELINE
    share = round(100 * recipe.replay_fraction / (1 - recipe.replay_fraction))
    return f"{'GR' if recipe.weights.get('gr') else 'ER'}_{share}"


def published_sheet() -> Sheet:
    head = ["paper", "Mistral, task", "language", "LLaMA, task", "language "]
    caption = (
        "Means of IFEval, AlpacaEval, MMLU, HellaSwag and XLSum-en (task, in English) and of MLQA, "
        "XQuAD, XLSum and Global-MMLU (language). From a secondary source, not checked against the "
        "paper's own tables."
    )
    return Sheet(
        head, PUBLISHED, title="The paper's table", caption=caption, left=frozenset(head[:1])
    )


def phase_1_sheet(run: RunResults) -> Sheet:
    """What phase 1 teaches."""
    names = [LANGUAGE, *run.study.evaluation.abilities]
    rows = []
    for record in (run.base, *run.recipes):
        label = "untouched" if record is run.base else f"{record.recipe.parallel_size:,} pairs"
        gains = [difference_text(run.gain(record, n)) for n in names]
        own = [score.value if (score := of(record, n)) else float("nan") for n in names]
        cells = [f"{value:.3f}" for value in own]
        rows.append([label, *(cells if record is run.base else gains)])
    caption = (
        "Quality is that of the task with English answers; differences from the untouched model."
    )
    return Sheet(["phase 1", *names], rows, title="Phase 1", caption=caption,
                 left=frozenset({"phase 1"}))  # fmt: skip


def ways_sheet(run: RunResults) -> Sheet:
    """Every method beside using none, and its difference from that in both abilities."""
    by_way = {way(record.recipe): record for record in run.recipes}
    none = by_way.get(BASELINE)
    rows = [["after phase 1", EMPTY, *_values(run.base), EMPTY, EMPTY]]
    for name, record in by_way.items():
        gaps = [EMPTY, EMPTY]
        if none is not None and record is not none:
            gaps = [difference_text(run.difference(record, none, n)) for n in (TASK, LANGUAGE)]
        rows.append([name, str(len(run.seeds(record))), *_values(record), *gaps])
    head = ["phase 2 with", "seeds", "task ability", "language ability",
            "task, minus none", "language, minus none"]  # fmt: skip
    return Sheet(head, rows, title="Phase 2", caption=OURS, left=frozenset(head[:1]), named=2)


def ways_figure(run: RunResults) -> bytes:
    """Every method's differences from the model of phase 1, in both abilities."""
    titles = {TASK: "task ability", LANGUAGE: "language ability"}
    panels = [
        ForestPanel(title, [run.gain(record, name) for record in run.recipes])
        for name, title in titles.items()
    ]
    names = [way(record.recipe) for record in run.recipes]
    return forest_png(names, panels, "Differences from the model of phase 1, 95 % intervals")


def _values(record: TrialRecord) -> list[str]:
    return [score_text(of(record, name)) for name in (TASK, LANGUAGE)]


def distance_sheet(run: RunResults) -> Sheet:
    """For every method, MPD and DES, which may predict the loss, and the loss."""
    rows = []
    largest = max((mean_distance(run, r) or 0.0 for r in run.recipes), default=0.0) or 1.0
    for record in run.recipes:
        moved, similar = mean_distance(run, record), similarity(record)
        rows.append([
            way(record.recipe),
            EMPTY if moved is None else f"{moved / largest:.2f}",
            EMPTY if similar is None else f"{similar:.3f}",
            difference_text(run.gain(record, "task")),
        ])  # fmt: skip
    head = ["phase 2 with", "MPD", "DES", "task, minus after phase 1"]
    return Sheet(head, rows, title="What is lost, and what might predict it", caption=DISTANCE,
                 left=frozenset(head[:1]))  # fmt: skip


def mean_distance(run: RunResults, record: TrialRecord) -> float | None:
    """The mean over seeds of the trained weights' mean distance from the base model."""
    found = [t.training.mean_difference for t in run.seeds(record) if t.training]
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if known and len(known) == len(found) else None


def similarity(record: TrialRecord) -> float | None:
    """DES of the recipe's mix to the prompts of the task of phase 1."""
    found = record.extra.get("des", {}).get("task")
    return None if found is None else float(found)


def prediction_text(run: RunResults) -> str:
    """The rank correlation of MPD and of DES with the task score, over the trainings."""
    trials = [t for record in run.recipes for t in run.seeds(record)]
    kept = [score.value if (score := of(t, "task")) else None for t in trials]
    columns = {
        "MPD": [t.training.mean_difference if t.training else None for t in trials],
        "DES": [similarity(t) for t in trials],
    }
    said = []
    for name, column in columns.items():
        both = [(x, y) for x, y in zip(column, kept, strict=True) if None not in (x, y)]
        if len(both) > 2 and len({x for x, _ in both}) > 1:
            x, y = (np.array(side, dtype=np.float64) for side in zip(*both, strict=True))
            said.append(f"{name} {rank_test(x, y).text()}")
    return "Rank correlation with the score in `task`: " + ("; ".join(said) or "not measured") + "."
