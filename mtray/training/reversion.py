"""Interpolation between the base model's and the tuned weights: w0 + alpha (w - w0) over the
trainable parameters, without training again (post-hoc reversion, arXiv 2606.00284). An adapter's
difference is the product of two factors, so only the one that is initialised to zero (LoRA's B) is
scaled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mtray.training.trainable_weights import restored_afterwards, trainable_weights

if TYPE_CHECKING:
    import torch

# the factors of an adapter that are not initialised to zero, and so are not scaled
OTHER_FACTORS = ("lora_A", "lora_embedding_B")


class InitialWeights:
    """The trainable parameters before training, by name, in CPU memory."""

    def __init__(self) -> None:
        self.weights: dict[str, torch.Tensor] = {}

    def take(self, model: Any) -> None:
        """Called once the trainable parameters are marked, and before an engine shards the
        weights."""
        self.weights = {
            name: weight.detach().to("cpu", copy=True)
            for name, weight in trainable_weights(model).items()
        }

    @contextmanager
    def at(self, module: Any, alpha: float) -> Iterator[None]:
        """The whole module with its weights at `alpha` (0: the base model's, 1: unchanged).
        Afterwards they are restored bit for bit."""
        import torch

        trainable = {
            name: weight
            for name, weight in module.named_parameters()
            if alpha != 1 and name in self.weights and not _is_other_factor(name)
        }
        with restored_afterwards(trainable.values()):
            with torch.no_grad():
                for name, weight in trainable.items():
                    weight.copy_(torch.lerp(self.weights[name], weight.cpu(), alpha))
            yield


def _is_other_factor(name: str) -> bool:
    return any(part in OTHER_FACTORS for part in name.split("."))
