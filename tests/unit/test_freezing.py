"""Which weights are trained."""

import numpy as np
import pytest
import torch
from tiny_models import byte_level, llama, other_models
from torch import nn

from mtray.errors import ConfigError, ModelError
from mtray.schema import Recipe, Training
from mtray.training.adapters import prepare
from mtray.training.engine import TorchEngine
from mtray.training.freezing import (
    _generator,
    distances,
    freeze,
    signal_ranks,
    signal_to_noise,
    transformer_blocks,
)
from mtray.training.parameter_counts import count_trainable


@pytest.fixture
def model():
    return llama(byte_level())


def recipe(layers, policy="bottom", **more):
    return Recipe(parallel_size=1, frozen_layers=layers, freeze_policy=policy, **more)


def deep(layers=6):
    """A model with more blocks than two."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=layers,
        intermediate_size=32,
        num_attention_heads=2,
    )
    return LlamaForCausalLM(config)


def still(model):
    """Blocks of which nothing moves."""
    blocks = transformer_blocks(model)
    return tuple(
        i for i, b in enumerate(blocks) if not any(p.requires_grad for p in b.parameters())
    )


def test_the_blocks_nearest_the_input_are_frozen(model):
    total = sum(p.numel() for p in model.parameters())
    block = sum(p.numel() for p in model.model.layers[0].parameters())
    assert freeze(model, recipe(1), 1).blocks == (0,)
    assert count_trainable(model) == total - block
    names = {name for name, p in model.named_parameters() if p.requires_grad}
    assert not any(name.startswith("model.layers.0.") for name in names)
    assert any(name.startswith("model.layers.1.") for name in names)
    assert {"model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"} <= names


def test_none_and_all(model):
    total = sum(p.numel() for p in model.parameters())
    assert freeze(model, recipe(0), 1).blocks == () and count_trainable(model) == total
    blocks = sum(p.numel() for p in model.model.layers.parameters())
    freeze(model, recipe(2), 1)
    assert count_trainable(model) == total - blocks
    with pytest.raises(ConfigError, match="frozen_layers is 3, but the model has 2 transformer"):
        freeze(model, recipe(3), 1)


def test_top_and_random():
    model = deep()
    assert freeze(model, recipe(2, "top"), 1).blocks == still(model) == (4, 5)
    drawn = [freeze(deep(), recipe(3, "random"), seed).blocks for seed in range(20)]
    assert all(len(set(b)) == 3 for b in drawn)
    assert len(set(drawn)) > 5 and {i for b in drawn for i in b} == set(range(6))
    assert drawn[7] == freeze(deep(), recipe(3, "random"), 7).blocks
    other = [freeze(deep(), recipe(3, "random", learning_rate=1e-4), s).blocks for s in range(20)]
    assert other != drawn, "another recipe is another draw"
    # pinned: a recorded trial that is trained again freezes the same blocks
    pinned = recipe(3, "random", learning_rate=1e-3)
    assert _generator(pinned, 7).permutation(8).tolist() == [7, 0, 6, 4, 1, 5, 3, 2]
    for later in ({"source_weights": "equal"}, {"stop_after": 0.5}):
        same = recipe(3, "random", learning_rate=1e-3, **later)
        assert _generator(same, 7).permutation(8).tolist() == [7, 0, 6, 4, 1, 5, 3, 2]


def test_those_that_changed_most(tmp_path):
    """LF_H2, with distances known beforehand."""
    model = deep()
    model.save_pretrained(tmp_path)
    byte_level().save_pretrained(tmp_path)
    with torch.no_grad():
        model.model.layers[4].mlp.up_proj.weight[0, :2] += torch.tensor([3.0, 4.0])
        model.model.layers[1].self_attn.q_proj.weight[1, 1] -= 2.0
        model.model.layers[1].input_layernorm.weight[0] += 1.5
        model.lm_head.weight += 1  # no block
    wanted = [0, 2.5, 0, 0, 5, 0]
    assert distances(model, str(tmp_path)) == pytest.approx(wanted, abs=1e-5)
    found = freeze(model, recipe(2, "most_changed"), 1, str(tmp_path))
    assert found.blocks == still(model) == (1, 4)
    assert found.scores == pytest.approx(wanted, abs=1e-5)


def test_an_earlier_model_that_is_another(tmp_path):
    with pytest.raises(ConfigError, match=r"set `training\.freeze_from` to its folder"):
        freeze(deep(), recipe(1, "most_changed"), 1)
    with pytest.raises(ModelError, match="no such folder"):
        freeze(deep(), recipe(1, "most_changed"), 1, "nowhere")
    deep(3).save_pretrained(tmp_path)
    byte_level().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=r"not an earlier form.*layers\.3\..* there none"):
        freeze(deep(), recipe(1, "most_changed"), 1, str(tmp_path))


def test_signal_to_noise_by_hand():
    # quartiles of 8, 1, 1, 0.5, 0.5 are 0.5 and 1: sigma .5 / 1.349, twice that is the bound .741,
    # as the matrix is square; above are 8 and two 1s: 10 / 1 / 8
    matrix = torch.diag(torch.tensor([8.0, 1.0, 1.0, 0.5, 0.5]))
    assert signal_to_noise(matrix) == pytest.approx(10 / 8)
    # twice as many columns: bound .371 * (1 + sqrt(.5)) = .633, the same are above
    wide = torch.cat([matrix, torch.zeros(5, 5)], dim=1)
    assert signal_to_noise(wide) == pytest.approx(10 / 8)
    assert signal_to_noise(torch.eye(3)) == np.inf


def test_blocks_with_least_signal_are_frozen():
    model = deep()
    # four directions as strong as any stand out of weak ones
    values = 0.01 * torch.cat([torch.ones(4), torch.linspace(0.5, 0, 12)])
    with torch.no_grad():
        for index in (0, 3):
            for p in model.model.layers[index].parameters():
                if p.dim() == 2:
                    left, _, right = torch.linalg.svd(p, full_matrices=False)
                    p.copy_(left @ torch.diag(values) @ right)
    ranks = signal_ranks(transformer_blocks(model))
    assert set(np.argsort(-ranks)[:2]) == {0, 3} and ranks.max() <= 1 and ranks.min() >= 0
    found = freeze(model, recipe(4, "snr"), 1)
    assert found.blocks == still(model) == (1, 2, 4, 5)
    assert found.scores == pytest.approx(ranks.tolist())


@pytest.mark.parametrize("policy", ["bottom", "top", "random", "snr"])
def test_the_optimiser_has_states_for_what_moves_alone(policy):
    prepared = prepare(deep(), recipe(4, policy), Training(), 1)
    engine = TorchEngine(prepared.model, Training(), "fp32")
    ids = torch.arange(3, 13)[None]
    engine.backward(engine.forward(input_ids=ids).logits.float().logsumexp(-1).sum(), last=True)
    engine.step(1e-3)
    states = engine._optimizer.state
    held = sum(s["exp_avg"].numel() for s in states.values())
    assert held == count_trainable(prepared.model)
    assert len(states) == sum(p.requires_grad for p in prepared.model.parameters())
    assert len(prepared.notes["frozen_blocks"]) == 4


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
    freeze(model, recipe(3), 1)
    assert count_trainable(model) == 6


def test_a_model_without_a_stack():
    with pytest.raises(ConfigError, match="Linear: no stack of transformer blocks"):
        freeze(nn.Linear(2, 2), recipe(1), 1)
    assert freeze(nn.Linear(2, 2), recipe(0), 1).blocks == ()
