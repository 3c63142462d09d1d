"""Which weights move."""

import pytest
from tiny_models import byte_level, llama, other_models
from torch import nn

from mtray.errors import ConfigError
from mtray.training.freezing import freeze_bottom, transformer_blocks


@pytest.fixture
def model():
    return llama(byte_level())


def test_the_blocks_nearest_the_input_are_frozen(model):
    total = sum(p.numel() for p in model.parameters())
    block = sum(p.numel() for p in model.model.layers[0].parameters())
    assert freeze_bottom(model, 1) == total - block
    moving = {name for name, p in model.named_parameters() if p.requires_grad}
    assert not any(name.startswith("model.layers.0.") for name in moving)
    assert any(name.startswith("model.layers.1.") for name in moving)
    assert {"model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"} <= moving


def test_none_and_all(model):
    total = sum(p.numel() for p in model.parameters())
    assert freeze_bottom(model, 0) == total
    blocks = sum(p.numel() for p in model.model.layers.parameters())
    assert freeze_bottom(model, 2) == total - blocks
    with pytest.raises(ConfigError, match="frozen_layers is 3, but the model has 2 transformer"):
        freeze_bottom(model, 3)


def test_the_stack_is_found_in_other_architectures():
    for model in other_models(byte_level()).values():
        assert len(transformer_blocks(model)) == 2


def test_experts_within_a_block_are_no_stack():
    """A mixture of experts holds more experts in a block than it has blocks."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.experts = nn.ModuleList(nn.Linear(2, 2) for _ in range(8))

    model = nn.Sequential(nn.Embedding(3, 2), nn.ModuleList(Block() for _ in range(3)))
    assert len(transformer_blocks(model)) == 3
    assert freeze_bottom(model, 3) == 6


def test_a_model_without_a_stack():
    with pytest.raises(ConfigError, match="Linear: no stack of transformer blocks"):
        freeze_bottom(nn.Linear(2, 2), 1)
    assert freeze_bottom(nn.Linear(2, 2), 0) == 6
