"""Packed rows give the losses and gradients of every example alone."""

import numpy as np
import pytest
import torch
from tiny_models import byte_level, llama, other_models

from mtray.compat.transformers import checkpoint_activations
from mtray.data.encoder_decoder import IGNORED
from mtray.errors import ConfigError
from mtray.schema import Training
from mtray.training import packing
from mtray.training.engine import TorchEngine
from mtray.training.loop import Tuning, finetune
from mtray.training.losses import summed_loss
from mtray.training.packing import pack, packed_attention, packed_loss, use_packing
from mtray.training.schedule import packs


def some_examples(count=14, vocabulary=40, longest=30):
    """Every length from 2 up, prompts of every share, in a fixed disorder."""
    rng = np.random.default_rng(0)
    lengths = rng.permutation(np.linspace(2, longest, count).astype(int))
    return [
        (rng.integers(3, vocabulary, n).astype(np.int32), int(rng.integers(0, n))) for n in lengths
    ]


EXAMPLES = some_examples()


def gemma3():
    """Layers with and without a window, norms around every part, a factor on the embeddings."""
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    torch.manual_seed(0)
    config = Gemma3TextConfig(
        vocab_size=60, hidden_size=32, num_hidden_layers=2, intermediate_size=64, head_dim=8,
        num_attention_heads=4, num_key_value_heads=2, sliding_window=8, initializer_range=0.4,
        layer_types=["sliding_attention", "full_attention"],
    )  # fmt: skip
    return Gemma3ForCausalLM(config)


def makers():
    tokenizer = byte_level()
    others = other_models(tokenizer)
    return {
        "grouped heads": lambda: llama(tokenizer),
        "sliding window": lambda: others["sliding window"],
        "gemma3": gemma3,
    }


def gradients(model, compute):
    model.zero_grad()
    loss = compute(TorchEngine(model.eval(), Training(), "fp32"), EXAMPLES)
    loss.backward()
    return float(loss.detach()), {n: p.grad.clone() for n, p in model.named_parameters()}


def test_a_row_by_hand():
    long, short = (np.array([5, 6, 7, 8], np.int32), 2), (np.array([9, 4], np.int32), 0)
    row = pack([long, short], "cpu")
    assert row.ids[0, :6].tolist() == [9, 4, 5, 6, 7, 8]
    assert row.positions[0, :6].tolist() == [0, 1, 0, 1, 2, 3]
    kept = row.targets != IGNORED
    # of a text without a begin token the first token is never predicted
    assert row.targets[kept].tolist() == [4, 7, 8] and row.before[kept].tolist() == [0, 3, 4]
    assert [(g.start, g.end, g.rows, g.width) for g in row.groups] == [(0, 6, 2, 4)]
    assert row.groups[0].places.tolist() == [0, 1, 4, 5, 6, 7]


def test_a_row_ends_in_few_tokens_of_nobody():
    for count in (1, 5, 14):
        row = pack(EXAMPLES[:count], "cpu")
        real = sum(len(ids) for ids, _ in EXAMPLES[:count])
        assert real <= row.ids.shape[1] <= max(16, 1.07 * real + 16)
        assert row.ids.shape[1] % 16 == 0
        assert row.groups[-1].end == real


@pytest.mark.parametrize("name", makers())
def test_losses_and_gradients_are_those_of_padded_rows(name):
    model = makers()[name]()
    assert use_packing(model, EXAMPLES, Training(packing="on"))
    padded, wanted = gradients(model, summed_loss)
    before = model.config._attn_implementation
    with packed_attention(model):
        packed, found = gradients(model, packed_loss)
    assert model.config._attn_implementation == before == "sdpa"
    assert packed == pytest.approx(padded, rel=1e-5)
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-3, msg=name)


def test_gradient_checkpointing_changes_nothing():
    model = llama(byte_level()).train()
    with packed_attention(model):
        plain = gradients(model, packed_loss)
        checkpoint_activations(model, reentrant=False)
        again = gradients(model.train(), packed_loss)
    assert again[0] == plain[0]
    assert all(torch.equal(again[1][n], g) for n, g in plain[1].items())


def test_no_example_sees_another():
    """Every score of one stays as it is while all others change."""
    model = llama(byte_level())
    same, start = EXAMPLES[0]
    losses = []
    for others in (EXAMPLES[1:], [((ids + 1) % 40, n) for ids, n in EXAMPLES[1:]]):
        kept = [(ids, len(ids)) for ids, _ in others]  # prompts alone, which take no loss
        with packed_attention(model), torch.no_grad():
            engine = TorchEngine(model, Training(), "fp32")
            losses.append(float(packed_loss(engine, [*kept, (same, start)])))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


def test_models_that_cannot_are_left_alone():
    alibi = other_models(byte_level())["alibi"]
    assert not use_packing(alibi, EXAMPLES, Training())
    with pytest.raises(ConfigError, match="packing is on, but BloomForCausalLM cannot"):
        use_packing(alibi, EXAMPLES, Training(packing="on"))
    eager = llama(byte_level())
    eager.config._attn_implementation = "eager"
    with pytest.raises(ConfigError, match=r"not torch's own \(sdpa\)"):
        use_packing(eager, EXAMPLES, Training(packing="on"))
    assert not use_packing(llama(byte_level()), EXAMPLES, Training(packing="off"))


@pytest.mark.parametrize("make", makers().values(), ids=list(makers()))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rounding_is_not_a_leak_and_a_leak_is_not_rounding(make, dtype, monkeypatch):
    """In 16 bits scores in a row are farther from those alone, and one example that sees those
    before it is farther still."""
    assert use_packing(make().to(dtype), EXAMPLES, Training(packing="on"))

    def over_the_whole_row(module, query, key, value, attention_mask, scaling=None, **_):
        return packing.sdpa_attention_forward(
            module, query, key, value, None, scaling=scaling, is_causal=True
        )

    monkeypatch.setattr(packing, "_attention", over_the_whole_row)
    assert not use_packing(make().to(dtype), EXAMPLES, Training())


def test_a_model_whose_scores_depend_on_the_row_is_found_out():
    """One that lets every token look at the one before it, whoever's it is."""

    class Leaky(type(llama(byte_level()))):
        def forward(self, input_ids, logits_to_keep=0, position_ids=None, **inputs):
            out = super().forward(
                input_ids, position_ids=position_ids, logits_to_keep=logits_to_keep, **inputs
            )
            before = self.model.embed_tokens(input_ids).cumsum(1) @ self.lm_head.weight.T
            kept = slice(None) if isinstance(logits_to_keep, int) else logits_to_keep
            out.logits = out.logits + before[:, kept]
            return out

    leaky = Leaky(llama(byte_level()).config).eval()
    with pytest.raises(ConfigError, match="its scores differ by"):
        use_packing(leaky, EXAMPLES, Training(packing="on"))


def test_training_packed_is_training_unpacked():
    curves = []
    for wanted in ("on", "off"):
        model = llama(byte_level())
        training = Training(batch_examples=8, epochs=4, packing=wanted, micro_batch_tokens=64)
        _, record = finetune(
            lambda m, t=training: TorchEngine(m, t, "fp32"),
            model,
            EXAMPLES,
            Tuning(training, "fp32", 3e-3, seed=1),
        )
        assert record.packed == (wanted == "on")
        curves.append([loss for _, loss in record.loss])
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)


def test_packs_hold_every_row_once_and_no_more_than_allowed():
    lengths = np.array([len(ids) for ids, _ in EXAMPLES])
    groups = packs(np.arange(len(EXAMPLES)), lengths, 40)
    assert sorted(np.concatenate(groups)) == list(range(len(EXAMPLES)))
    assert all(lengths[g].sum() <= 40 for g in groups) and len(groups) > 3
    assert [len(g) for g in packs(np.arange(3), np.array([9, 50, 9]), 20)] == [2, 1]
    assert packs(np.arange(0), lengths, 40) == []
