"""A process that trains one model after another."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from records_factory import make_study
from tiny_models import TEXTS, byte_level, llama

from mtray.data.store import build_table
from mtray.errors import TrialStopped
from mtray.evaluation.inference.requests import Request
from mtray.schema import Recipe, Source, Training
from mtray.training.base_model import BaseModels
from mtray.training.isolation import MemoryWatch, begin_alike
from mtray.training.worker import Worker
from mtray.trial.job import Job, RunOptions
from mtray.trial.run import run_trial

GIB = 1 << 30


def test_every_job_begins_alike():
    drawn = []
    for _ in range(2):
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        begin_alike()
        drawn.append((random.random(), np.random.rand(), float(torch.rand(1))))
        assert torch.is_grad_enabled() and torch.get_default_dtype() is torch.float32
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize(
    "host, gpu, grown",
    [
        ([1.0], [0.0], False),
        ([1.0, 2.0, 1.5, 3.4], [0.0] * 4, False),
        ([1.0, 2.0, 1.5, 3.6], [0.0] * 4, True),
        ([9.0, 1.0, 1.0, 3.6], [0.0] * 4, False),
        ([1.0, 9.0, 9.0], [0.0] * 3, False),
        ([1.0] * 4, [0.0, 0.1, 0.0, 0.3], False),
        ([1.0] * 4, [0.0, 0.1, 0.0, 0.4], True),
    ],
)
def test_memory_that_is_left_behind_is_noticed(host, gpu, grown):
    """GiB after each job; the first three are usual: 1.5 times their most and .5 in main memory,
    .25 more on the GPU."""
    watch = MemoryWatch([int(x * GIB) for x in host], [int(x * GIB) for x in gpu])
    assert watch.grown() is grown


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    tokenizer, folder = byte_level(), tmp_path_factory.mktemp("base")
    llama(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def test_a_trial_leaves_nothing_to_the_next(base):
    """A, B, A in one process gives A's bits again, whatever B is."""
    pairs = Source(name="pairs", kind="parallel", path="p.tsv", languages=("en", "es"))
    table = build_table([pair for pair in TEXTS if pair[0]] * 6, byte_level(), 64)
    worker = Worker(models=BaseModels(keep=True))
    asked = [Request("a bad cab ->", None, 16), Request("dad ->", "bee", 16)]

    def run(seed=1, should_stop=lambda: False, training=None, **recipe):
        training = Training(batch_examples=8, epochs=2, **(training or {}))
        study = make_study(model=base, sources=(pairs,), training=training)
        fields = {"parallel_size": 16, "learning_rate": 1e-2, **recipe}
        job = Job(3, "search", Recipe(**fields), seed)
        begin_alike()
        own = replace(worker, should_stop=should_stop)
        outcome = run_trial(job, study, {"pairs": table}, asked, RunOptions("torch"), own)
        answers = [(o.text, o.log_likelihood) for o in outcome.outputs]
        return answers, outcome.training and outcome.training.loss

    untouched, first = run(parallel_size=0), run()
    assert first != untouched and run() == first
    run(seed=2, method="lora", frozen_layers=1, reversion_alpha=0.5)
    assert run() == first
    run(training={"packing": "on", "gradient_checkpointing": True}, frozen_layers=1)
    assert run() == first
    with pytest.raises(TrialStopped):
        steps = iter([False] * 3)
        run(should_stop=lambda: next(steps, True))
    assert run() == first and run(parallel_size=0) == untouched
