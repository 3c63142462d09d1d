"""The training loop on a tiny model: what is trained, what is counted, and how it ends."""

import math

import numpy as np
import pytest
import torch
from tiny_models import TEXTS, byte_level, examples_of, frozen, llama

from mtray.data.encoder_decoder import IGNORED
from mtray.errors import TrainError, TrialPruned, TrialStopped
from mtray.evaluation.inference.engine import run_requests
from mtray.evaluation.inference.requests import Request
from mtray.schema import Training
from mtray.training.engine import TorchEngine, build_engine, deepspeed_config, resolve_precision
from mtray.training.examples import collate
from mtray.training.loop import RungPosition, RungSchedule, Tuning, finetune, rung_steps
from mtray.training.losses import summed_loss, target_tokens
from mtray.training.worker import ProcessGroup, Worker

TRAINING = Training(batch_examples=8, epochs=4, warmup=0.1)


@pytest.fixture(scope="module")
def tokenizer():
    return byte_level()


@pytest.fixture(scope="module")
def examples(tokenizer):
    return examples_of(tokenizer, TEXTS * 4)


@pytest.fixture
def model(tokenizer):
    return llama(tokenizer)


def tune(
    model,
    examples,
    training=TRAINING,
    build=None,
    rungs=RungSchedule(),
    rate=3e-3,
    seed=1,
    **worker,
):
    engine, record = finetune(
        build or (lambda m: TorchEngine(m, training, "fp32")), model, examples,
        Tuning(training, "fp32", rate, seed), rungs=rungs, worker=Worker(**worker),
    )  # fmt: skip
    return engine.module, record


def test_collate(examples):
    short, long = sorted(examples[:4], key=lambda e: len(e[0]))[::3]
    ids, labels = collate([short, long], "cpu")
    assert ids.shape == labels.shape == (2, len(long[0]))
    assert ids[0, : len(short[0])].tolist() == short[0].tolist()
    assert ids[0, len(short[0]) :].tolist() == [0] * (len(long[0]) - len(short[0]))
    for row, (tokens, start) in enumerate((short, long)):
        assert labels[row, :start].tolist() == [IGNORED] * start
        assert labels[row, start : len(tokens)].tolist() == tokens[start:].tolist()
        assert set(labels[row, len(tokens) :].tolist()) <= {IGNORED}


def test_target_tokens_are_those_that_loss_is_taken_on(examples):
    for example in examples[:4]:
        _, labels = collate([example], "cpu")
        assert target_tokens(example) == int((labels[:, 1:] != IGNORED).sum())
    # of text without a begin token the first token is never predicted
    assert target_tokens((np.arange(5), 0)) == 4


def test_summed_loss_is_that_of_the_examples_alone(model, examples):
    """Padding changes nothing."""
    engine = TorchEngine(model, TRAINING, "fp32")
    alone = sum(float(summed_loss(engine, [e]).detach()) for e in examples[:4])
    assert float(summed_loss(engine, examples[:4]).detach()) == pytest.approx(alone, rel=1e-5)
    by_hand = 0.0
    for ids, start in examples[:4]:
        inputs = torch.tensor(ids[None].astype(np.int64))
        logits = model(inputs).logits[0].detach().log_softmax(-1)
        by_hand -= sum(float(logits[i - 1, ids[i]]) for i in range(max(1, start), len(ids)))
    assert alone == pytest.approx(by_hand, rel=1e-5)


def test_the_loss_falls_and_everything_is_counted(model, examples):
    told = []
    before = {n: p.clone() for n, p in model.named_parameters()}
    tuned, record = tune(model, examples, progress=told.append)
    assert record.steps == 8 == record.loss[-1][0]
    assert record.loss[-1][1] < 0.7 * record.loss[0][1]
    assert record.tokens == 4 * sum(len(ids) for ids, _ in examples)
    assert record.trainable_parameters == record.total_parameters
    assert record.total_parameters == sum(p.numel() for p in model.parameters())
    assert 0 < record.accumulated_learning_rate < 8 * 3e-3
    assert record.tokens_per_second > 0
    assert told[-1]["step"] == told[-1]["steps"] == 8
    assert all((p != before[n]).any() for n, p in tuned.named_parameters())
    assert all(p.grad is None for p in tuned.parameters()), "no step's gradients reach the next"


def test_micro_batches_do_not_change_the_curve(tokenizer, examples):
    curves, ends = [], []
    for most in (100_000, 40, 1):
        tuned, record = tune(
            llama(tokenizer), examples, TRAINING.model_copy(update={"micro_batch_tokens": most})
        )
        curves.append([loss for _, loss in record.loss])
        ends.append(torch.cat([p.detach().flatten() for p in tuned.parameters()]))
    for curve, end in zip(curves[1:], ends[1:], strict=True):
        assert curve == pytest.approx(curves[0], rel=1e-4)
        # AdamW divides by the gradient's own size, so rounding shows more in weights than in losses
        torch.testing.assert_close(end, ends[0], rtol=1e-3, atol=1e-3)


def test_two_workers_sum_to_the_gradient_of_one(tokenizer, examples):
    """Odd batches: one worker gets a row more, and an empty micro-batch fills the other's plan."""
    training = Training(batch_examples=5, max_steps=1, gradient_clipping=1e9, micro_batch_tokens=20)
    gradients = {}

    class Keep(TorchEngine):
        def step(self, learning_rate):
            gradients[self.process_group] = [p.grad.clone() for p in self._trainable.values()]

    for process_group in (ProcessGroup(), ProcessGroup(0, 2), ProcessGroup(1, 2)):
        build = type("K", (Keep,), {"process_group": process_group})
        tune(
            llama(tokenizer), examples, training, process_group=process_group,
            build=lambda m, build=build: build(m, training, "fp32"),
        )  # fmt: skip
    for whole, a, b in zip(*gradients.values(), strict=True):
        torch.testing.assert_close(a + b, whole, rtol=1e-4, atol=1e-6)


def test_the_loss_is_that_of_the_global_batch_whatever_the_workers(tokenizer, examples):
    """Each worker adds its part; here the other's is what it found when it ran."""
    training = Training(batch_examples=5, max_steps=1)
    parts = []

    def keep(value):
        parts.append(value)
        return value

    for rank in (0, 1):
        tune(llama(tokenizer), examples, training, process_group=ProcessGroup(rank, 2, total=keep))
    alone, both = (
        tune(llama(tokenizer), examples, training, process_group=process_group)[1].loss[0][1]
        for process_group in (
            ProcessGroup(),
            ProcessGroup(0, 2, total=lambda value: value + parts[1]),
        )
    )
    assert both == pytest.approx(alone) and parts[1] > 0


def test_frozen_blocks_do_not_move_and_others_do(model, examples):
    before = {n: p.clone() for n, p in model.named_parameters()}
    training = TRAINING.model_copy(update={"weight_decay": 0.1})
    tuned, record = tune(frozen(model), examples, training)
    for name, parameter in tuned.named_parameters():
        still = name.startswith("model.layers.0.")
        assert torch.equal(parameter, before[name]) == still, name
    assert record.trainable_parameters < record.total_parameters


def test_the_same_seed_gives_the_same_curve_and_another_does_not(tokenizer, examples):
    curve = tune(llama(tokenizer), examples)[1].loss
    assert tune(llama(tokenizer), examples)[1].loss == curve
    assert tune(llama(tokenizer), examples, seed=2)[1].loss != curve


def test_a_trial_that_is_asked_to_stop_stops_at_its_next_step(model, examples):
    answers = iter([False, False, True])
    told = []
    with pytest.raises(TrialStopped):
        tune(model, examples, should_stop=lambda: next(answers), progress=told.append)
    assert next(answers, None) is None
    assert told and told[-1]["step"] <= 2


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_an_error(model, examples, bad):
    with torch.no_grad():
        model.lm_head.weight[0, 0] = bad
    with pytest.raises(TrainError, match=r"the training loss is (nan|inf) at step 1 of 8"):
        tune(model, examples)


def test_a_learning_rate_beyond_reason_is_an_error(model, examples):
    """Weights that overflow show as a loss that is not finite a step later, and never as a
    model."""
    with pytest.raises(TrainError, match=r"at step [2-8] of 8"):
        tune(model, examples, rate=1e30)


def test_gradients_are_clipped(model, examples):
    engine = TorchEngine(model, Training(gradient_clipping=0.5), "fp32")
    engine.backward(1e6 * summed_loss(engine, examples[:4]), last=True)
    norms = []
    engine._optimizer.step = lambda: norms.append(
        torch.stack([p.grad.norm() for p in model.parameters()]).norm()
    )
    engine.step(1e-3)
    assert float(norms[0]) == pytest.approx(0.5, rel=1e-4)


def test_bf16_on_the_cpu_is_autocast_of_fp32_weights(model, examples):
    engine = TorchEngine(model, TRAINING, "bf16")
    ids, _ = collate(examples[:2], "cpu")
    assert engine.forward(input_ids=ids).logits.dtype == torch.bfloat16
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_choices_of_engine_and_precision(model):
    with pytest.raises(TrainError, match="engine 'mpi' is unknown; known: deepspeed, torch"):
        build_engine("mpi", model, TRAINING, "fp32")
    assert isinstance(build_engine("torch", model, TRAINING, "fp32"), TorchEngine)
    assert resolve_precision(Training(precision="bf16"), "cpu") == "bf16"
    assert resolve_precision(Training(precision="fp32"), "cuda") == "fp32"
    assert resolve_precision(Training(), "cpu") in ("fp32", "bf16")
    config = deepspeed_config(Training(zero_stage=2, gradient_clipping=0.3), "bf16")
    assert config["zero_optimization"]["stage"] == 2 and config["gradient_clipping"] == 0.3
    assert config["torch_autocast"]["enabled"] is True
    assert config["optimizer"]["params"]["torch_adam"] is True


def test_rungs_are_measured_after_the_step_that_reaches_their_share():
    assert rung_steps((0.25, 0.5), 64) == {16: 0, 32: 1}
    assert rung_steps((0.25, 0.5), 7) == {2: 0, 4: 1}
    assert rung_steps((0.07, 0.9), 100) == {7: 0, 90: 1}
    assert rung_steps((0.25, 0.5), 2) == {1: 1}, "both at one step: the later counts"
    assert rung_steps((0.5, 0.9), 1) == {}, "the last step is the trial's end"


def with_dropout(tokenizer):
    """A model that draws random numbers while it is trained."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_positions=256, n_embd=32, n_layer=2, n_head=4,
        bos_token_id=0, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    return GPT2LMHeadModel(config)


@pytest.mark.parametrize("make", [llama, with_dropout])
def test_a_trial_with_rungs_ends_with_the_weights_of_one_without(tokenizer, examples, make):
    """Measured with the real engine of answers: mode, gradients and random numbers stay."""
    seen, asked = [], [Request("a bad cab ->", None, 8), Request("dad ->", "bee")]

    def measure(reached, module):
        seen.append(reached)
        assert module.training
        assert len(run_requests(module, tokenizer, asked)) == 2
        assert module.training
        return False

    ends = []
    for rungs in (RungSchedule(), RungSchedule((0.25, 0.5), measure)):
        torch.manual_seed(3)
        tuned, record = tune(make(tokenizer), examples, rungs=rungs)
        ends.append((record.loss, torch.cat([p.detach().flatten() for p in tuned.parameters()])))
    assert seen == [RungPosition(0, 2, 8), RungPosition(1, 4, 8)]
    assert ends[0][0] == ends[1][0]
    assert torch.equal(ends[0][1], ends[1][1])


def test_a_rung_ends_a_trial_and_leaves_a_record_of_what_was_done(model, examples):
    rungs = RungSchedule((0.25, 0.5), lambda reached, module: reached.rung == 1)
    with pytest.raises(TrialPruned) as caught:
        tune(model, examples, rungs=rungs)
    record = caught.value.record
    assert record.steps == 4 and record.loss[-1][0] == 4
    assert 0 < record.tokens < 4 * sum(len(ids) for ids, _ in examples)


def test_all_workers_end_when_one_does(model, examples):
    """A worker that measures nothing learns it from the others."""
    answers = []

    def agree(flag):
        answers.append(flag)
        return len(answers) > 3  # a question a step, and the rung's after the third

    with pytest.raises(TrialPruned) as caught:
        tune(model, examples, process_group=ProcessGroup(1, 2, agree), rungs=RungSchedule((0.3,)))
    assert caught.value.record.steps == 3 and not any(answers)
