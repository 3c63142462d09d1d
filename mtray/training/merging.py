"""Weighted means of models that were trained from one base model: they predict the result of
training on a mixture of their data (2601.17858, 2602.00747, 2505.16066).

The mean is of whole weights. An adapter's product is added to its layer first, since the mean of
products is not the product of means.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtray.compat.peft import is_adapter_weight, name_without_adapter
from mtray.errors import ConfigError, RunError
from mtray.files import replacing
from mtray.training.adapters import merged
from mtray.unwrapped_model import unwrapped

if TYPE_CHECKING:
    import torch

ROUNDING = 1e-9  # up to which shares sum to 1


def checked_shares(shares: Mapping[str, float]) -> dict[str, float]:
    """The shares above 0, by name, sorted, so that the order of the models changes no bit of a
    mean. ValueError where one is negative or they do not sum to 1."""
    total = math.fsum(shares.values())
    if any(share < 0 for share in shares.values()) or abs(total - 1) > ROUNDING:
        raise ValueError(f"shares of models are 0 or more and sum to 1, found {dict(shares)}")
    return {name: shares[name] for name in sorted(shares) if shares[name]}


def weighted_mean(tensors: Sequence[torch.Tensor], shares: Sequence[float]) -> torch.Tensor:
    """The mean of tensors of one shape, computed in float64 and rounded once; of a single tensor
    with share 1, that tensor bit for bit."""
    import torch

    total = torch.zeros(tensors[0].shape, dtype=torch.float64)
    for tensor, share in zip(tensors, shares, strict=True):
        total += share * tensor.to("cpu", torch.float64)
    return total.to(tensors[0].dtype)


def save_whole(module: Any, path: Path) -> None:
    """Write all weights of a model, with its adapters' products merged, under the names of the
    model without adapters. ConfigError for quantized weights, to which nothing can be merged
    without loss. Written atomically."""
    from safetensors.torch import save_file

    if getattr(module, "is_quantized", False):
        raise ConfigError(
            "method: the weights of a qlora model have 4 bits, and their means do not; merged "
            "models need full or lora"
        )
    with merged(module):
        tensors = {
            name_without_adapter(name): weight.detach().cpu().contiguous()
            for name, weight in unwrapped(module).named_parameters()
            if not is_adapter_weight(name)
        }
        with replacing(path) as partial:
            save_file(tensors, partial)


def load_merged(module: Any, files: Mapping[str, Path], shares: Mapping[str, float]) -> None:
    """Give a plain model the mean of the weights in `files` (`save_whole`), a tensor at a time.
    ValueError for invalid shares (`checked_shares`), RunError if a file has other weights than the
    model or cannot be read."""
    import torch
    from safetensors import SafetensorError, safe_open

    used = checked_shares(shares)
    wanted = dict(module.named_parameters())
    shapes = {name: tuple(weight.shape) for name, weight in wanted.items()}
    with ExitStack() as stack, torch.no_grad():
        opened = []
        for name in used:
            try:
                file = stack.enter_context(safe_open(files[name], "pt"))  # type: ignore[no-untyped-call]
                held = {n: tuple(file.get_slice(n).get_shape()) for n in file.keys()}  # noqa: SIM118
            except (OSError, SafetensorError) as error:
                raise RunError(f"{files[name]}: not a readable file of weights: {error}") from None
            if held != shapes:
                raise RunError(f"{files[name]}: has other weights than the study's model")
            opened.append(file)
        for name, weight in wanted.items():
            tensors = [file.get_tensor(name) for file in opened]
            weight.copy_(weighted_mean(tensors, list(used.values())))
