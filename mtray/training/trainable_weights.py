"""The weights that a training changed, in one file: an adapter, or what was not frozen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mtray.errors import RunError
from mtray.files import replacing


def trainable_weights(module: Any) -> dict[str, Any]:
    """The parameters that are trained, by name."""
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


@contextmanager
def restored_afterwards(weights: Iterable[Any]) -> Iterator[None]:
    """At the end the weights are what they were, bit for bit; a copy is in the CPU's memory."""
    import torch

    kept = [(weight, weight.detach().to("cpu", copy=True)) for weight in weights]
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, before in kept:
                weight.copy_(before)


def save_trainable(module: Any, path: Path) -> None:
    """Whole or not at all."""
    from safetensors.torch import save_file

    tensors = {n: p.detach().cpu().contiguous() for n, p in trainable_weights(module).items()}
    with replacing(path) as partial:
        save_file(tensors, partial)


def load_trainable(module: Any, path: Path) -> None:
    """Put them into a model in which the same weights are trained. RunError where they are
    others."""
    import torch
    from safetensors import SafetensorError, safe_open

    wanted = trainable_weights(module)
    try:
        with safe_open(path, "pt") as file, torch.no_grad():  # type: ignore[no-untyped-call]
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            if shapes != {name: tuple(weight.shape) for name, weight in wanted.items()}:
                raise RunError(f"{path}: holds other weights than the trial's recipe moves")
            for name, weight in wanted.items():
                weight.copy_(file.get_tensor(name))
    except (OSError, SafetensorError) as error:
        raise RunError(f"{path}: not a readable file of weights: {error}") from None
