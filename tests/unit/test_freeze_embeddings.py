"""Embeddings that a recipe does not train."""

import pytest
import torch
from tiny_models import byte_level, llama

from mtray.errors import ConfigError
from mtray.schema import Recipe
from mtray.training.freezing import freeze, freeze_embeddings
from mtray.training.parameter_counts import count_trainable


def frozen_by(which, tied):
    """The frozen parameters, and how many numbers are not trained."""
    model = llama(byte_level())
    if tied:
        model.lm_head.weight = model.model.embed_tokens.weight
    whole = count_trainable(model)
    freeze(model, Recipe(parallel_size=1, freeze_embeddings=which), 1)
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    return frozen, whole - count_trainable(model)


INPUT, OUTPUT = "model.embed_tokens.weight", "lm_head.weight"


@pytest.mark.parametrize(
    "which, tied, frozen",
    [
        ("none", False, set()),
        ("input", False, {INPUT}),
        ("both", False, {INPUT, OUTPUT}),
        ("input", True, {INPUT}),  # which is the output's as well
        ("both", True, {INPUT}),
    ],
)
def test_which_embeddings_are_frozen(which, tied, frozen):
    found, numbers = frozen_by(which, tied)
    assert found == frozen and numbers == len(frozen) * len(byte_level()) * 32


def test_a_model_without_output_embeddings():
    model = torch.nn.Linear(2, 2)
    model.get_input_embeddings = lambda: torch.nn.Embedding(2, 2)
    model.get_output_embeddings = lambda: None
    with pytest.raises(ConfigError, match="freeze_embeddings is both, and Linear has no such"):
        freeze_embeddings(model, "both")
