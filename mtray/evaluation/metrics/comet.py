"""COMET segment scores (Rei et al. 2020): of mtray's own model, a checkpoint on disk, or one of the
hub."""

from __future__ import annotations

import functools
import importlib.metadata
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mtray.analysis.uncertainty import Array
from mtray.errors import EvaluationError, ModelError
from mtray.evaluation.metrics.comet_checkpoint import (
    ALLOWED,
    download,
    find_checkpoint,
    quiet,
    read_checkpoint,
    sees_references,
    sha256,
)
from mtray.paths import COMET_MODEL

EMBEDDED_NAME = "mtray-comet-tiny"  # its scores are not comparable with wmt22-comet-da
BATCH = 64
REMEMBERED = 100_000  # triples; some 100 MB of text
Triple = tuple[str, str, str]


@dataclass(frozen=True)
class CometScorer:
    """A loaded model; `gpus` is 0 or 1. `signature` holds name, comet's version, weights' SHA-256
    (first 12 digits), the score of an empty hypothesis and, for a model that uses source and
    hypothesis only (CometKiwi), `reference:none`.

    Up to `REMEMBERED` scores are cached for the life of the process: trials often give the same
    answers, and the base model's are scored with every trial.
    """

    model: Any
    signature: str
    gpus: int = 0
    references: bool = True
    memory: dict[Triple, float] = field(default_factory=dict, repr=False, compare=False)

    def scores(
        self, sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str]
    ) -> Array:
        """Segment scores of `model.predict`, float64, shape (n,), in the order given; higher is
        better.

        Equal triples are scored once per process. An empty hypothesis never reaches the model,
        which may score it highly: it gets 0, or the call's lowest score if that is lower still. The
        last digits of a score depend on the batch in which it was first computed, through its
        padding: masked positions change a float32 sum by rounding, about 1e-6. Raises
        EvaluationError for lists of unequal length and for scores that are not finite.
        """
        lengths = len(sources), len(hypotheses), len(references)
        if len(set(lengths)) != 1:
            raise EvaluationError(
                f"{self.signature}: {lengths[0]} sources, {lengths[1]} hypotheses and "
                f"{lengths[2]} references; expected equally many of each"
            )
        seen = references if self.references else [""] * len(references)
        triples = list(zip(sources, hypotheses, seen, strict=True))
        asked = [t for t in dict.fromkeys(triples) if t[1].strip()]
        known = {t: self.memory[t] for t in asked if t in self.memory}
        new = [t for t in asked if t not in known]
        fresh = dict(zip(new, self._predict(new), strict=True))
        self._remember(fresh)
        known |= fresh
        empty = min([0.0, *known.values()])
        return np.array([known.get(t, empty) for t in triples], dtype=np.float64)

    def _remember(self, found: dict[Triple, float]) -> None:
        if len(self.memory) + len(found) > REMEMBERED:
            self.memory.clear()
        if len(found) <= REMEMBERED:
            self.memory.update(found)

    def _predict(self, triples: list[Triple]) -> list[float]:
        if not triples:
            return []
        parts = ("src", "mt", "ref") if self.references else ("src", "mt")
        samples = [dict(zip(parts, t, strict=False)) for t in triples]
        with quiet():
            found = self.model.predict(
                samples, batch_size=BATCH, gpus=self.gpus, num_workers=0, progress_bar=False
            )["scores"]
        for triple, value in zip(triples, found, strict=True):
            if not np.isfinite(value):
                raise EvaluationError(f"{self.signature}: the score of {triple} is {value}")
        return [float(value) for value in found]


def load_comet(name: str, gpu: bool = False) -> CometScorer:
    """The metric called `name`, loaded once per process; on a GPU if `gpu` and CUDA is available.

    `embedded` is mtray-comet-tiny; otherwise a checkpoint file, a folder that holds
    checkpoints/*.ckpt beside hparams.yaml, or a hub name, downloaded by comet into the hub's cache.
    All are read by `comet.load_from_checkpoint`. A checkpoint is a pickle: torch reads it with
    `weights_only`, so one that holds more than tensors and plain values is refused, whatever its
    origin. To trust such a file, set TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1; it may then run any code.

    A `pretrained_model` in hparams.yaml that starts with "." is relative to that file's folder, so
    a checkpoint and its encoder can be moved together. Raises ModelError if it cannot be loaded.
    """
    if name == "embedded":
        return _load(str(COMET_MODEL), EMBEDDED_NAME, gpu)
    path = Path(name).expanduser()
    if path.exists():
        # symlinks are not resolved: the hub's cache links to files that are far from their
        # hparams.yaml
        found = find_checkpoint(path.absolute())
        return _load(str(found), found.parents[1].name, gpu)
    if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name) or path.suffix == ".ckpt":
        raise ModelError(f"comet: {name!r} is not a file, folder or hub name; {ALLOWED}")
    return _load(str(download(name)), name, gpu)


def loader(device: str) -> Callable[[str], CometScorer]:
    """`load_comet` for `evaluation.comet_device`: auto uses a GPU if this process sees one, gpu
    requires one (ModelError), cpu uses none."""
    import torch

    if device == "gpu" and not torch.cuda.is_available():
        raise ModelError(
            "`evaluation.comet_device` is gpu, but the process that scores sees no GPU; use auto "
            "or cpu"
        )
    return functools.partial(load_comet, gpu=device != "cpu")


@functools.cache
def _load(path: str, name: str, gpu: bool) -> CometScorer:
    import torch

    checkpoint = find_checkpoint(Path(path))
    model = read_checkpoint(checkpoint)
    version = importlib.metadata.version("unbabel-comet")
    signature = f"{name}|comet:{version}|weights:{sha256(checkpoint)[:12]}|empty:0-or-min"
    references = sees_references(model)
    if not references:
        signature += "|reference:none"
    return CometScorer(model, signature, int(gpu and torch.cuda.is_available()), references)
