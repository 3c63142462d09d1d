#!/usr/bin/env python3
"""The ratio search on a pretrained model and real text: `sweeps/ratio_search.py` as users run it.

    python benchmarks/real_ratio.py --model FOLDER --data FOLDER --out FOLDER
                                    [--segments 100] [--pairs 256] [--trials 14] [--questions FILE]

German-English, from the same public files as `real_model.py`. Monolingual text consists of passages
of four consecutive lines of the training text, German and English; replay is the base model's own
text (`replay: self`). One epoch. `--questions`: multiple choice in English, in the format of
`measure: choice`. Study, space and text are written to `--out`, the run to `--out`/runs; started
again, it continues. The results are shown by `python -m mtray front`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from real_model import study_of

MOST_MONO, MOST_REPLAY = 2.0, 0.3
LINES = 4  # of a monolingual document
ROOT = Path(__file__).resolve().parents[1]
# what the baselines take, and where the search of the rate is told to begin: what the authors of
# the paradox took, 2e-5 (2405.20089)
RATE = 2e-5


def space_of(pairs: int) -> dict[str, Any]:
    return {
        "parallel_size": {"type": "int", "low": 16, "high": pairs, "log": True},
        "mono_ratio": {"type": "float", "low": 0.0, "high": MOST_MONO},
        "replay_fraction": {"type": "float", "low": 0.0, "high": MOST_REPLAY},
        "learning_rate": {"type": "float", "low": 5e-6, "high": 1e-4, "log": True, "guess": RATE},
    }


def generated(pairs: int) -> int:
    """Texts of the model's own for the largest recipe, and some that have no whole sentence."""
    from mtray.data.mixing import kind_sizes
    from mtray.schema import Recipe

    largest = Recipe(parallel_size=pairs, mono_ratio=MOST_MONO, replay_fraction=MOST_REPLAY)
    return int(1.1 * kind_sizes(largest)["replay"])


def write_documents(source: Path, target: Path) -> None:
    """Lines as JSONL with the number of their document, `LINES` lines each."""
    with open(source, encoding="utf-8") as lines, open(target, "w", encoding="utf-8") as file:
        for number, line in enumerate(lines):
            row = {"text": line.rstrip("\n"), "document": str(number // LINES)}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def ratio_study(args: argparse.Namespace) -> dict[str, Any]:
    model, data, out = (path.resolve() for path in (args.model, args.data, args.out))
    study = study_of(model, data, args.segments, args.seed)
    pairs = study["sources"][0]
    mono = [
        {"name": f"mono-{language}", "kind": "mono", "languages": [language], "documents": True,
         "path": str(out / f"documents.{language}.jsonl"), "columns": {"document": "document"}}
        for language in ("de", "en")
    ]  # fmt: skip
    replay = {"name": "own-text", "kind": "replay", "replay": "self",
              "generation": {"examples": generated(args.pairs), "max_new_tokens": 64}}  # fmt: skip
    abilities = study["evaluation"]["abilities"]
    del abilities["formality"]  # of both only the one with examples in the prompt: time
    if args.questions:
        abilities["choice.en"] = {
            "measure": "choice",
            "path": str(args.questions.resolve()),
            "size": args.segments,
        }
    study["evaluation"]["metrics"] = ["bleu", "chrf"]
    return study | {
        "name": "real-ratio",
        "sources": [pairs, *mono, replay],
        "training": study["training"] | {"epochs": 1},
        "resources": {"workers": 1, "concurrent_trials": 2},
        "budget": {"trials": args.trials},
        "objectives": {"chrf.mean": "max", "retention": "max"},
        "defaults": {"parallel_size": args.pairs, "learning_rate": RATE},
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--segments", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=256, help="the most that a recipe takes")
    parser.add_argument("--trials", type=int, default=14)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--questions", type=Path)
    args, more = parser.parse_known_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for language in ("de", "en"):
        text = args.data / "wmt" / f"train.de-en.{language}"
        write_documents(text, args.out / f"documents.{language}.jsonl")
    files = {"study": ratio_study(args), "space": space_of(args.pairs)}
    for name, content in files.items():
        (args.out / f"{name}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    command = [
        sys.executable, str(ROOT / "sweeps" / "ratio_search.py"),
        "--study", str(args.out / "study.yaml"), "--space", str(args.out / "space.yaml"),
        "--runs-dir", str(args.out / "runs"), "--name", "real-ratio", *more,
    ]  # fmt: skip
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
