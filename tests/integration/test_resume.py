"""A training with DeepSpeed that was interrupted ends as one that was not, with every stage of ZeRO
and with one worker or two."""

import os
import socket
import sys
from pathlib import Path

import pytest
import torch

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
UNIT = str(Path(__file__).parent.parent / "unit")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def work(rank, world, port, stage, folder):
    """Train whole; stopped after its fifth step; again from there. Rank 0 saves what came of it."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
    sys.path.insert(0, UNIT)
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world
    )
    from test_loop import with_dropout
    from tiny_models import byte_level, frozen

    from mtray.data.store import build_table
    from mtray.errors import TrialStopped
    from mtray.schema import Training
    from mtray.training.checkpoints import Checkpoints, kept_step
    from mtray.training.engine import build_engine
    from mtray.training.loop import (
        Place,
        Rungs,
        any_worker,
        finetune,
        gather_from_workers,
        sum_over_workers,
    )

    tokenizer = byte_level()
    table = build_table([("a bad cab ->", "abba"), ("dad ->", "bee")] * 9, tokenizer, 64)
    examples = [table.example(row) for row in range(len(table))]
    place = Place()
    if world > 1:
        place = Place(rank, world, any_worker, sum_over_workers, gather_from_workers)
    training = Training(batch_examples=9, epochs=4, zero_stage=stage)
    measured = []

    def train(checkpoints=None, stops=False):
        torch.manual_seed(3 + rank)
        asked = []

        def measure(reached, module):
            measured.append(reached.step)
            return False

        model = frozen(with_dropout(tokenizer))
        engine, record = finetune(
            lambda m: build_engine("deepspeed", m, training, "fp32"), model, examples,
            training, precision="fp32", learning_rate=3e-3, seed=1,
            place=place, rungs=Rungs((0.3,), measure), checkpoints=checkpoints,
            should_stop=lambda: asked.append(1) or (stops and len(asked) > 5),
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
    if not rank:
        torch.save((whole, again, stopped, step, measured, told), folder / "out.pt")
    torch.distributed.destroy_process_group()


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
