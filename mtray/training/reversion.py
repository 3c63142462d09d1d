"""Part of the way back from the tuned weights to the base model's: w0 + alpha (w - w0) over what
moved, without training again (post-hoc reversion, arXiv 2606.00284). An adapter's difference is the
product of two factors, so the one that begins at zero (LoRA's B) is scaled, and the other stays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mtray.training.trainable_weights import restored_afterwards, trainable_weights

if TYPE_CHECKING:
    import torch

# factors of an adapter that do not begin at zero: theirs is not part of the difference
OTHER_FACTORS = ("lora_A", "lora_embedding_B")


class InitialWeights:
    """The trainable weights as they were before the training, by name, in the CPU's memory."""

    def __init__(self) -> None:
        self.weights: dict[str, torch.Tensor] = {}

    def take(self, model: Any) -> None:
        """Called once it is marked what is trained, and before an engine parts the weights."""
        self.weights = {
            name: weight.detach().to("cpu", copy=True)
            for name, weight in trainable_weights(model).items()
        }

    @contextmanager
    def at(self, module: Any, alpha: float) -> Iterator[None]:
        """The whole module with its weights at `alpha`, 0: the base model's, 1: as they are. At the
        end they are again what they were, bit for bit."""
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
