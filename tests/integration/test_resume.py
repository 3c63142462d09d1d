"""A training with DeepSpeed that was interrupted ends as one that was not, with every stage of ZeRO
and with one worker or two."""

import pytest
import torch
from process_group import free_port, worker

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


@worker
def work(place, stage, folder):
    """Train whole; stopped after its fifth step; again from there. Rank 0 saves what came of it."""
    from test_loop import with_dropout
    from tiny_models import byte_level, examples_of, frozen

    from mtray.errors import TrialStopped
    from mtray.schema import Training
    from mtray.training.checkpoints import Checkpoints, kept_step
    from mtray.training.engine import build_engine
    from mtray.training.loop import RungSchedule, Tuning, finetune
    from mtray.training.worker import Worker

    tokenizer = byte_level()
    examples = examples_of(tokenizer, [("a bad cab ->", "abba"), ("dad ->", "bee")] * 9)
    training = Training(batch_examples=9, epochs=4, zero_stage=stage)
    measured = []

    def train(checkpoints=None, stops=False):
        torch.manual_seed(3 + place.rank)
        asked = []

        def measure(reached, module):
            measured.append(reached.step)
            return False

        model = frozen(with_dropout(tokenizer))
        worker = Worker(place, should_stop=lambda: asked.append(1) or (stops and len(asked) > 5))
        engine, record = finetune(
            lambda m: build_engine("deepspeed", m, training, "fp32"), model, examples,
            Tuning(training, "fp32", 3e-3, seed=1), rungs=RungSchedule((0.3,), measure),
            checkpoints=checkpoints, worker=worker,
        )  # fmt: skip
        with engine.whole() as module:
            weights = torch.cat([p.detach().flatten().clone() for p in module.parameters()])
        return record.loss, weights, record.resumed

    whole = train()
    told = []
    try:
        train(Checkpoints(folder / "kept", "key", minutes=0), stops=True)
        stopped = False
    except TrialStopped:
        stopped = True
    step = kept_step(folder / "kept")
    again = train(Checkpoints(folder / "kept", "key", tell=told.append))
    if not place.rank:
        torch.save((whole, again, stopped, step, measured, told), folder / "out.pt")


@pytest.mark.parametrize("world, stage", [(1, 0), (2, 0), (2, 1), (2, 2), (2, 3)])
def test_an_interrupted_training_ends_as_one_that_was_not(world, stage, tmp_path):
    torch.multiprocessing.spawn(work, (world, free_port(), stage, tmp_path), nprocs=world)
    (loss, weights, _), again, stopped, step, measured, told = torch.load(tmp_path / "out.pt")
    assert stopped and step == 5 and told == []
    assert again[2] == (step,)
    assert [at for at, _ in loss] == list(range(1, 9))
    assert again[0] == loss
    assert torch.equal(again[1], weights)
    assert measured == [3, 3], "at the same step, and not again"
    (home,) = (tmp_path / "kept").iterdir()
    assert len(list(home.glob("worker-*"))) == world
