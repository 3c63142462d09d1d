"""Means of models: by hand, and what must hold of every mean."""

import pytest
import torch
from safetensors.torch import load_file
from test_adapters import LORA, TRAINING, tuned
from tiny_models import byte_level, llama

from mtray.errors import ConfigError, RunError
from mtray.training.adapters import merged, prepare
from mtray.training.merging import checked_shares, load_merged, save_whole, weighted_mean

SHARES = {"a": 0.2, "b": 0.5, "c": 0.3}


@pytest.fixture
def files(tmp_path):
    """Three tiny models with different weights."""
    found = {}
    for seed, name in enumerate(SHARES):
        model = llama(byte_level())
        torch.manual_seed(seed)
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(0.1 * torch.randn_like(weight))
        found[name] = tmp_path / f"{name}.safetensors"
        save_whole(model, found[name])
    return found


def weights(files, shares):
    model = llama(byte_level())
    load_merged(model, files, shares)
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@pytest.mark.parametrize(
    "tensors, shares, expected",
    [
        ([[1.0, 2.0], [3.0, 6.0]], [0.5, 0.5], [2.0, 4.0]),
        ([[1.0, 2.0], [3.0, 6.0]], [0.75, 0.25], [1.5, 3.0]),
        ([[1.0], [2.0], [8.0]], [0.5, 0.25, 0.25], [3.0]),
        ([[0.1]], [1.0], [0.1]),
    ],
)
def test_means_by_hand(tensors, shares, expected):
    assert (
        weighted_mean([torch.tensor(t) for t in tensors], shares).tolist()
        == torch.tensor(expected).tolist()
    )


@pytest.mark.parametrize("alone", SHARES)
def test_one_share_of_1_is_the_pure_model_bit_for_bit(files, alone):
    found = weights(files, {name: float(name == alone) for name in files})
    assert same(found, load_file(files[alone]))


def test_the_order_of_the_models_changes_no_bit(files):
    first = weights(files, SHARES)
    turned = weights(files, dict(reversed(SHARES.items())))
    assert same(first, turned)
    assert not same(first, weights(files, {"a": 0.5, "b": 0.2, "c": 0.3}))


def test_equal_models_have_themselves_as_mean(files):
    alike = dict.fromkeys(files, files["b"])
    for name, weight in weights(alike, SHARES).items():
        torch.testing.assert_close(weight, load_file(files["b"])[name])


@pytest.mark.parametrize(
    "shares", [{"a": 0.5, "b": 0.4}, {"a": 1.2, "b": -0.2}, {"a": 0.0}, {}, {"a": 1.001}]
)
def test_shares_that_are_none_are_refused(files, shares):
    with pytest.raises(ValueError, match="0 or more and sum to 1"):
        checked_shares(shares)
    with pytest.raises(ValueError, match="0 or more and sum to 1"):
        load_merged(llama(byte_level()), files, shares)


def test_of_adapters_the_products_are_averaged(tmp_path):
    """Not the factors: the mean of products B A is not the product of the means."""
    found = {}
    for name, seed in (("a", 1), ("b", 2)):
        module = prepare(llama(byte_level()), LORA, TRAINING, 1).model
        torch.manual_seed(seed)
        with torch.no_grad():
            for p in module.parameters():
                if p.requires_grad:
                    p.copy_(torch.randn_like(p))
        before = {n: p.clone() for n, p in module.named_parameters()}
        save_whole(module, tmp_path / name)
        assert all(torch.equal(p, before[n]) for n, p in module.named_parameters()), "unchanged"
        layer = module.get_base_model().model.layers[0].mlp.up_proj
        a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        found[name] = (b @ a).detach() * layer.scaling["default"]
    files = {name: tmp_path / name for name in found}
    got = weights(files, {"a": 0.25, "b": 0.75})
    base = dict(llama(byte_level()).named_parameters())
    name = "model.layers.0.mlp.up_proj.weight"
    expected = base[name].detach() + 0.25 * found["a"] + 0.75 * found["b"]
    torch.testing.assert_close(got[name], expected)
    assert got.keys() == base.keys() == load_file(files["a"]).keys()


def test_a_trained_adapter_answers_as_its_whole_weights(tmp_path):
    engine, _, _ = tuned()
    save_whole(engine.module, tmp_path / "a")
    got = weights({"a": tmp_path / "a"}, {"a": 1.0})
    with merged(engine.module):
        layers = engine.module.get_base_model().model.layers
        for i, layer in enumerate(layers):
            name = f"model.layers.{i}.self_attn.q_proj.weight"
            assert torch.equal(got[name], layer.self_attn.q_proj.base_layer.weight)


def test_files_that_are_none_of_the_model_are_refused(files, tmp_path):
    model = llama(byte_level())
    (tmp_path / "cut").write_bytes(b"cut")
    with pytest.raises(RunError, match="not a readable file of weights"):
        load_merged(model, {"a": tmp_path / "cut"}, {"a": 1.0})
    module = prepare(llama(byte_level()), LORA, TRAINING, 1).model
    with pytest.raises(RunError, match="has other weights than the study's model"):
        load_merged(module, files, {"a": 1.0})


def test_quantized_weights_are_refused(tmp_path):
    model = llama(byte_level())
    model.is_quantized = True
    with pytest.raises(ConfigError, match="merged models need full or lora"):
        save_whole(model, tmp_path / "a")
