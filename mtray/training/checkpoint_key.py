"""One hash of everything a checkpoint depends on: recipe, data, model, training, seed, libraries
and code. A training resumed with any of them changed would not be the same training."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtray.runtime import code_hash, version_of
from mtray.schema import KEPT_BESIDE, TRAINING_PARAMETERS, Mix, Recipe, Study, training_of
from mtray.training.examples import Example
from mtray.training.loop import example_lengths

# numpy because it shuffles the examples
LIBRARIES = ("torch", "transformers", "deepspeed", "peft", "bitsandbytes", "numpy")
LOOKED_AT = 64  # evenly spaced examples of a mix whose tokens are part of the key


def checkpoint_key(
    study: Study, recipe: Recipe, seed: int, examples: Sequence[Example], mix: Mix, engine: str
) -> str:
    """`engine`: its name and precision. A setting that the recipe gives counts like the study's
    own."""
    training = training_of(recipe, study.training)
    shares = [
        share.model_dump(mode="json", exclude={"store"})  # depends on the machine
        for share in mix.shares
    ]
    inputs = {
        "recipe": recipe.model_dump(mode="json", exclude=set(TRAINING_PARAMETERS)), "seed": seed,
        "training": training.model_dump(mode="json", exclude=set(KEPT_BESIDE)),
        # a trial's checkpoint also holds the intermediate checkpoints evaluated so far
        "intermediate": study.evaluation.intermediate_checkpoints,
        "model": [study.model, *_files(study.model)], "mix": shares, "data": _data_hash(examples),
        "engine": engine, "code": code_hash(Path(__file__).parent),
        "libraries": [version_of(name) or "" for name in LIBRARIES],
    }  # fmt: skip
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _data_hash(examples: Sequence[Example]) -> str:
    """Hash of all lengths and of the tokens of some examples."""
    digest = hashlib.sha256(np.ascontiguousarray(example_lengths(examples)).tobytes())
    for row in np.linspace(0, len(examples) - 1, min(LOOKED_AT, len(examples)), dtype=int):
        ids, loss_from = examples[int(row)]
        digest.update(np.ascontiguousarray(ids).tobytes() + str(loss_from).encode())
    return digest.hexdigest()


def _files(model: str) -> list[Any]:
    """Names, sizes and times of a model's weights where it is a folder; for a hub name, the name is
    enough."""
    folder = Path(os.path.expanduser(model))
    stats = [(file.name, file.stat()) for file in sorted(folder.glob("*.safetensors"))]
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
