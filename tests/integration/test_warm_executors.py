"""Warm executors on a real cluster: jobs one after another in the same processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import ray

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "unit"))
from records_factory import make_study
from tiny_models import TEXTS, byte_level, llama

from mtray.data.store import build_table
from mtray.errors import DataError, WorkerLost
from mtray.evaluation.inference.requests import Request
from mtray.schema import Recipe, Resources, Source, Training
from mtray.search.execution.executors import Executors
from mtray.search.execution.progress import start_progress
from mtray.search.execution.queue_actor import start_queue
from mtray.search.execution.ray_connection import start_ray
from mtray.search.execution.shared import Shared
from mtray.search.execution.store_transport import SentTable
from mtray.search.execution.submit import run_in_executor
from mtray.search.ledger.stopwatch import Stopwatch
from mtray.trial.job import Job

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]
A = Recipe(parallel_size=16, learning_rate=1e-2)
B = Recipe(parallel_size=12, learning_rate=1e-2, method="lora", frozen_layers=1)


@pytest.fixture(scope="module")
def cluster():
    start_ray(None)
    yield
    ray.shutdown()


@pytest.fixture
def sweep(cluster, tmp_path):
    """Start executors for a tiny study; gives a function that runs a recipe as a trial does."""
    tokenizer, started = byte_level(), []
    llama(tokenizer).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    table = build_table([pair for pair in TEXTS if pair[0]] * 6, tokenizer, 64)
    asked = [Request("a bad cab ->", None, 16), Request("dad ->", "bee", 16)]

    def start(workers=1, **training):
        study = make_study(
            model=str(tmp_path / "base"),
            sources=(Source(name="pairs", kind="parallel", path="p.tsv", languages=("en", "es")),),
            training=Training(batch_examples=8, epochs=2, **training),
            evaluation=make_study().evaluation,
            resources=Resources(concurrent_trials=1, workers=workers),
        )
        shared = Shared(
            study=study,
            run_dir=str(tmp_path),
            store={"pairs": SentTable(None, ray.put(table))},
            requests=ray.put(asked),
            suite=ray.put(SimpleNamespace(directions=(SimpleNamespace(requests=asked),))),
            progress_actor=start_progress(f"{tmp_path.name}-{len(started)}"),
            queue=start_queue(f"{tmp_path.name}-{len(started)}"),
        )
        started.append(Executors(shared, say=print, lost=print))
        numbers = iter(range(100))

        def run(recipe, seed=1):
            number = next(numbers)
            line = SimpleNamespace(stopping=lambda: False, drained=lambda node: False)
            watch = Stopwatch(tmp_path / str(number))
            outcome = run_in_executor(Job(number, "search", recipe, seed), shared, watch, line)
            answers = [(o.text, o.log_likelihood) for o in outcome.outputs]
            return answers, outcome.training.loss, outcome.seconds

        return run

    yield start
    for executors in started:
        executors.close()


def processes(title: str = "ray::RayTrainWorker") -> set[int]:
    """Process ids of this cluster's Train workers; another test's sweep may run at the time."""
    found = set()
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if process.cmdline()[:1] and title in process.cmdline()[0]:
                found.add(process.pid)
    return found


@pytest.mark.parametrize("stage, workers", [(0, 1), (3, 2)])
def test_a_trial_leaves_nothing_to_the_next(sweep, stage, workers):
    """A, B, A in one process, with DeepSpeed, gives A's bits again, and those of a process of its
    own."""
    before = processes()
    run = sweep(workers, zero_stage=stage)
    first = run(A)
    own = processes() - before
    other, again = run(B, seed=2), run(A)
    assert processes() - before == own and len(own) == workers, "in the same processes"
    assert again[:2] == first[:2] != other[:2]
    if workers == 1:
        assert sweep(zero_stage=stage)(A)[:2] == first[:2]


def test_a_recipe_that_is_refused_costs_no_executor_and_a_lost_process_costs_one(sweep):
    before = processes()
    run = sweep()
    run(B)
    own = processes() - before
    with pytest.raises(DataError, match="pairs"):
        run(A.model_copy(update={"parallel_size": 100000}))
    run(B)
    assert processes() - before == own
    os.kill(own.pop(), signal.SIGKILL)
    for _ in range(2):  # an idle one that is lost costs no trial, unless it has just begun
        try:
            run(B)
            break
        except WorkerLost:
            time.sleep(1)
    else:
        pytest.fail("no trial comes through after the loss")
    assert processes() - before


OTHER_CLUSTER = "import time; time.sleep(600)"


def test_a_lost_controller_leaves_its_place_free_beside_another_cluster(sweep, tmp_path):
    """Ray Train's own clean-up finds two clusters on this machine then, and fails."""
    (tmp_path / "raylet").symlink_to(sys.executable)
    # Ray knows a cluster by such a process
    command = [tmp_path / "raylet", "-c", OTHER_CLUSTER, "--gcs-address=127.0.0.1:1"]
    other = subprocess.Popen(command)
    try:
        before = processes("ray::TrainController")
        run = sweep(workers=2)  # all CPUs, so that no executor starts beside what is left of it
        run(B)
        os.kill((processes("ray::TrainController") - before).pop(), signal.SIGKILL)
        for _ in range(2):  # an idle one that is lost costs no trial, unless it has just begun
            with suppress(WorkerLost):
                assert run(B)
                break
        else:
            pytest.fail("no trial comes through after the loss")
    finally:
        other.kill()
        other.wait()
