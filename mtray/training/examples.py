"""A training example as token ids, and several of them as padded rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mtray.data.encoder_decoder import IGNORED

Example = tuple[npt.NDArray[np.int32], int]
# a packed row, padded rows, or source and target of an encoder-decoder model
Form = Literal["packed", "padded", "pairs"]


def collate(examples: Sequence[Example], device: Any) -> tuple[Any, Any]:
    """Right-padded token ids and labels, shape (examples, longest); labels are `IGNORED` on prompts
    and padding.

    No attention mask is needed: in a causal model no token attends to the padding after it.
    """
    import torch

    longest = max(len(ids) for ids, _ in examples)
    ids = np.zeros((len(examples), longest), np.int64)
    labels = np.full((len(examples), longest), IGNORED, np.int64)
    for row, (tokens, loss_from) in enumerate(examples):
        ids[row, : len(tokens)] = tokens
        labels[row, loss_from : len(tokens)] = tokens[loss_from:]
    return torch.from_numpy(ids).to(device), torch.from_numpy(labels).to(device)
