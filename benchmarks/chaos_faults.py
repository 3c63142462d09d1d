"""Failures within a trial, of the disk and of time limits. Each function takes a sweep, injects the
failure, runs the sweep to its end, and reports the outcome."""

from __future__ import annotations

import contextlib
import os
import random

from chaos_sweep import (
    Chaos,
    Failed,
    journal_states,
    records_of,
    states_text,
)


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
    then = record.extra["attempts"][0]["then"]
    if record.state != "complete" or "half the micro-batch" not in then:
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
    return _until_full(chaos, "(parallel_only) quality")


def full_disk_checkpoint(chaos: Chaos, rng: random.Random) -> str:
    """The disk is full when safetensors writes a checkpoint."""
    chaos.study["training"].update(checkpoint_minutes=0.01, epochs=10)
    return _until_full(chaos, "(base) quality")


def _until_full(chaos: Chaos, text: str) -> str:
    """Fill the disk once `text` was printed; then free it and run the same command again. Raises
    Failed if a trial failed or a half-written file is left."""
    process = chaos.start()
    chaos.wait_for_text(text)
    ballast = chaos.folder / "runs" / "ballast"
    with contextlib.suppress(OSError), open(ballast, "wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)
    chaos.end(process, 2)
    if "no space left" not in chaos.text or "Traceback" in chaos.text:
        raise Failed(chaos.text)
    before = records_of(chaos.run_dir)
    if failed := [n for n, record in before.items() if record.state == "failed"]:
        raise Failed(f"trials {failed} failed, and will not run again:\n{chaos.text}")
    if left := [str(p) for p in chaos.run_dir.rglob("*") if p.name.endswith((".partial", ".tmp"))]:
        raise Failed(f"half-written files are left: {left}")
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
