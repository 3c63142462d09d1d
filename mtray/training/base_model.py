"""The base model, loaded once for many trials; each trial gets its own copy."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import Any

from mtray.control_group import memory_limit
from mtray.training.models import load_model, load_tokenizer

# share of the machine's memory that the base models of all its workers together may take
SHARE = 0.3


@dataclass
class BaseModels:
    """Loads models and tokenizers by name. With `keep`, the last full-precision model stays in main
    memory, if the copies of all `workers` of the machine take a small part of it, and callers get a
    bitwise copy. Quantized weights are read again for each trial: they are made on the GPU."""

    keep: bool = False
    workers: int = 1
    _models: dict[tuple[str, bool], Any] = field(default_factory=dict)
    _tokenizers: dict[tuple[str, bool], Any] = field(default_factory=dict)

    def read(self, name: str, trust_remote_code: bool = False) -> None:
        """Read a model and its tokenizer ahead of their first use, where they are to be kept."""
        if self.keep:
            self._kept(name, trust_remote_code)
            self._kept_tokenizer(name, trust_remote_code)

    def model(self, name: str, trust_remote_code: bool = False, in_4_bits: bool = False) -> Any:
        """Like `load_model`."""
        if not self.keep or in_4_bits:
            return load_model(name, trust_remote_code, in_4_bits)
        model = self._kept(name, trust_remote_code)
        return copied(model) if self._models else model

    def _kept(self, name: str, trust_remote_code: bool) -> Any:
        """The model that is kept, or a new one that there is no room to keep."""
        key = name, trust_remote_code
        if key not in self._models:
            self._models.clear()
            model = load_model(name, trust_remote_code)
            if not self._fits(model):
                return model
            self._models[key] = model.to("cpu")
        return self._models[key]

    def _fits(self, model: Any) -> bool:
        held = sum(p.numel() * p.element_size() for p in model.parameters())
        return bool(held * self.workers <= SHARE * main_memory())

    def tokenizer(self, name: str, trust_remote_code: bool = False) -> Any:
        """Like `load_tokenizer`."""
        if not self.keep:
            return load_tokenizer(name, trust_remote_code)
        return copy.deepcopy(self._kept_tokenizer(name, trust_remote_code))

    def _kept_tokenizer(self, name: str, trust_remote_code: bool) -> Any:
        key = name, trust_remote_code
        if key not in self._tokenizers:
            self._tokenizers[key] = load_tokenizer(name, trust_remote_code)
        return self._tokenizers[key]


def main_memory() -> int:
    """Bytes of the machine, or of the container that this process is in."""
    import psutil

    total = int(psutil.virtual_memory().total)
    return min(total, memory_limit() or total)


def copied(model: Any) -> Any:
    """A copy of the model with its own weights in memory, on the GPU where there is one; tied
    weights stay tied. The original must be in main memory."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    # weights go straight to the device: `deepcopy` treats the entries of its memo as copied
    memo: dict[int, Any] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        own = tensor.detach().to(device, copy=True)
        if isinstance(tensor, torch.nn.Parameter):
            own = torch.nn.Parameter(own, requires_grad=tensor.requires_grad)
        memo[id(tensor)] = own
    return copy.deepcopy(model, memo)
