"""Train the COMET model of the default study: `python -m mtray.embedded.train_comet --out FOLDER`.

A small reference-based metric of comet's own class `RegressionMetric`, trained from scratch on the
`pretrain` split of the corpora: artificially degraded references (`mtray.embedded.degrade`),
labelled with their remaining quality. The folder gets the layout that `comet.load_from_checkpoint`
reads, a training.json with every figure, and the model card. `--out` is the committed folder by
default. This process makes the examples and the report; the metrics interpreter trains
(`comet_training.py`), since comet is there alone.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from mtray.embedded.comet_examples import LANGUAGES, examples, items, lexicons
from mtray.embedded.comet_report import report
from mtray.embedded.corpora import prepare
from mtray.evaluation.metrics.metric_process import KEEP_MEMORY
from mtray.metrics_python import metrics_python
from mtray.paths import COMET_MODEL

TOKENIZER_SENTENCES = 60_000  # from each language


def write_input(given: Path, folder: Path, args: argparse.Namespace) -> None:
    """The texts that `comet_training` reads, into `given`; `folder` has the corpora."""
    data = items(folder, "pretrain")
    words = lexicons(data)
    rng = random.Random(args.seed)
    sample = [
        s for code in LANGUAGES for s in rng.sample(words[code].sentences, TOKENIZER_SENTENCES)
    ]
    pairs = [" ".join((i.source, *i.references[:2])) for d in ("en-es", "en-uk") for i in data[d]]
    found = examples(data, words, args.examples, args.seed)
    for name, content in (("tokenizer", sample), ("pairs", pairs), ("settings", settings(args))):
        (given / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    lines = "".join(json.dumps(e.sample) + "\n" for e in found)
    (given / "examples.jsonl").write_text(lines, encoding="utf-8")


def settings(args: argparse.Namespace) -> dict[str, Any]:
    return {name: value for name, value in vars(args).items() if name != "out"}


def train(args: argparse.Namespace) -> None:
    folder, out = prepare(), Path(args.out).absolute()
    for part in ("encoder", "checkpoints"):
        shutil.rmtree(out / part, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="mtray-comet-") as given:
        write_input(Path(given), folder, args)
        script = str(Path(__file__).with_name("comet_training.py"))
        command = [metrics_python().path, "-I", script, given, str(out)]
        subprocess.run(command, env={**os.environ, **KEEP_MEMORY}, check=True)
        figures = json.loads((Path(given) / "figures.json").read_text(encoding="utf-8"))
    report(out, folder, {"settings": settings(args), **figures})


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", default=str(COMET_MODEL), help="folder for the model and its card")
    parser.add_argument("--examples", type=int, default=200_000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--embedding-rate", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    train(args)


if __name__ == "__main__":
    main()
