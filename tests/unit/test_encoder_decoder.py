"""Models of encoder and decoder are trained and asked as others are."""

import numpy as np
import pytest
import torch
from tiny_models import TEXTS, byte_level, examples_of, metaspace, t5

from mtray.data.encoder_decoder import IGNORED, pairs, source_ids
from mtray.data.tokenization import continuation_ids, prompt_ids
from mtray.evaluation.inference.engine import run_requests
from mtray.evaluation.inference.requests import Request
from mtray.schema import Recipe, Training
from mtray.training.adapters import prepare
from mtray.training.engine import TorchEngine
from mtray.training.freezing import freeze, transformer_blocks
from mtray.training.loop import Tuning, finetune
from mtray.training.losses import pair_loss, target_tokens
from mtray.training.models import block_count, load_model

PROMPTS = ["a bad cab ->", "dad ->", "fed a bee ->", "bad bad bad bad cab ->"]


@pytest.fixture(scope="module")
def tokenizer():
    return byte_level(bos=False)


def alone(model, ids, start):
    """Summed log-probability of one pair by the model's own labels and loss."""
    source = torch.tensor([source_ids(model.config, [int(i) for i in ids[:start]])])
    labels = torch.tensor([[int(i) for i in ids[start:]]])
    with torch.no_grad():
        return -float(model(input_ids=source, labels=labels).loss) * labels.shape[1]


def test_pairs_by_hand(tokenizer):
    config = t5(tokenizer).config
    end = config.eos_token_id
    batch = pairs(config, [(np.array([5, 6, 7, 8]), 3), (np.array([9, 4, end]), 0)], "cpu")
    assert batch.source.tolist() == [[5, 6, 7, end], [end, 0, 0, 0]]
    assert batch.mask.tolist() == [[1, 1, 1, 1], [1, 0, 0, 0]]
    assert batch.target.tolist() == [[0, 8, 0], [0, 9, 4]]
    assert batch.labels.tolist() == [[8, IGNORED, IGNORED], [9, 4, end]]
    # the start token stands before the first, so that it is predicted
    assert target_tokens((np.arange(5), 0), "pairs") == 5


def test_the_loss_is_that_of_every_pair_alone(tokenizer):
    model, examples = t5(tokenizer), examples_of(tokenizer)
    engine = TorchEngine(model, Training(), "fp32")
    found = float(pair_loss(engine, examples).detach())
    assert found == pytest.approx(-sum(alone(model, *e) for e in examples), rel=1e-5)


@pytest.mark.parametrize("make", [lambda: byte_level(bos=False), metaspace], ids=["bytes", "space"])
def test_likelihoods_are_those_of_every_pair_alone(make):
    tokenizer = make()
    model = t5(tokenizer)
    # in fp32 a single pair is off by .003 nats, depending on the number of threads
    exact = t5(tokenizer).double()
    asked = [Request(p, t, 1) for p in [*PROMPTS, ""] for t in ("abba", "bad cab", "bee")]
    for request, output in zip(asked, run_requests(model, tokenizer, asked), strict=True):
        ids, start = continuation_ids(tokenizer, request.prompt, request.target, with_end=False)
        assert output.log_likelihood == pytest.approx(alone(exact, ids, start), abs=1e-3)
        assert output.tokens == len(ids) - start


@pytest.mark.parametrize("beams", [1, 3])
def test_answers_are_those_of_every_prompt_alone(tokenizer, beams):
    model = t5(tokenizer, seed=3)
    asked = [Request(p, None, 12, one_line=False) for p in PROMPTS]
    outputs = run_requests(model, tokenizer, asked, beams=beams)
    for request, output in zip(asked, outputs, strict=True):
        ids = source_ids(model.config, prompt_ids(tokenizer, request.prompt))
        found = model.generate(
            torch.tensor([ids]),
            max_new_tokens=12,
            do_sample=False,
            num_beams=beams,
            early_stopping=beams > 1,
        )[0, 1:].tolist()
        stopped = found[-1] == tokenizer.eos_token_id
        text = tokenizer.decode(found, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert output.text == text.strip()
        assert (output.tokens, output.truncated) == (len(found) - stopped, not stopped)
        assert output.log_likelihood == pytest.approx(
            alone(model, [*ids[:-1], *found], len(ids) - 1), abs=1e-3
        )
    assert len({o.text for o in outputs}) > 1, "the answers depend on the prompts"


@pytest.mark.parametrize("method", ["full", "lora"])
def test_it_learns_its_pairs_and_answers_them(tokenizer, method):
    examples = examples_of(tokenizer, TEXTS * 8)
    training = Training(batch_examples=8, epochs=60, schedule="constant")
    recipe = Recipe(parallel_size=1, method=method)
    prepared = prepare(t5(tokenizer), recipe, training, 1)
    engine, record = finetune(
        lambda m: TorchEngine(m, training, "fp32"),
        prepared.model,
        examples,
        Tuning(training, "fp32", 1e-2, seed=1),
    )
    assert not record.packed and record.loss[-1][1] < 0.1 < record.loss[0][1]
    asked = [Request(p, None, 12) for p, _ in TEXTS if p]
    found = run_requests(engine.module.eval(), tokenizer, asked)
    assert [o.text for o in found] == [t for p, t in TEXTS if p]


def test_several_workers_and_micro_batches_make_the_same_step(tokenizer):
    curves = []
    for most in (1000, 12):
        training = Training(batch_examples=3, epochs=2, micro_batch_tokens=most)
        _, record = finetune(
            lambda m, t=training: TorchEngine(m, t, "fp32"),
            t5(tokenizer),
            examples_of(tokenizer),
            Tuning(training, "fp32", 1e-4, seed=1),
        )
        curves.append([loss for _, loss in record.loss])
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)


def test_the_blocks_of_both_sides(tokenizer, tmp_path):
    model = t5(tokenizer)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert block_count(str(tmp_path)) == len(transformer_blocks(model)) == 4
    freeze(model, Recipe(parallel_size=1, frozen_layers=3), 1)
    still = {n for n, p in model.named_parameters() if not p.requires_grad}
    assert any(n.startswith("encoder.block.1.") for n in still)
    assert any(n.startswith("decoder.block.0.") for n in still)
    assert not any(n.startswith("decoder.block.1.") for n in still)
    assert type(load_model(str(tmp_path))) is type(model)
