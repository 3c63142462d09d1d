"""The trained weights in one file: an adapter, or the parameters that were not frozen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mtray.errors import RunError
from mtray.files import replacing


def trainable_weights(module: Any) -> dict[str, Any]:
    """The trainable parameters, by name."""
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


@contextmanager
def restored_afterwards(weights: Iterable[Any]) -> Iterator[None]:
    """The weights are restored bit for bit at the end, from a copy in CPU memory."""
    import torch

    kept = [(weight, weight.detach().to("cpu", copy=True)) for weight in weights]
    try:
        yield
    finally:
        with torch.no_grad():
            for weight, before in kept:
                weight.copy_(before)


def save_trainable(module: Any, path: Path) -> None:
    """Written atomically."""
    from safetensors.torch import save_file

    tensors = {n: p.detach().cpu().contiguous() for n, p in trainable_weights(module).items()}
    with replacing(path) as partial:
        save_file(tensors, partial)


def load_trainable(module: Any, path: Path) -> None:
    """Load them into a model with the same trainable parameters. RunError where those differ."""
    import torch
    from safetensors import SafetensorError, safe_open

    wanted = trainable_weights(module)
    try:
        with safe_open(path, "pt") as file, torch.no_grad():  # type: ignore[no-untyped-call]
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            if shapes != {name: tuple(weight.shape) for name, weight in wanted.items()}:
                raise RunError(
                    f"{path}: has other weights than those that the trial's recipe trains"
                )
            for name, weight in wanted.items():
                weight.copy_(file.get_tensor(name))
    except (OSError, SafetensorError) as error:
        raise RunError(f"{path}: not a readable file of weights: {error}") from None
