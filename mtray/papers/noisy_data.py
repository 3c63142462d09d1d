"""Report of 2404.14122, A Touch of Noisy Data: how few pairs are enough, what is learnt of
directions never trained on, and what noise and different instructions do."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2
from pathlib import Path

import numpy as np

from mtray.analysis.uncertainty import TAILS
from mtray.files import write_atomically
from mtray.papers.curves import Panel, curves_png, gains_line
from mtray.papers.made_noise import dictionary, from_memory
from mtray.papers.preset import Scale
from mtray.papers.results import (
    PaperResults,
    Report,
    RunResults,
    difference_text,
    of,
    value_text,
)
from mtray.report.differences import Difference
from mtray.report.printing import Sheet
from mtray.schema import TrialRecord

PREPARED_ROWS = 2048  # pairs that recipes draw from, and that have noise
MEMORY_ROWS = 40_000  # pairs that noise is made from
OFF_TARGET = "failures.off_target"
# of COMET, mean over directions, by pairs (secondary source)
PUBLISHED_SIZES = {32: 82.29, 1024: 83.97, 74623: 84.48}
GAINS = (
    "Differences from the untouched model, 95 % intervals over segments and seeds; * excludes 0."
)


def prepare(folder: Path, data: Path | None, scale: Scale) -> None:
    """The pairs of the tiny scale, and noise for them from other pairs of the same corpora."""
    if scale == "tiny":
        from mtray.embedded.corpora import prepare as prepare_corpora

        corpora = prepare_corpora()
        for language in ("uk", "es"):
            _prepare(folder, corpora, f"en-{language}", noise=language == "uk")


def _prepare(folder: Path, corpora: Path, stem: str, noise: bool) -> None:
    first, second = stem.split("-")
    rows = _read(corpora / f"parallel.{stem}.finetune.parquet", (first, second))[:PREPARED_ROWS]
    texts = {f"pairs.{stem}.{first}": [a for a, _ in rows]}
    texts |= {f"pairs.{stem}.{second}": [b for _, b in rows]}
    wanted = [*texts, *([f"weak.{stem}.{second}"] if noise else [])]
    if all((folder / name).is_file() for name in wanted):
        return
    folder.mkdir(parents=True, exist_ok=True)
    if noise:
        memory = _read(corpora / f"parallel.{stem}.pretrain.parquet", (first, second))[:MEMORY_ROWS]
        turned = [(b, a) for a, b in memory]
        for a, b, pairs in ((first, second, memory), (second, first, turned)):
            entries = dictionary(pairs)
            texts[f"{a}-{b}.tsv"] = [f"{word}\t{found}" for word, found in entries.items()]
        texts[f"weak.{stem}.{first}"] = from_memory((b for _, b in rows), turned)
        texts[f"weak.{stem}.{second}"] = from_memory((a for a, _ in rows), memory)
    for name, lines in texts.items():
        write_atomically(folder / name, "".join(f"{line}\n" for line in lines).encode())


def _read(path: Path, languages: tuple[str, str]) -> list[tuple[str, str]]:
    import pyarrow.parquet as pq

    first, second = (pq.read_table(path, columns=[n])[n].to_pylist() for n in languages)
    return list(zip(first, second, strict=True))


def report(found: PaperResults) -> Report:
    parts: list[Sheet | str] = []
    figures = {}
    if sizes := found.runs.get("sizes"):
        parts += [sizes_sheet(sizes), slope_text(sizes)]
        figures["sizes"] = _figure(sizes)
    if directions := found.runs.get("directions"):
        parts += [directions_sheet(directions), unseen_sheet(directions), misread_sheet(directions)]
    if noise := found.runs.get("noise"):
        parts.append(noise_sheet(noise))
    if prompts := found.runs.get("prompts"):
        parts.append(prompts_sheet(prompts))
    return Report(parts, figures)


def metric(run: RunResults) -> str:
    """The prefix of the scores shown: COMET where the study has it, else chrF."""
    return "chrf" if run.study.evaluation.comet == "none" else "comet"


def scores(run: RunResults) -> list[str]:
    """The score of every direction that is measured."""
    return [f"{metric(run)}.{q.direction}" for q in run.study.evaluation.quality]


def directions_of(record: TrialRecord) -> list[str]:
    return [name for name, share in record.recipe.directions.items() if share > 0]


def _rows(
    run: RunResults, labels: Sequence[tuple[str, TrialRecord]], names: Sequence[str]
) -> list[list[str]]:
    own = [of(run.base, name) for name in names]
    rows = [["untouched", *map(value_text, own)]]
    for label, record in labels:
        rows.append([label, *(difference_text(run.gain(record, name)) for name in names)])
    return rows


def sizes_sheet(run: RunResults) -> Sheet:
    mean = next(iter(run.study.objectives))
    labels = [(f"{r.recipe.parallel_size:,}", r) for r in _by_size(run)]
    rows = _rows(run, labels, [mean, *scores(run)])
    for row in rows:
        size = int(row[0].replace(",", "")) if row[0] != "untouched" else 0
        row.append(f"{PUBLISHED_SIZES[size]}" if size in PUBLISHED_SIZES else "not published")
    head = ["pairs", mean, *scores(run), "paper (COMET, mean)"]
    return Sheet(head, rows, title="By number of pairs", caption=GAINS, left=frozenset({"pairs"}))


def _by_size(run: RunResults) -> list[TrialRecord]:
    return sorted(run.recipes, key=lambda r: r.recipe.parallel_size)


def slope_text(run: RunResults) -> str:
    """The gain per doubling between 32 pairs and the most, beside the paper's."""
    records = [r for r in _by_size(run) if r.recipe.parallel_size >= 32]
    name = next(iter(run.study.objectives))
    if len(records) < 2:
        return "Too few sizes for a slope."
    last, first = records[-1], records[0]
    gap = run.difference(last, first, name)
    assert gap is not None
    doublings = log2(last.recipe.parallel_size / first.recipe.parallel_size)
    each = Difference(*(v / doublings for v in (gap.gap, gap.low, gap.high)))
    return (
        f"Per doubling from {first.recipe.parallel_size} to {last.recipe.parallel_size:,} pairs: "
        f"{name} {difference_text(each, 4)}. The paper: COMET .34 points per doubling from 32 to "
        "1,024 pairs, .08 after (of 100; computed from its three published means)."
    )


def directions_sheet(run: RunResults) -> Sheet:
    """The gain of every direction from every choice of directions; what was trained in brackets."""
    names = scores(run)
    rows = _rows(run, [(", ".join(directions_of(r)), r) for r in run.recipes], names)
    return Sheet(
        ["trained on", *names], rows, title="One direction against several", caption=GAINS,
        left=frozenset({"trained on"}),
    )  # fmt: skip


def unseen_sheet(run: RunResults) -> Sheet:
    """The mean gain over the directions trained on, and over those never trained on."""
    rows = []
    for record in run.recipes:
        trained = directions_of(record)
        parts = {True: [], False: []}  # type: dict[bool, list[str]]
        for name in scores(run):
            parts[name.split(".", 1)[1] in trained].append(name)
        cells = [difference_text(mean_gain(run, record, parts[seen])) for seen in (True, False)]
        rows.append([", ".join(trained), *cells])
    head = ["trained on", "mean gain, trained", "mean gain, never trained"]
    return Sheet(head, rows, title="Directions never trained on", left=frozenset({"trained on"}))


def mean_gain(run: RunResults, record: TrialRecord, names: Sequence[str]) -> Difference | None:
    """The mean of a recipe's gains in these scores, with joint draws of their errors; None if
    there are none."""
    if not names:
        return None
    gains, errors = run.joint_gains([record], names)
    mean, drawn = float(gains.mean()), errors.mean(axis=-1)[:, 0]
    low, high = np.quantile(drawn, TAILS)
    return Difference(mean, mean + min(0.0, float(low)), mean + max(0.0, float(high)))


def misread_sheet(run: RunResults) -> Sheet:
    """With English on the target side, the share of answers in a language not requested."""
    names = [f"{OFF_TARGET}.{q.direction}" for q in run.study.evaluation.quality]
    names = [name for name in names if of(run.base, name)]
    labels = [(", ".join(directions_of(r)), r) for r in run.recipes]
    rows = _rows(run, labels, names)
    caption = f"Share of answers in another language than asked for. {GAINS}"
    caption += " The paper: English on the target side makes models misread the task."
    return Sheet(
        ["trained on", *(n.removeprefix("failures.") for n in names)], rows,
        title="Misread tasks", caption=caption, left=frozenset({"trained on"}),
    )  # fmt: skip


def noise_sheet(run: RunResults) -> Sheet:
    """Every noise: its gain over the untouched model, and what it costs against clean pairs."""
    names = scores(run)[:1]
    clean = run.where(noise_rate=0.0)
    rows = []
    for record in sorted(run.recipes, key=lambda r: str(noise_text(r))):
        cells = [difference_text(run.gain(record, name)) for name in names]
        cells += [difference_text(run.difference(record, clean[0], n)) for n in names if clean]
        rows.append([noise_text(record), *cells])
    head = ["noise", *names, *(f"{name} minus clean" for name in names if clean)]
    caption = f"{GAINS} The paper: noise on the target side is worst (in words)."
    return Sheet(head, rows, title="Noise", caption=caption, left=frozenset({"noise"}))


def noise_text(record: TrialRecord) -> str:
    found = record.recipe
    if not found.noise_rate:
        return "clean"
    return f"{found.noise_side}, by {found.noise_level}, {found.noise_rate:.0%}"


def prompts_sheet(run: RunResults) -> Sheet:
    mean = next(iter(run.study.objectives))
    records = sorted(run.recipes, key=lambda r: r.recipe.instructions or 0)
    labels = [(str(r.recipe.instructions), r) for r in records]
    return Sheet(
        ["instructions", mean, *scores(run)], _rows(run, labels, [mean, *scores(run)]),
        title="Different instructions", caption=f"{GAINS} The paper: not published in numbers.",
    )  # fmt: skip


def _figure(run: RunResults) -> bytes:
    records = _by_size(run)
    panels = []
    for name in scores(run):
        gains = [gap for r in records if (gap := run.gain(r, name))]
        if len(gains) == len(records):
            x = [float(r.recipe.parallel_size) for r in records]
            panels.append(Panel(name, [gains_line("all directions", x, gains)]))
    return curves_png(
        panels, "pairs", "Differences from the untouched model, 95 % intervals", log=True
    )
