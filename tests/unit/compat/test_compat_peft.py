"""What we take of peft beyond its interface is still there."""

import pytest
import torch
from tiny_models import byte_level, llama

from mtray.compat.peft import (
    adapted_layers,
    added_by_adapters,
    base_weight,
    is_adapter_weight,
    is_base_weight,
    name_without_adapter,
)

peft = pytest.importorskip("peft")


@pytest.fixture
def adapted():
    """A model with adapters of known products: rank 2, both factors of ones, scaled by 3."""
    config = peft.LoraConfig(r=2, lora_alpha=6, target_modules=["q_proj", "up_proj"])
    model = peft.get_peft_model(llama(byte_level()), config)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.fill_(1.0)
    return model


def test_names_tell_what_is_beside_an_adapter_and_what_is_one(adapted):
    before = dict(llama(byte_level()).named_parameters())
    names = [name for name, _ in adapted.get_base_model().named_parameters()]
    adapters = {name for name in names if is_adapter_weight(name)}
    bases = {name for name in names if is_base_weight(name)}
    assert bases and not bases & adapters and len(adapters) == 2 * len(bases)
    assert {name_without_adapter(name) for name in set(names) - adapters} == set(before)
    assert {name_without_adapter(n) for n in bases} == {
        n for n in before if n.endswith(("q_proj.weight", "up_proj.weight"))
    }
    trained = {n for n, p in adapted.get_base_model().named_parameters() if p.requires_grad}
    assert trained == adapters


def test_every_adapted_layer_is_found_and_what_it_adds(adapted):
    from peft.tuners.lora import LoraLayer

    inner = adapted.get_base_model()
    found = dict(adapted_layers(inner))
    assert found == {n: m for n, m in inner.named_modules() if isinstance(m, LoraLayer)}
    before = dict(llama(byte_level()).named_modules())
    for name, layer in found.items():
        (added,) = added_by_adapters(layer)
        # 2 columns of ones by 2 rows of ones, times 6 / 2
        assert added.shape == before[name].weight.shape and bool((added == 6.0).all())
        assert torch.equal(base_weight(layer), layer.get_base_layer().weight)
    assert list(adapted_layers(llama(byte_level()))) == []


def test_base_and_added_are_the_merged_weight(adapted):
    wanted = {
        name: base_weight(layer) + next(added_by_adapters(layer))
        for name, layer in adapted_layers(adapted.get_base_model())
    }
    merged = adapted.merge_and_unload()
    assert wanted
    for name, weight in wanted.items():
        assert torch.equal(merged.get_submodule(name).weight, weight)
