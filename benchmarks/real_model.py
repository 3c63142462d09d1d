#!/usr/bin/env python3
"""A pretrained model fine-tuned on a small amount of real parallel text, with and without
monolingual text.

    python benchmarks/real_model.py --model FOLDER --data FOLDER [--segments 100] [--seed 1]
                                    [--rows 0 16 32 128 512 128:0.5 128:1 512:1] [--json FILE]

A row is a number of German-English pairs, half of them in each direction; `:R` adds R monolingual
sentences for each pair, half German, half English; 0 is the base model. `--data` holds the public
files as distributed by their authors: `wmt/` (WMT17-20 `train.de-en.{de,en}`, WMT21
`valid.de-en.json`, WMT22 `test.{de-en,en-de}.json`, as in ALMA's repository) and `cocoa-mt/` (the
`CoCoA-MT` folder). Batch, epochs, learning rate and its schedule are the defaults of Hugging Face's
`TrainingArguments`: nothing was tuned. One seed; [intervals] are over the test segments. No Ray:
two processes, which share the cores.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from recipes import Row, measured

ROWS = ("0", "16", "32", "128", "512", "128:0.5", "128:1", "512:1")
RATE = 5e-5
SHOWN = {
    "bleu.de-en": 1, "chrf.de-en": 1, "bleu.en-de": 1, "chrf.en-de": 1,
    "formality.shots.guarded_accuracy": 2, "few_shot.de-en": 1, "perplexity.en": 2,
    "perplexity.de": 2, "retention": 2,
}  # fmt: skip


def study_of(model: Path, data: Path, segments: int, seed: int) -> dict[str, Any]:
    wmt, cocoa = data / "wmt", data / "cocoa-mt"
    train = {language: str(wmt / f"train.de-en.{language}") for language in ("de", "en")}
    valid = str(wmt / "valid.de-en.json")
    mono = [
        {"name": f"mono-{language}", "kind": "mono", "languages": [language], "path": path}
        for language, path in train.items()
    ]
    pairs = {"name": "wmt", "kind": "parallel", "languages": ["de", "en"], "path": train,
             "directions": {"de-en": 0.5, "en-de": 0.5}}  # fmt: skip
    formality = {"measure": "formality", "path": str(cocoa / "test" / "en-de"),
                 "direction": "en-de", "size": segments}  # fmt: skip
    shots = {"shots": 3, "shots_path": str(cocoa / "train" / "en-de")}
    abilities: dict[str, dict[str, Any]] = {
        "formality": {**formality, "size": segments // 2},
        "formality.shots": {**formality, **shots},
        "few_shot.de-en": {"measure": "few_shot", "path": str(wmt / "test.de-en.json"),
                           "direction": "de-en", "size": segments, "shots": 3,
                           "shots_path": valid},
    }  # fmt: skip
    for language in ("de", "en"):
        abilities[f"perplexity.{language}"] = {
            "measure": "perplexity",
            "language": language,
            "size": segments,
            "path": valid,
            "columns": {"text": f"translation.{language}"},
        }
    quality = [
        {"direction": d, "path": str(wmt / f"test.{d}.json"), "size": segments}
        for d in ("de-en", "en-de")
    ]
    return {
        "name": "real-model", "model": str(model), "template": "alma", "seed": seed,
        "filters": {"leakage": "drop"},
        "sources": [pairs, *mono],
        "evaluation": {"comet": "embedded", "metrics": ["comet", "bleu", "chrf"],
                       "max_new_tokens": 64, "quality": quality, "abilities": abilities},
        "training": {"epochs": 3, "batch_examples": 8, "max_length": 192, "schedule": "linear",
                     "warmup": 0.0, "precision": "bf16"},
        "resources": {"workers": 1},
        "budget": {"trials": 1},
        "defaults": {"learning_rate": RATE},
    }  # fmt: skip


def recipe_of(row: str) -> dict[str, float] | None:
    size, _, ratio = row.partition(":")
    if int(size) == 0:
        return None
    return {"parallel_size": int(size), "mono_ratio": float(ratio or 0), "learning_rate": RATE}


def cell(score: Any, digits: int) -> str:
    if score is None:
        return "-"
    return f"{score.value:.{digits}f} [{score.low:.{digits}f}, {score.high:.{digits}f}]"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", nargs="+", default=ROWS)
    parser.add_argument("--segments", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write scores and answers there, row by row")
    args = parser.parse_args()
    from mtray.data.store import build_store
    from mtray.evaluation.suite import build_suite
    from mtray.schema import Study
    from mtray.training.models import load_tokenizer

    model, data = args.model.resolve(), args.data.resolve()
    study = Study.model_validate(study_of(model, data, args.segments, args.seed))
    tokenizer = load_tokenizer(study.model)
    suite = build_suite(study, tokenizer)
    recipes = {row: recipe_of(row) for row in ["0", *(r for r in args.rows if r != "0")]}
    store = build_store(study, tokenizer)
    # the longest first after the base model, so that no process waits at the end
    base, *others = recipes
    order = [base, *sorted(others, key=lambda row: work(recipes[row]), reverse=True)]
    found: dict[str, dict[str, Any]] = {}
    for row, record, outcome in measured([Row(r, study, recipes[r], store) for r in order], suite):
        found[row.name] = {**record.scores, **record.objectives}
        if args.json:
            written = {
                "scores": {k: s.model_dump(mode="json") for k, s in found[row.name].items()},
                "seconds": record.seconds,
                "training": record.training and record.training.model_dump(mode="json"),
                "answers": [
                    (request.prompt, output.text)
                    for request, output in zip(suite.requests, outcome.outputs, strict=True)
                ],
            }
            with open(args.json, "a", encoding="utf-8") as file:
                file.write(json.dumps({"row": row.name, **written}, ensure_ascii=False) + "\n")
    print("| pairs | " + " | ".join(SHOWN) + " |")
    print("| --- |" + " --- |" * len(SHOWN))
    for name in recipes:
        cells = [cell(found[name].get(column), digits) for column, digits in SHOWN.items()]
        print(f"| {name} | " + " | ".join(cells) + " |")


def work(recipe: dict[str, float] | None) -> float:
    return recipe["parallel_size"] * (1 + recipe["mono_ratio"]) if recipe else 0.0


if __name__ == "__main__":
    main()
