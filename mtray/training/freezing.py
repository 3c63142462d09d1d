"""Which transformer blocks are frozen."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mtray.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

    from mtray.schema import Recipe

Scores = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FrozenBlocks:
    """The frozen blocks, counted from 0 at the input, and the score of every block that they were
    chosen by, if any."""

    blocks: tuple[int, ...] = ()
    scores: tuple[float, ...] = ()


def transformer_blocks(model: nn.Module) -> list[nn.Module]:
    """The model's stack of transformer blocks, from the input on: its longest list of modules of
    one class that is not nested in another (as the experts of a block are). An encoder's come
    before its decoder's.

    Raises ConfigError when there is none (then `frozen_layers` must be 0).
    """
    config: Any = getattr(model, "config", None)
    if getattr(config, "is_encoder_decoder", False):
        parts: tuple[Any, ...] = (model.get_encoder(), model.get_decoder())  # type: ignore[operator]
        return [block for part in parts for block in _stack(part)]
    return _stack(model)


def _stack(model: nn.Module) -> list[nn.Module]:
    from torch import nn

    stacks: dict[str, Any] = {
        name: m
        for name, m in model.named_modules()
        if isinstance(m, nn.ModuleList) and len({type(block) for block in m}) == 1
    }
    outermost: list[Any] = [
        m for name, m in stacks.items() if not any(name.startswith(f"{other}.") for other in stacks)
    ]
    if not outermost:
        raise ConfigError(
            f"{type(model).__name__}: no stack of transformer blocks found; `frozen_layers` must "
            "be 0 and `method` full"
        )
    return max((list(m) for m in outermost), key=len)


def freeze(model: nn.Module, recipe: Recipe, seed: int, earlier: str | None = None) -> FrozenBlocks:
    """Freeze `frozen_layers` blocks by the recipe's `freeze_policy`, and embeddings by its
    `freeze_embeddings`. Norms are always trained.

    bottom, top: the blocks nearest the input or the output. random: drawn by seed and recipe (LF_H1
    of "Exploring Two-Phase Continual Instruction Fine-tuning", 2410.16006). most_changed: those
    farthest from `earlier`, the folder of an earlier version of the model (LF_H2, ibid.). snr:
    those with the least signal, so that the others are trained (`signal_ranks`).

    Raises ConfigError when the model has fewer blocks.
    """
    freeze_embeddings(model, recipe.freeze_embeddings)
    layers = recipe.frozen_layers
    if not layers:
        return FrozenBlocks()
    blocks = transformer_blocks(model)
    if layers > len(blocks):
        raise ConfigError(
            f"frozen_layers is {layers}, but the model has {len(blocks)} transformer blocks"
        )
    scores: Scores = np.empty(0)
    if recipe.freeze_policy == "random":
        order = _generator(recipe, seed).permutation(len(blocks))
    elif recipe.freeze_policy == "most_changed":
        scores = distances(model, earlier)
        order = np.argsort(-scores, kind="stable")
    elif recipe.freeze_policy == "snr":
        scores = signal_ranks(blocks)
        order = np.argsort(scores, kind="stable")
    else:
        order = np.arange(len(blocks))[:: -1 if recipe.freeze_policy == "top" else 1]
    chosen = sorted(order[:layers].tolist())
    for index in chosen:
        blocks[index].requires_grad_(False)
    return FrozenBlocks(tuple(chosen), tuple(scores.tolist()))


def freeze_embeddings(model: nn.Module, which: str) -> None:
    """Freeze the embeddings of the input, or of input and output (`Recipe.freeze_embeddings`).
    Where both are one tensor, it is frozen in either case."""
    getters = {"none": (), "input": ("get_input_embeddings",),
               "both": ("get_input_embeddings", "get_output_embeddings")}  # fmt: skip
    for getter in getters[which]:
        found = getattr(model, getter)()
        if found is None:
            raise ConfigError(
                f"freeze_embeddings is {which}, and {type(model).__name__} has no such embeddings; "
                "allowed: none, input"
            )
        found.requires_grad_(False)


def _generator(recipe: Recipe, seed: int) -> np.random.Generator:
    text = json.dumps([seed, recipe.hashed_fields()], sort_keys=True)
    digest = hashlib.sha256(text.encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def earlier_model(folder: str | None) -> str:
    """`training.freeze_from`; ConfigError where it is not set."""
    if folder is None:
        raise ConfigError(
            "freeze_policy is most_changed, which compares with an earlier model: set "
            "`training.freeze_from` to its folder or to run:NAME/NUMBER; with `model: "
            "run:NAME/NUMBER` it is the model that this trial began with"
        )
    return folder


def distances(model: nn.Module, earlier: str | None) -> Scores:
    """How far every block is from the earlier model's: the Euclidean norm of the difference of all
    its weights, shape (blocks,). Raises ConfigError where that is not the same architecture."""
    import torch

    from mtray.training.models import stored_weights

    earlier = earlier_model(earlier)
    names = {id(p): name for name, p in model.named_parameters()}
    found = []
    with stored_weights(earlier) as stored:
        for block in transformer_blocks(model):
            squares = 0.0
            for parameter in block.parameters():
                name = names[id(parameter)]
                before = stored(name)
                if before is None or before.shape != parameter.shape:
                    shape = "none" if before is None else tuple(before.shape)
                    raise ConfigError(
                        f"training.freeze_from: {earlier} is not an earlier form of this model: "
                        f"{name} has the shape {tuple(parameter.shape)}, there {shape}"
                    )
                change = parameter.detach().float() - before.to(parameter.device).float()
                squares += float(torch.linalg.vector_norm(change)) ** 2
            found.append(squares**0.5)
    return np.array(found)


def signal_to_noise(matrix: Any) -> float:
    """The signal-to-noise ratio of one weight matrix, from its singular values S: the sum of those
    above the Marchenko-Pastur bound over the sum of those below, divided by the largest. The bound
    is sigma * (1 + sqrt(beta)), with beta the shorter side over the longer, and sigma the
    interquartile range of S over 1.349, as for a normal distribution (Hartford et al. 2024,
    "Spectrum: Targeted Training on Signal to Noise Ratio", 2406.06623, and the authors' code).
    Infinite where nothing is below."""
    import torch

    values = torch.linalg.svdvals(matrix.detach().float())
    low, high = torch.quantile(values, torch.tensor([0.25, 0.75], device=values.device))
    beta = min(matrix.shape) / max(matrix.shape)
    bound = (high - low) / 1.349 * (1 + beta**0.5)
    signal, noise = values[values > bound].sum(), values[values <= bound].sum()
    return float(signal / noise / values.max())


def signal_ranks(blocks: list[nn.Module]) -> Scores:
    """How much signal each block has, 0 (least) to 1: the mean rank of its weight matrices'
    signal-to-noise ratios, each among the matrices of the same name in all blocks, as Spectrum
    ranks them. Shape (blocks,)."""
    ratios: dict[str, dict[int, float]] = {}
    for index, block in enumerate(blocks):
        for name, parameter in block.named_parameters():
            if parameter.dim() == 2:
                ratios.setdefault(name, {})[index] = signal_to_noise(parameter)
    ranks: list[list[float]] = [[] for _ in blocks]
    for by_block in ratios.values():
        for rank, index in enumerate(sorted(by_block, key=by_block.__getitem__)):
            ranks[index].append(rank / max(1, len(by_block) - 1))
    return np.array([np.mean(r) if r else 0.0 for r in ranks])
