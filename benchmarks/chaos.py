#!/usr/bin/env python3
"""What a sweep survives: every way of going wrong, through the main job's own door.

    python benchmarks/chaos.py [--only NAME ...] [--list] [--seed 1]

Prints a Markdown table: what was done to a small sweep of the embedded study, how it ended, trials
still RUNNING in the journal afterwards, trials lost (no readable record, or another recipe under
the number), trials run twice (a number that finished more than once), seconds. "Afterwards" is
after the same command was given again wherever the sweep was cut off. What cannot be done from
outside is injected by `benchmarks/injected`. A full disk needs the right to mount a tmpfs.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos_sweep import (
    ENDED,
    Chaos,
    Failed,
    descendants,
    journal_states,
    mounted,
    records_of,
    states_text,
    title_of,
)

# what can be done ---------------------------------------------------------------------------------
# each takes a sweep, does its worst, brings it to its end, and says how that was


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
    chaos.wait_for_text("trial 0 started")
    time.sleep(rng.uniform(0, 8))
    process.send_signal(number)
    chaos.end(process, 128 + number)
    running = journal_states(chaos.run_dir)["RUNNING"]
    chaos.finish()
    return f"exit code {128 + number}, {running} RUNNING at once; continued"


def interrupt_twice(chaos: Chaos, rng: random.Random) -> str:
    process = chaos.start()
    chaos.wait_for_text("trial 0 started")
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
    chaos.study["resources"]["concurrent_trials"] = 1
    chaos.study["training"].update(epochs=16, batch_examples=8, checkpoint_minutes=1 / 30)
    chaos.study["early_stopping"] = {"rungs": [0.1, 0.9], "segments": 0.5}


def checkpoint_of(chaos: Chaos, number: int = 0) -> int | None:
    from mtray.report.records import trial_dir
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
        time.sleep(0.5)
    for number in (signal.SIGKILL, signal.SIGTERM):
        seen = later_checkpoint(chaos, seen)
        process.send_signal(number)
        chaos.end(process)
        seen = checkpoint_of(chaos) or seen  # what was written until it was gone
        process = chaos.start()
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
    process = chaos.start()
    chaos.wait_for_text("trial base (base)")
    pid = chaos.wait_for(lambda: chaos.ray_process(name, process), f"a process {name}")
    time.sleep(2)
    while pid is None or not title_of(pid):  # it ended by itself meanwhile
        pid = chaos.wait_for(lambda: chaos.ray_process(name, process), f"a process {name}")
    os.kill(pid, signal.SIGKILL)
    chaos.end(process, 0)
    attempts = {n: r.extra["attempts"] for n, r in records_of(chaos.run_dir).items()
                if "attempts" in r.extra}  # fmt: skip
    if not attempts:
        raise Failed(f"no record tells of the lost process:\n{chaos.text}")
    number, tried = min(attempts.items())
    return f"trial {number}: {tried[0]['reason_class']}, {tried[0]['then']}; {states_text(chaos)}"


def kill_worker(chaos: Chaos, rng: random.Random) -> str:
    return _kill(chaos, "RayTrainWorker")


def kill_trial_actor(chaos: Chaos, rng: random.Random) -> str:
    return _kill(chaos, "ImplicitFunc")


def kill_trial_actor_always(chaos: Chaos, rng: random.Random) -> str:
    """Trial 0 alone, three times."""
    chaos.study["resources"]["concurrent_trials"] = 1
    process = chaos.start()
    chaos.wait_for_text("trial 0 started")
    for _ in range(3):
        before = chaos.text.count("trial 0 runs again")
        chaos.wait_for(lambda: chaos.ray_process("RayTrainWorker", process), "a worker")
        pid = chaos.wait_for(lambda: chaos.ray_process("ImplicitFunc", process), "an actor")
        os.kill(pid, signal.SIGKILL)
        chaos.wait_for(
            lambda b=before: (
                chaos.text.count("trial 0 runs again") > b or "(parallel_only) FAILED" in chaos.text
            ),
            "the loss was seen",
        )
    chaos.end(process, 0)
    record = records_of(chaos.run_dir)[0]
    if record.reason_class != "worker_lost" or len(record.extra["attempts"]) != 2:
        raise Failed(f"trial 0: {record.reason_class} {record.extra}")
    return f"trial 0 failed with worker_lost after 2 further attempts; {states_text(chaos)}"


def lose_node(chaos: Chaos, rng: random.Random) -> str:
    from ray.cluster_utils import Cluster

    # the cluster and who joins it must agree on tokens, whatever this machine has
    os.environ["RAY_AUTH_MODE"] = "disabled"
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        chaos.options = ("--address", cluster.address)
        process = chaos.start()
        chaos.wait_for_text("trial base (base)")

        def elsewhere() -> Any:
            """A node on which a trial trains, and not the driver's, where its board is."""
            for node in nodes:
                raylet = node.all_processes["raylet"][0].process.pid
                titles = " ".join(title_of(pid) for pid in descendants(raylet))
                if "ray::RayTrainWorker" in titles and "ray::Board" not in titles:
                    return node
            return None

        cluster.remove_node(chaos.wait_for(elsewhere, "a trial on another node"),
                            allow_graceful=False)  # fmt: skip
        chaos.end(process, 0)
    finally:
        cluster.shutdown()
        del os.environ["RAY_AUTH_MODE"]
    attempts = [a for r in records_of(chaos.run_dir).values() for a in r.extra.get("attempts", ())]
    classes = Counter(a["reason_class"] for a in attempts)
    if not classes["node_lost"]:
        raise Failed(f"no record tells of the lost node: {classes}\n{chaos.text}")
    return f"{dict(classes)}, again on the node that was left; {states_text(chaos)}"


def nan_loss(chaos: Chaos, rng: random.Random) -> str:
    chaos.trials = 6
    chaos.study["defaults"]["learning_rate"] = 1e30
    chaos.space["learning_rate"] = 1e30
    chaos.finish(code=2)
    wanted = "3 of the first 3 trials failed (3 x not_finite)"
    if wanted not in chaos.text:
        raise Failed(chaos.text)
    chaos.trials = 0  # it gave up, on purpose
    return f"exit code 2: {wanted}"


def _classes(chaos: Chaos, wanted: dict[int, str]) -> str:
    found = {n: r.reason_class for n, r in records_of(chaos.run_dir).items()}
    wrong = {n: (found.get(n), name) for n, name in wanted.items() if found.get(n) != name}
    if wrong:
        raise Failed(f"(found, wanted): {wrong}\n{chaos.text}")
    return ", ".join(f"trial {n}: {name}" for n, name in wanted.items())


def failing_trials(chaos: Chaos, rng: random.Random) -> str:
    """An exception in evaluation, a missing metric, memory that suffices at the second try."""
    chaos.trials = 4
    chaos.injected = {"trials": {0: "exception", 1: "memory_once", 2: "missing"}}
    chaos.finish()
    said = _classes(chaos, {0: "evaluation_error", 2: "evaluation_error"})
    record = records_of(chaos.run_dir)[1]
    if record.state != "complete" or "2048 tokens" not in record.extra["attempts"][0]["then"]:
        raise Failed(f"trial 1: {record.state} {record.extra}")
    return f"{said}; trial 1 out of memory, complete at half the micro-batch; the sweep went on"


def failing_memory(chaos: Chaos, rng: random.Random) -> str:
    chaos.trials = 4
    chaos.injected = {"trials": {0: "nan", 2: "memory"}}
    chaos.finish()
    return _classes(chaos, {0: "not_finite", 2: "out_of_memory"}) + "; the sweep went on"


def time_limit(chaos: Chaos, rng: random.Random) -> str:
    """The base model has time enough, since it trains nothing; the others take many steps."""
    chaos.study["budget"]["trial_minutes"] = 0.5
    chaos.study["training"].update(epochs=2000, batch_examples=8)
    chaos.finish(code=2)
    said = _classes(chaos, {0: "time_limit", 1: "time_limit", 2: "time_limit"})
    return f"{said}; exit code 2, since most of the first trials failed"


def slow_driver(chaos: Chaos, rng: random.Random) -> str:
    chaos.trials = 4
    chaos.injected = {"slow_driver": 8}
    chaos.finish()
    return f"nothing hangs; {states_text(chaos)}"


def full_disk(chaos: Chaos, rng: random.Random) -> str:
    chaos.study["training"]["checkpoints"] = False  # one is larger than the whole disk
    process = chaos.start()
    chaos.wait_for_text("(parallel_only) quality")
    ballast = chaos.folder / "runs" / "ballast"
    with contextlib.suppress(OSError), open(ballast, "wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)
    chaos.end(process, 2)
    if "no space left" not in chaos.text or "Traceback" in chaos.text:
        raise Failed(chaos.text)
    before = records_of(chaos.run_dir)
    journal_states(chaos.run_dir)
    ballast.unlink()
    chaos.finish()
    after = records_of(chaos.run_dir)
    if any(after[n].finished != r.finished for n, r in before.items() if r.state == "complete"):
        raise Failed("a finished trial was run again")
    return f"exit code 2, 'no space left', {len(before)} records kept; continued with room"


def damaged_files(chaos: Chaos, rng: random.Random) -> str:
    """Between two starts: half a line in the journal, half a record of the base and of a trial."""
    process = chaos.start()
    chaos.wait_for_text("(parallel_only) quality")
    process.kill()
    process.wait()
    with open(chaos.run_dir / "study.journal", "ab") as file:
        file.write(b'{"op_code":5,"worker')
    for name in ("base", "0000"):
        path = chaos.run_dir / "trials" / name / "result.json"
        os.truncate(path, path.stat().st_size // 2)
    chaos.output.clear()
    chaos.finish()
    named = [f"trials/{name}/result.json" in chaos.text for name in ("base", "0000")]
    if named != [True, True]:
        raise Failed(chaos.text)
    return "both files named; the base model measured again, trial 0 kept by the search"


SCENARIOS: dict[str, tuple[str, Callable[[Chaos, random.Random], str]]] = {
    "kill_driver": ("kill -9 of the driver, 10 times at random moments", kill_driver),
    "sigterm": ("SIGTERM", stop_once),
    "interrupt_twice": ("Ctrl-C twice", interrupt_twice),
    "kill_worker": ("kill -9 of a Train worker", kill_worker),
    "kill_trial_actor": (
        "kill -9 of a trial's actor (the train controller runs in it)",
        kill_trial_actor,
    ),
    "resumes": ("kill -9 of a long trial's worker, actor, driver; SIGTERM", resumes),
    "kill_trial_actor_always": ("the same, every attempt of one trial", kill_trial_actor_always),
    "lose_node": ("a node of two taken away while a trial runs on it", lose_node),
    "nan_loss": ("learning rate 1e30: NaN loss in every trial", nan_loss),
    "failing_trials": (
        "exception in evaluation, missing metric, out of memory once",
        failing_trials,
    ),
    "failing_memory": ("NaN objective, out of memory twice", failing_memory),
    "time_limit": ("trials longer than budget.trial_minutes", time_limit),
    "slow_driver": ("driver slow for 8 s after every result", slow_driver),
    "full_disk": ("full disk (a tmpfs of 8 MB) while trials run", full_disk),
    "damaged_files": ("half a journal line, half of two result files", damaged_files),
}
# trials whose record is damaged on purpose
MAY_BE_LOST = {"damaged_files": {0}}


@dataclass(frozen=True)
class Row:
    """One line of the table. `error`: what was not as it should be; empty when all was."""

    done: str
    ended: str
    running: int
    lost: int
    twice: int
    seconds: float
    error: str = ""

    @property
    def sound(self) -> bool:
        return not (self.error or self.running or self.lost or self.twice)


def _counts(chaos: Chaos, name: str) -> tuple[int, int, int]:
    """Trials RUNNING, lost, run twice."""
    there = set(records_of(chaos.run_dir)) | MAY_BE_LOST.get(name, set())
    lost = {-1, *range(chaos.trials)} - there
    ended = Counter(ENDED.findall(chaos.text))
    return (
        journal_states(chaos.run_dir)["RUNNING"],
        len(lost),
        sum(n > 1 for n in ended.values()),
    )


def run_scenario(name: str, folder: Path, seed: int = 1) -> Row:
    """Do one thing to a sweep of its own in an empty folder. Raises PermissionError where it cannot
    be done."""
    done, act = SCENARIOS[name]
    chaos, start = Chaos(folder), time.monotonic()
    disk = mounted(folder / "runs", 8) if name == "full_disk" else contextlib.nullcontext()
    try:
        with disk:
            ended = act(chaos, random.Random(seed))
            running, lost, twice = _counts(chaos, name)
        return Row(done, ended, running, lost, twice, time.monotonic() - start)
    except Failed as error:
        spent = time.monotonic() - start
        return Row(done, "not as it should", 0, 0, 0, spent, error=str(error))
    finally:
        chaos.kill_all()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(SCENARIOS), help="some of them")
    parser.add_argument("--list", action="store_true", help="name them and do nothing")
    parser.add_argument("--seed", type=int, default=1, help="of the random moments")
    args = parser.parse_args()
    if args.list:
        print("\n".join(f"{name}: {done}" for name, (done, _) in SCENARIOS.items()))
        return 0
    print("| done to the sweep | how it ended | RUNNING | lost | run twice | seconds |")
    print("|---|---|---|---|---|---|", flush=True)
    failed = []
    for name in args.only or SCENARIOS:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            try:
                row = run_scenario(name, Path(folder), args.seed)
            except PermissionError as error:
                print(f"| {SCENARIOS[name][0]} | not run: {error} | | | | |", flush=True)
                continue
        print(
            f"| {row.done} | {row.ended} | {row.running} | {row.lost} | {row.twice} | "
            f"{row.seconds:.0f} |",
            flush=True,
        )
        if not row.sound:
            failed.append(name)
            print(f"{name}: {row.error}", file=sys.stderr, flush=True)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
