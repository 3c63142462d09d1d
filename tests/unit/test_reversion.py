"""Weights between the base model's and the tuned ones: exact at both ends, the mean half way, and a
point of its own in a run."""

import pytest
import torch
from tiny_models import TEXTS, byte_level, examples_of, frozen, llama

from mtray.schema import Training
from mtray.training.engine import TorchEngine
from mtray.training.loop import Tuning, finetune
from mtray.training.reversion import InitialWeights
from mtray.training.weight_distance import weight_distances

IDS = torch.tensor([[5, 6, 7, 8, 9, 10]])


def outputs(model):
    with torch.no_grad():
        return model(IDS).logits.clone()


@pytest.fixture(scope="module")
def tuned():
    """The origin, the tuned model, the base's outputs and the tuned ones; block 0 is frozen."""
    tokenizer = byte_level()
    examples = examples_of(tokenizer, TEXTS * 4)
    model, origin, training = (
        llama(tokenizer),
        InitialWeights(),
        Training(batch_examples=8, epochs=2),
    )
    base = outputs(model)

    def build(marked):
        origin.take(marked)
        return TorchEngine(marked, training, "fp32")

    finetune(build, frozen(model), examples, Tuning(training, "fp32", 3e-3, seed=1))
    return origin, model.eval(), base, outputs(model)


def test_nothing_is_left_at_0_and_nothing_changed_at_1(tuned):
    origin, model, base, whole = tuned
    assert not torch.allclose(base, whole, atol=1e-2)
    with origin.at(model, 0.0):
        assert torch.equal(outputs(model), base)
    with origin.at(model, 1.0):
        assert torch.equal(outputs(model), whole)
    with pytest.raises(KeyError), origin.at(model, 0.3):
        assert not torch.allclose(outputs(model), whole)
        raise KeyError
    assert torch.equal(outputs(model), whole), "bit for bit what it was, whatever happened"


def test_half_way_a_linear_model_gives_the_mean():
    model = torch.nn.Linear(3, 2)
    x, origin = torch.randn(5, 3), InitialWeights()
    origin.take(model)
    before = model(x).detach()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight))
    after = model(x).detach()
    for alpha in (0.25, 0.5, 0.75):
        with origin.at(model, alpha):
            torch.testing.assert_close(model(x), before + alpha * (after - before))


def test_only_what_moves_is_copied(tuned):
    origin, model, *_ = tuned
    frozen = [n for n, _ in model.named_parameters() if n.startswith("model.layers.0.")]
    assert frozen and not set(frozen) & set(origin.weights)


def adapted():
    """A tiny model with LoRA on its queries, as it begins, and as if it had been trained."""
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj"], init_lora_weights=True)
    model = peft.get_peft_model(llama(byte_level()), config).eval()
    origin = InitialWeights()
    origin.take(model)
    torch.manual_seed(3)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.add_(0.3 * torch.randn_like(weight))
    return origin, model


def test_of_an_adapter_the_difference_is_scaled():
    origin, model = adapted()
    layer = model.base_model.model.model.layers[0].self_attn.q_proj
    whole, delta = outputs(model), layer.get_delta_weight("default").detach().clone()
    with origin.at(model, 0.25):
        torch.testing.assert_close(layer.get_delta_weight("default"), 0.25 * delta)
        assert not torch.allclose(outputs(model), whole)
    with origin.at(model, 0.0), model.disable_adapter():
        base = outputs(model)
    with origin.at(model, 0.0):
        assert torch.equal(outputs(model), base)
    assert torch.equal(outputs(model), whole)


def test_movement_by_hand():
    model = llama(byte_level())
    origin = InitialWeights()
    for name, weight in model.named_parameters():
        weight.requires_grad_(not name.startswith("model.layers.0."))
    origin.take(model)
    up = model.model.layers[1].mlp.up_proj.weight
    with torch.no_grad():
        up.add_(0.5)
        model.lm_head.weight.mul_(1.25)
    found, mean = weight_distances(model, origin.weights)
    assert list(found) == ["block 1", "embeddings", "head", "rest"], "what is frozen is left out"
    block = [w for n, w in origin.weights.items() if n.startswith("model.layers.1.")]
    begun = sum(float(w.square().sum()) for w in block) ** 0.5
    gone = 0.5 * up.numel() ** 0.5
    assert found["block 1"] == pytest.approx(gone / begun, rel=1e-4)
    assert found["head"] == pytest.approx(0.25, rel=1e-4)
    assert found["embeddings"] == found["rest"] == 0
    head = 0.25 * float(origin.weights["lm_head.weight"].norm())
    assert mean == pytest.approx((gone + head) / len(origin.weights), rel=1e-4)


def test_the_mean_is_over_tensors(tuned):
    """MPD: of the Euclidean norms of the differences."""
    origin, model, *_ = tuned
    norms = [
        float((p.detach().double() - origin.weights[n].double()).norm())
        for n, p in model.named_parameters()
        if n in origin.weights
    ]
    expected = sum(norms) / len(norms)
    assert weight_distances(model, origin.weights)[1] == pytest.approx(expected, rel=1e-5)


def test_movement_of_an_adapter_is_what_it_adds():
    origin, model = adapted()
    found, mean = weight_distances(model, origin.weights)
    layers = [block.self_attn.q_proj for block in model.base_model.model.model.layers]
    gone = [float(layer.get_delta_weight("default").detach().norm()) for layer in layers]
    begun = [float(layer.get_base_layer().weight.detach().norm()) for layer in layers]
    expected = {f"block {i}": a / b for i, (a, b) in enumerate(zip(gone, begun, strict=True))}
    assert found == pytest.approx(expected, rel=1e-5)
    assert mean == pytest.approx(sum(gone) / 2, rel=1e-5)
