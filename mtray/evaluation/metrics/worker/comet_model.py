"""A COMET model as the protocol asks for it: loaded once by its name, then scores."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .checkpoint import Unloadable, download, find_checkpoint, is_hub_name, read_checkpoint, sha256
from .protocol import written
from .truncation import count_cut, cut_texts, max_length

BATCH = 64
PACKAGE = "unbabel-comet"


def require_comet() -> None:
    """Raise Unloadable where comet cannot run, or would give other scores in silence: with
    transformers 5 it gives .92 for .72."""
    try:
        version = importlib.metadata.version("transformers")
        importlib.metadata.version(PACKAGE)
    except importlib.metadata.PackageNotFoundError as error:
        raise Unloadable(
            f"comet: {error.name} is not installed in the metrics interpreter"
        ) from None
    if int(version.split(".")[0]) >= 5:
        raise Unloadable(
            f"comet: the metrics interpreter has transformers {version}, with which {PACKAGE} "
            "gives other scores; below 5 is needed"
        )


@dataclass(frozen=True)
class Loaded:
    """A model and where it runs; `gpus` is 0 or 1, `references` whether it is given any."""

    model: Any
    gpus: int
    references: bool

    def score(self, segments: list[list[str]]) -> dict[str, Any]:
        """Scores of segments (source, hypothesis, reference), and which texts were cut."""
        parts = ("src", "mt", "ref") if self.references else ("src", "mt")
        samples = [dict(zip(parts, texts, strict=False)) for texts in segments]
        found = self.model.predict(
            samples, batch_size=BATCH, gpus=self.gpus, num_workers=0, progress_bar=False
        )["scores"]
        return {
            "scores": [written(float(value)) for value in found],
            "truncated": cut_texts(self.model, samples),
        }

    def count(self, texts: list[str]) -> dict[str, Any]:
        return {"truncated": count_cut(self.model, texts)}


def load(model: str, name: str, device: str) -> tuple[Loaded, dict[str, Any]]:
    """The model of a path or hub name, and the answer to `load`. `name`: what its signature calls
    it; empty: a folder's name, or the hub name. `device`: auto, cpu or gpu."""
    require_comet()
    path = Path(model)
    if path.exists():
        # symlinks are not resolved: the hub's cache links to files that are far from their
        # hparams.yaml
        checkpoint = find_checkpoint(path.absolute())
        name = name or checkpoint.parents[1].name
    elif is_hub_name(model):
        checkpoint, name = download(model), name or model
    else:
        raise Unloadable(f"comet: {model!r} is not a file, folder or hub name")
    found = read_checkpoint(find_checkpoint(checkpoint))
    loaded = Loaded(found, gpus_of(device), sees_references(found))
    version = importlib.metadata.version(PACKAGE)
    return loaded, {
        "signature": f"{name}|comet:{version}|weights:{sha256(checkpoint)[:12]}",
        "references": loaded.references,
        "empty": 0.0,
        "max_length": max_length(found),
        "device": "gpu" if loaded.gpus else "cpu",
    }


def gpus_of(device: str) -> int:
    """0 or 1 for auto, cpu or gpu. Raises Unloadable if there is none and gpu is asked for."""
    import torch

    gpus = int(device != "cpu" and torch.cuda.is_available())
    if device == "gpu" and not gpus:
        raise Unloadable(
            "`evaluation.comet_device` is gpu, but the process that scores sees no GPU; use auto "
            "or cpu"
        )
    return gpus


def sees_references(model: Any) -> bool:
    """Whether a loaded model takes references.

    A unified model (UniTE, xCOMET) that works with and without reports `requires_references` as
    false; with `ref` among its segments it is meant to be used with them.
    """
    segments = model.hparams.get("input_segments") or []
    return bool(model.requires_references()) or "ref" in segments
