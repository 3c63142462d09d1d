"""Pretraining data of the default study's base model: texts by task, and how often each task is
drawn. Only the `pretrain` split of the corpora is used."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mtray.data.templates import completed, few_shot_prompt, translation_prompt

# pairs of the direction that the study fine-tunes: few, so that fine-tuning can improve it
PLAIN_EN_UK = 6_000
STEERED_EN_UK = (
    10_000  # pairs whose Ukrainian side has one register; the contrastive pairs are added
)
# share of the tokens of each task
SHARES = {
    "mono.en": 0.11, "mono.es": 0.11, "mono.uk": 0.13,
    "en-es": 0.14, "es-en": 0.11, "uk-en": 0.06, "en-uk": 0.02, "formality": 0.16, "few-shot": 0.16,
}  # fmt: skip

Texts = dict[str, list[str]]


def rows(folder: Path, name: str) -> list[dict[str, Any]]:
    return pq.read_table(folder / f"{name}.parquet").to_pylist()  # type: ignore[no-any-return]


def pair_texts(pairs: list[dict[str, str]], source: str, target: str) -> list[str]:
    return [completed(translation_prompt(r[source], source, target), r[target]) for r in pairs]


def few_shot_texts(pairs: list[tuple[str, str]], count: int, rng: random.Random) -> list[str]:
    """Prompts of 1-4 shots and a query, all of one direction, and the query's answer."""
    texts = []
    for _ in range(count):
        *shots, (source, target) = rng.sample(pairs, rng.randint(2, 5))
        texts.append(completed(few_shot_prompt(shots, source), target))
    return texts


def steered_texts(folder: Path) -> list[str]:
    texts = [
        completed(translation_prompt(r["en"], "en", "uk", register=register), r[register])
        for r in rows(folder, "formality.en-uk.pretrain")
        for register in ("formal", "informal")
    ]
    one_sided = rows(folder, "register.en-uk.pretrain")[:STEERED_EN_UK]
    return texts + [
        completed(translation_prompt(r["en"], "en", "uk", register=r["register"]), r["uk"])
        for r in one_sided
    ]


def pretraining_texts(folder: Path, seed: int) -> Texts:
    """Every text of every task; `SHARES` defines how often each task is drawn."""
    rng = random.Random(seed)
    spanish, ukrainian = (
        rows(folder, "parallel.en-es.pretrain"),
        rows(folder, "parallel.en-uk.pretrain"),
    )
    limited = ukrainian[:PLAIN_EN_UK]
    directions = [
        [(r["en"], r["es"]) for r in spanish],
        [(r["es"], r["en"]) for r in spanish],
        [(r["uk"], r["en"]) for r in ukrainian[:30_000]],
        [(r["en"], r["uk"]) for r in limited],
    ]
    counts = (50_000, 40_000, 20_000, 5_000)
    texts = {
        f"mono.{code}": [r["text"] for r in rows(folder, f"mono.{code}.pretrain")]
        for code in ("en", "es", "uk")
    }
    few_shot = [few_shot_texts(d, c, rng) for d, c in zip(directions, counts, strict=True)]
    texts |= {
        "en-es": pair_texts(spanish, "en", "es"),
        "es-en": pair_texts(spanish, "es", "en"),
        "uk-en": pair_texts(ukrainian[:30_000], "uk", "en"),
        "en-uk": pair_texts(limited, "en", "uk"),
        "formality": steered_texts(folder),
        "few-shot": [text for texts_of_one in few_shot for text in texts_of_one],
    }
    return texts
