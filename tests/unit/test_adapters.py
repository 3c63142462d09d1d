"""Low-rank adapters: what they move, and that they answer alike merged and not."""

import pytest
import torch
from tiny_models import TEXTS, byte_level, examples_of, llama, other_models

from mtray.errors import ConfigError
from mtray.evaluation.inference.engine import run_requests
from mtray.evaluation.inference.requests import Request
from mtray.schema import Recipe, Training
from mtray.training.adapters import linear_names, merged, prepare
from mtray.training.engine import TorchEngine
from mtray.training.loop import Tuning, finetune
from mtray.training.models import load_model
from mtray.training.parameter_counts import count_trainable
from mtray.training.quantization import check_qlora

LORA = Recipe(parallel_size=1, method="lora", lora_rank=4)
TRAINING = Training(batch_examples=8, epochs=6)


def tuned(recipe=LORA, training=TRAINING):
    tokenizer = byte_level()
    examples = examples_of(tokenizer, TEXTS * 4)
    model = llama(tokenizer)
    before = {n: p.clone() for n, p in model.named_parameters()}
    torch.manual_seed(0)
    prepared = prepare(model, recipe, training, 1)
    engine, record = finetune(
        lambda m: TorchEngine(m, training, "fp32"),
        prepared.model,
        examples,
        Tuning(training, "fp32", 1e-2, seed=1, notes=prepared.notes),
    )
    return engine, record, before


def test_the_adapter_moves_and_nothing_else():
    engine, record, before = tuned()
    for name, weight in before.items():
        parts = name.rsplit(".", 1)
        found = dict(engine.module.get_base_model().named_parameters())
        same = found.get(name, found.get(f"{parts[0]}.base_layer.{parts[1]}"))
        assert torch.equal(same, weight), name
    # of q, k, v, o, gate, up, down with rank 4, widths 32, 16 (two of four heads), 64
    by_hand = 4 * (64 + 48 + 48 + 64 + 96 + 96 + 96)
    assert record.trainable_parameters == 2 * by_hand == count_trainable(engine.module)
    states = engine._optimizer.state
    assert sum(s["exp_avg"].numel() for s in states.values()) == 2 * by_hand
    assert record.loss[-1][1] < 0.7 * record.loss[0][1] and record.packed


def test_alpha_is_a_multiple_of_the_rank():
    for rank, alpha, scale in ((4, 8.0, 2.0), (8, 4.0, 0.5), (8, None, 2.0)):
        recipe = LORA.model_copy(update={"lora_rank": rank, "lora_alpha": alpha})
        model = prepare(llama(byte_level()), recipe, TRAINING, 1).model
        layer = model.get_base_model().model.layers[0].mlp.up_proj
        assert layer.scaling["default"] == scale and layer.r["default"] == rank


def test_frozen_blocks_have_no_adapter():
    model = llama(byte_level())
    assert len(linear_names(model)) == 14
    assert all(n.startswith("model.layers.1.") for n in linear_names(model, (0,)))
    prepared = prepare(model, LORA.model_copy(update={"frozen_layers": 1}), TRAINING, 1)
    moved = [n for n, p in prepared.model.named_parameters() if p.requires_grad]
    assert len(moved) == 14 and all(".layers.1." in n and "lora_" in n for n in moved)
    with pytest.raises(ConfigError, match="no linear layer is left to adapt: frozen_layers is 2"):
        prepare(llama(byte_level()), LORA.model_copy(update={"frozen_layers": 2}), TRAINING, 1)


def test_other_families_have_adapters_too():
    for model in other_models(byte_level()).values():
        assert count_trainable(prepare(model, LORA, TRAINING, 1).model) > 0


def test_merged_and_unmerged_adapters_answer_alike():
    engine, _, _ = tuned()
    tokenizer = byte_level()
    asked = [Request(p, t, 12) for p, _ in TEXTS[:2] for t in (None, "bad dad", "cab")]
    base = run_requests(llama(tokenizer), tokenizer, asked)
    plain = run_requests(engine.module, tokenizer, asked)
    weights = [p.clone() for p in engine.module.parameters()]
    with merged(engine.module) as module:
        assert module.get_base_model().model.layers[0].mlp.up_proj.merged
        found = run_requests(module, tokenizer, asked)
    assert [o.text for o in found] == [o.text for o in plain]
    for a, b, c in zip(found, plain, base, strict=True):
        assert a.log_likelihood == pytest.approx(b.log_likelihood, abs=1e-4)
        assert abs(a.log_likelihood - c.log_likelihood) > 1e-2, "else nothing was trained"
    for after, weight in zip(engine.module.parameters(), weights, strict=True):
        assert torch.equal(after, weight)
    plain_model = llama(tokenizer)
    with merged(plain_model) as module:
        assert module is plain_model


def test_gradient_checkpointing_trains_alike():
    curves = [
        tuned(training=TRAINING.model_copy(update={"gradient_checkpointing": on}))[1].loss
        for on in (False, True)
    ]
    for (_, a), (_, b) in zip(*curves, strict=True):
        assert a == pytest.approx(b, rel=1e-4)


def test_few_bits_without_a_gpu():
    with pytest.raises(ConfigError, match=r"4-bit weights need a GPU.*allowed here: full, lora"):
        check_qlora(0)
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="4-bit weights need a GPU"):
            load_model("embedded", in_4_bits=True)
