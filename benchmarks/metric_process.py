#!/usr/bin/env python3
"""What the process for metrics costs: COMET's scores of an evaluation of the default study through
the protocol, against comet's `predict` called in the metrics interpreter itself.

    python benchmarks/metric_process.py [--rounds 5] [--threads 1] [--json FILE]

Both sides score the same segments (as many as the default study has; the hypothesis is the
reference of a neighbouring segment) with mtray-comet-tiny in batches of 64, in turn, each in one
process that has loaded it before. The protocol's side includes sending the texts, the count of
truncated segments and reading the scores. It checks that both give the same numbers, and prints the
ratio of the medians; and the seconds that a start takes, which a process pays once.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ITSELF = """
import json, logging, sys, time, warnings
from pathlib import Path
warnings.simplefilter("ignore")
import torch, yaml
from comet import load_from_checkpoint
logging.disable(logging.WARNING)
torch.set_num_threads(int(sys.argv[2]))
folder = Path(sys.argv[1])
samples = json.loads((folder / "samples.json").read_text())
checkpoint = str(folder / "model/checkpoints/model.ckpt")
model = load_from_checkpoint(checkpoint, True, local_files_only=True)
print(json.dumps("ready"), flush=True)
for _ in sys.stdin:
    started = time.perf_counter()
    options = {"batch_size": 64, "gpus": 0, "num_workers": 0, "progress_bar": False}
    scores = model.predict(samples, **options)["scores"]
    print(json.dumps([time.perf_counter() - started, scores]), flush=True)
"""


def segments_of_default_study() -> list[tuple[str, str, str]]:
    """(source, hypothesis, reference) of every direction's segments, each triple once."""
    from mtray.evaluation.suite import build_suite
    from mtray.sweep_command import arguments, load
    from mtray.training.models import load_tokenizer

    study, _ = load(arguments([]))
    found = []
    for direction in build_suite(study, load_tokenizer(study.model)).directions:
        shifted = [*direction.references[1:], direction.references[0]]
        found += zip(direction.sources, shifted, direction.references, strict=True)
    return list(dict.fromkeys(found))


def copy_of_model(folder: Path) -> None:
    """The embedded model with its encoder's path made absolute, as comet itself reads it."""
    import shutil

    import yaml

    from mtray.paths import COMET_MODEL

    shutil.copytree(COMET_MODEL, folder / "model")
    file = folder / "model/hparams.yaml"
    hparams = yaml.safe_load(file.read_text()) | {"pretrained_model": str(folder / "model/encoder")}
    file.write_text(yaml.safe_dump(hparams))


class Itself:
    """comet in the metrics interpreter, with no protocol but a line for each round."""

    def __init__(self, folder: Path, threads: int) -> None:
        from mtray.evaluation.metrics.metric_process import KEEP_MEMORY
        from mtray.metrics_python import metrics_python

        command = [metrics_python().path, "-I", "-c", ITSELF, str(folder), str(threads)]
        self._popen = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            stderr=subprocess.DEVNULL, env={**os.environ, **KEEP_MEMORY},
        )  # fmt: skip
        self._line()

    def _line(self) -> Any:
        assert self._popen.stdout
        for line in self._popen.stdout:
            if line.startswith(("[", '"')):  # comet prints as well
                return json.loads(line)
        raise SystemExit("comet itself ended")

    def round(self) -> tuple[float, list[float]]:
        assert self._popen.stdin
        self._popen.stdin.write("\n")
        self._popen.stdin.flush()
        seconds, scores = self._line()
        return seconds, scores

    def end(self) -> None:
        self._popen.communicate()


def protocol_round(triples: list[tuple[str, str, str]]) -> tuple[float, list[float]]:
    """An evaluation as a trial makes it, nothing remembered."""
    from mtray.evaluation.metrics.comet import load_comet

    scorer = load_comet("embedded")
    scorer.memory.clear()
    started = time.perf_counter()
    found = scorer.segment_scores(*zip(*triples, strict=True))
    return time.perf_counter() - started, found.values.tolist()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    import torch

    from mtray.evaluation.metrics.comet import load_comet

    torch.set_num_threads(args.threads)
    triples = segments_of_default_study()
    started = time.perf_counter()
    load_comet("embedded")
    start = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy_of_model(folder)
        samples = [dict(zip(("src", "mt", "ref"), t, strict=True)) for t in triples]
        (folder / "samples.json").write_text(json.dumps(samples))
        itself = Itself(folder, args.threads)
        sides: dict[str, list[float]] = {"itself": [], "protocol": []}
        itself.round(), protocol_round(triples)  # the first is slower on both sides
        for place in range(args.rounds):
            found = {}
            for side in sides if place % 2 else reversed(sides):
                seconds, found[side] = (
                    itself.round() if side == "itself" else protocol_round(triples)
                )
                sides[side].append(seconds)
            if found["itself"] != found["protocol"]:
                sys.exit("the two sides give different scores")
        itself.end()
    medians = {side: statistics.median(seconds) for side, seconds in sides.items()}
    ratio = medians["protocol"] / medians["itself"]
    print(f"{len(triples)} segments, {args.rounds} rounds, medians: comet itself "
          f"{medians['itself']:.3f} s, through the protocol {medians['protocol']:.3f} s, ratio "
          f"{ratio:.3f}; the same scores; the start once {start:.1f} s")  # fmt: skip
    if args.json:
        args.json.write_text(json.dumps({**sides, "ratio": ratio, "start": start}))


if __name__ == "__main__":
    main()
