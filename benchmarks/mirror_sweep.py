"""A real small sweep whose head is lost: all its processes are killed, its run folder deleted."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from pathlib import Path

from chaos_kills import resumed_of
from chaos_sweep import Chaos, Failed, descendants, journal_states, records_of

from mtray.mirror.address import opened
from mtray.mirror.manifest import Manifest, newest
from mtray.run_files import trial_name

TRIALS = 2


def small_sweep(folder: Path, address: str) -> Chaos:
    """Two trials of 96 steps, one at a time, that keep a checkpoint every two seconds, and are
    measured without COMET."""
    chaos = Chaos(folder, TRIALS, ("--mirror", address))
    evaluation = chaos.study["evaluation"]
    evaluation["comet"] = "none"
    evaluation["abilities"] = {"perplexity.en": evaluation["abilities"]["perplexity.en"]}
    chaos.study["objectives"] = {"chrf.en-uk": "max", "retention": "max"}
    chaos.study["budget"]["baselines"] = "none"
    chaos.study["resources"]["concurrent_trials"] = 1
    chaos.study["training"].update(epochs=8, batch_examples=8, checkpoint_minutes=1 / 30)
    rate = {"type": "float", "low": 4e-4, "high": 5e-4}
    chaos.space = {"parallel_size": 96, "learning_rate": rate}
    return chaos


def head_lost(folder: Path, address: str) -> str:
    """Kill the head when the copy has a record of a trial and a checkpoint of another; Failed
    unless the same command then finishes with the same trials."""
    chaos = small_sweep(folder, address)
    try:
        return _lost_and_resumed(chaos, address)
    finally:
        for process in chaos.started:
            if process.poll() is None:
                kill_all(process.pid)


def kill_all(pid: int) -> None:
    """Kill a process and all below it."""
    for each in (pid, *descendants(pid)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


def _lost_and_resumed(chaos: Chaos, address: str) -> str:
    process = chaos.start()
    bucket = opened(address).within("chaos")

    def far_enough() -> Manifest | None:
        found = newest(bucket)
        if found is None or found.ended < 2:
            return None
        return found if any(file.resumes for file in found.files) else None

    chaos.wait_for(far_enough, "a record and a checkpoint are in the copy", 600)
    kill_all(process.pid)
    process.wait()
    copied = newest(bucket)
    assert copied is not None
    before = {f.path: f.sha256 for f in copied.files if f.path.endswith("/result.json")}
    shutil.rmtree(chaos.run_dir)
    chaos.finish()
    return _compared(chaos, before, newest(bucket))


def _compared(chaos: Chaos, before: dict[str, str], copied: Manifest | None) -> str:
    records, states = records_of(chaos.run_dir), journal_states(chaos.run_dir)
    if sorted(n for n in records if n >= 0) != list(range(TRIALS)) or states["COMPLETE"] != TRIALS:
        raise Failed(f"trials {sorted(records)}, {dict(states)} in the journal:\n{chaos.text}")
    after = {file.path: file.sha256 for file in copied.files} if copied else {}
    again = [path for path, sha256 in before.items() if after.get(path) != sha256]
    # space-filling points beyond the budget wait in the journal for a longer one
    if again or set(states) - {"COMPLETE", "WAITING"}:
        raise Failed(f"{again} were run again; {dict(states)}")
    resumed = resumed_of(chaos)
    if not resumed:
        raise Failed(f"no trial was resumed from its checkpoint:\n{chaos.text}")
    steps = ", ".join(
        f"trial {trial_name(n)} resumed after step {s[0]}" for n, s in resumed.items()
    )
    return (
        f"{len(before)} records restored and kept as they were, {steps}, exit code 0, all {TRIALS} "
        "trials complete, none twice; the copy at the end has all of them"
    )
