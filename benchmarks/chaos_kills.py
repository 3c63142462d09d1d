"""Processes and nodes that are stopped, killed or removed. Each function takes a sweep, injects the
failure, runs the sweep to its end, and reports the outcome."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from chaos_sweep import (
    ENDED,
    Chaos,
    Failed,
    descendants,
    journal_states,
    records_of,
    states_text,
    title_of,
)

STARTED = "trial 0 started"
ORPHANS = 10.0  # seconds until Ray has ended the workers of a driver that was killed


def kill_driver(chaos: Chaos, rng: random.Random, times: int = 10) -> str:
    kept = 0
    chaos.trials = 4
    for _ in range(times):
        process = chaos.start()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(4, 60))
        if process.poll() is not None:
            chaos.trials += 2  # it was through: there must be something to cut off
            continue
        process.kill()
        process.wait()
        kept = len(records_of(chaos.run_dir))
    chaos.finish()
    return f"continued after each; {kept} records before the last start, {chaos.trials} trials"


def stop_once(chaos: Chaos, rng: random.Random, number: int = signal.SIGTERM) -> str:
    process = chaos.start()
    chaos.wait_for_text(STARTED)
    time.sleep(rng.uniform(0, 8))
    process.send_signal(number)
    chaos.end(process, 128 + number)
    running = journal_states(chaos.run_dir)["RUNNING"]
    chaos.finish()
    return f"exit code {128 + number}, {running} RUNNING at once; continued"


def interrupt_twice(chaos: Chaos, rng: random.Random) -> str:
    process = chaos.start()
    chaos.wait_for_text(STARTED)
    time.sleep(rng.uniform(2, 8))
    process.send_signal(signal.SIGINT)
    chaos.wait_for_text("stopping: running trials end")
    process.send_signal(signal.SIGINT)
    chaos.end(process, 130)
    chaos.finish()
    return "exit code 130 at once; continued"


def resumed_of(chaos: Chaos) -> dict[int, tuple[int, ...]]:
    """By trial the steps after which its training went on from a checkpoint."""
    found = records_of(chaos.run_dir).items()
    return {n: r.training.resumed for n, r in found if r.training and r.training.resumed}


def long_trials(chaos: Chaos) -> None:
    """One trial of 256 steps, alone, that keeps a checkpoint every two seconds."""
    chaos.trials = 1
    chaos.study["budget"]["baselines"] = "none"
    rate = {"type": "float", "low": 4e-4, "high": 5e-4}
    chaos.space = {"parallel_size": 128, "learning_rate": rate}
    chaos.study["resources"]["concurrent_trials"] = 1
    many_steps(chaos, epochs=16)
    chaos.study["early_stopping"] = {"rungs": [0.1, 0.9], "segments": 0.5}


def many_steps(chaos: Chaos, epochs: int) -> None:
    """A checkpoint every two seconds shows that a trial trains."""
    chaos.study["training"].update(epochs=epochs, batch_examples=8, checkpoint_minutes=1 / 30)


def wait_for_training(chaos: Chaos, trials: int = 1) -> None:
    def training() -> bool:
        return sum(bool(checkpoint_of(chaos, n)) for n in range(chaos.trials)) >= trials

    chaos.wait_for(training, f"{trials} trials train at a time")


def checkpoint_of(chaos: Chaos, number: int = 0) -> int | None:
    from mtray.run_files import trial_dir
    from mtray.training.checkpoints import kept_step

    return kept_step(trial_dir(chaos.run_dir, number))


def later_checkpoint(chaos: Chaos, seen: int) -> int:
    """Wait for a checkpoint after step `seen`, which is not the last; the step of it."""
    chaos.wait_for(lambda: (checkpoint_of(chaos) or 0) > seen, f"a checkpoint after step {seen}")
    return checkpoint_of(chaos) or seen


def resumes(chaos: Chaos, rng: random.Random) -> str:
    """One long trial: its worker, its actor, the driver are killed one after the other."""
    long_trials(chaos)
    process, seen = chaos.start(), 0
    for name in ("RayTrainWorker", "ImplicitFunc"):
        seen = later_checkpoint(chaos, seen)
        pid = chaos.wait_for(lambda n=name: chaos.ray_process(n, process), f"a process {name}")
        os.kill(pid, signal.SIGKILL)
        time.sleep(3)  # until what still wrote has ended: the next checkpoint is of a new attempt
        seen = checkpoint_of(chaos) or seen
    for number in (signal.SIGKILL, signal.SIGTERM):
        seen = later_checkpoint(chaos, seen)
        process.send_signal(number)
        chaos.end(process)
        process, starts = chaos.start(), chaos.text.count(STARTED)
        chaos.wait_for(lambda n=starts: chaos.text.count(STARTED) > n, "trial 0 starts again")
        time.sleep(ORPHANS)  # a killed driver's workers write a while longer
        seen = checkpoint_of(chaos) or seen
    chaos.end(process, 0)
    record, steps = records_of(chaos.run_dir)[0], resumed_of(chaos).get(0, ())
    left = [p.name for p in (chaos.run_dir / "trials" / "0000").glob("checkpoint-*")]
    if len(steps) != 4 or list(steps) != sorted(steps) or left or len(record.rungs) != 2:
        raise Failed(f"resumed {steps}, left {left}, rungs {record.rungs}\n{chaos.text}")
    curve = [step for step, _ in record.training.loss]
    if curve != sorted(set(curve)) or curve[-1] != record.training.steps:
        raise Failed(f"the loss curve has holes: {curve}")
    return f"went on after steps {', '.join(map(str, steps))} of {record.training.steps}"


def _kill(chaos: Chaos, name: str) -> str:
    """While a trial trains, alone: the job of an executor that is lost without having begun it is
    only given to another one."""
    chaos.study["resources"]["concurrent_trials"] = 1
    many_steps(chaos, epochs=8)
    process = chaos.start()
    wait_for_training(chaos)
    pid = chaos.wait_for(lambda: chaos.ray_process(name, process), f"a process {name}")
    os.kill(pid, signal.SIGKILL)
    chaos.end(process, 0)
    attempts = {
        n: r.extra["attempts"]
        for n, r in records_of(chaos.run_dir).items()
        if "attempts" in r.extra
    }
    if not attempts:
        raise Failed(f"no record tells of the lost process:\n{chaos.text}")
    number, tried = min(attempts.items())
    return f"trial {number}: {tried[0]['reason_class']}, {tried[0]['then']}; {states_text(chaos)}"


def kill_worker(chaos: Chaos, rng: random.Random) -> str:
    return _kill(chaos, "RayTrainWorker")


def kill_trial_actor(chaos: Chaos, rng: random.Random) -> str:
    return _kill(chaos, "ImplicitFunc")


def kill_controller(chaos: Chaos, rng: random.Random) -> str:
    """Its workers and their place are taken away by Ray, and another executor starts."""
    return _kill(chaos, "TrainController")


def kill_queue(chaos: Chaos, rng: random.Random) -> str:
    """Nothing can go on without it: the sweep ends, no trial is blamed, and the same command goes
    on."""
    process = chaos.start()
    chaos.wait_for_text(STARTED)
    time.sleep(rng.uniform(2, 8))
    pid = chaos.wait_for(lambda: chaos.ray_process("QueueActor", process), "the job queue")
    os.kill(pid, signal.SIGKILL)
    chaos.end(process, 2)
    failed = [n for n, r in records_of(chaos.run_dir).items() if r.state == "failed"]
    if failed or "the process of the job queue was lost" not in chaos.text:
        raise Failed(f"failed: {failed}\n{chaos.text}")
    chaos.finish()
    return f"the sweep says so and ends with code 2; continued; {states_text(chaos)}"


def kill_progress(chaos: Chaos, rng: random.Random) -> str:
    """Ray starts it again, and no trial is stopped or lost."""
    many_steps(chaos, epochs=8)
    chaos.study["early_stopping"] = {"rungs": [0.1, 0.9], "segments": 0.5}
    process = chaos.start()
    wait_for_training(chaos)
    pid = chaos.wait_for(lambda: chaos.ray_process("ProgressActor", process), "the progress actor")
    os.kill(pid, signal.SIGKILL)
    chaos.wait_for_text("has been started again; no trial is stopped")
    chaos.end(process, 0)
    records = records_of(chaos.run_dir).values()
    if tried := [r.number for r in records if "attempts" in r.extra]:
        raise Failed(f"more than one attempt: {tried}\n{chaos.text}")
    return f"started again, no trial lost an attempt; {states_text(chaos)}"


def kill_trial_actor_always(chaos: Chaos, rng: random.Random) -> str:
    """Trial 0 alone, three times."""
    chaos.study["resources"]["concurrent_trials"] = 1
    process = chaos.start()
    chaos.wait_for_text(STARTED)
    for _ in range(3):
        before = chaos.text.count("trial 0 runs again")
        chaos.wait_for(lambda: chaos.ray_process("RayTrainWorker", process), "a worker")
        pid = chaos.wait_for(lambda: chaos.ray_process("ImplicitFunc", process), "an actor")
        os.kill(pid, signal.SIGKILL)
        chaos.wait_for(
            lambda b=before: (
                chaos.text.count("trial 0 runs again") > b
                or re.search(r"trial 0 \(parallel_only\).* FAILED", chaos.text)
            ),
            "the loss was seen",
        )
    chaos.end(process, 0)
    record = records_of(chaos.run_dir)[0]
    if record.reason_class != "worker_lost" or len(record.extra["attempts"]) != 2:
        raise Failed(f"trial 0: {record.reason_class} {record.extra}")
    return f"trial 0 failed with worker_lost after 2 further attempts; {states_text(chaos)}"


@contextlib.contextmanager
def a_cluster(chaos: Chaos) -> Iterator[Any]:
    """A cluster whose head has no CPU, which the sweep is to join."""
    from ray.cluster_utils import Cluster

    # the cluster and who joins it must agree on tokens, whatever this machine has
    os.environ["RAY_AUTH_MODE"] = "disabled"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    chaos.options = ("--address", cluster.address)
    try:
        yield cluster
    finally:
        cluster.shutdown()
        del os.environ["RAY_AUTH_MODE"]


def nodes_join(chaos: Chaos, rng: random.Random) -> str:
    """There is no room for a trial at first; one machine joins, and later another."""
    with a_cluster(chaos) as cluster:
        process = chaos.start()
        chaos.wait_for_text("waiting for machines to join")
        first = cluster.add_node(num_cpus=1)
        chaos.wait_for(lambda: ENDED.search(chaos.text), "the base model was measured")
        second = cluster.add_node(num_cpus=1)

        def busy(node: Any) -> bool:
            raylet = node.all_processes["raylet"][0].process.pid
            return any("ray::RayTrainWorker" in title_of(pid) for pid in descendants(raylet))

        chaos.wait_for(lambda: busy(first) and busy(second), "workers on both machines")
        chaos.end(process, 0)
    return f"began with the first, used the second as well; {states_text(chaos)}"


def lose_node(chaos: Chaos, rng: random.Random) -> str:
    with a_cluster(chaos) as cluster:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        many_steps(chaos, epochs=16)
        process = chaos.start()
        wait_for_training(chaos, trials=2)

        def elsewhere() -> Any:
            """A node on which a trial trains, and not the driver's: with that one the sweep's own
            actors and the driver would be lost, too."""
            for node in nodes:
                raylet = node.all_processes["raylet"][0].process.pid
                titles = " ".join(title_of(pid) for pid in descendants(raylet))
                here = "ray::ProgressActor" in titles or "ray::QueueActor" in titles
                if "ray::RayTrainWorker" in titles and not here:
                    return node
            return None

        cluster.remove_node(
            chaos.wait_for(elsewhere, "a trial on another node"), allow_graceful=False
        )
        chaos.end(process, 0)
    attempts = [a for r in records_of(chaos.run_dir).values() for a in r.extra.get("attempts", ())]
    classes = Counter(a["reason_class"] for a in attempts)
    if not classes["node_lost"]:
        raise Failed(f"no record tells of the lost node: {classes}\n{chaos.text}")
    return f"{dict(classes)}, again on the node that was left; {states_text(chaos)}"
