"""The case of `benchmarks/cluster_lab.py` in which the batch script of deploy/ for Slurm runs on
hosts, is told that its time is over, and runs again, as it does when it is requeued.

In place of Slurm, `srun` passes its command and environment on to the lab, which starts it on every
host, and `scontrol` notes what it was asked for. Ray, mtray and the script are the real ones.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from chaos_kills import checkpoint_of, wait_for_training
from chaos_sweep import ROOT, Chaos, Failed, states_text
from lab_hosts import Host
from lab_sweep import PATIENCE, long_trial, losses

from mtray.repeated_calls import repeated

SCRIPT = str(ROOT / "deploy/sweep.sbatch")
JOB = 4242
SRUN = """#!/usr/bin/env bash
while [[ "$1" == --* ]]; do [[ "$1" == *=* ]] || shift; shift; done
env -0 > {spool}/environment
printf '%s\\0' "$@" > {spool}/part && mv {spool}/part {spool}/command
until [[ -e {spool}/code ]]; do sleep 0.2; done
exit "$(cat {spool}/code)"
"""


class Batch:
    """The script on the first host, with stand-ins for Slurm's programs in `folder`."""

    def __init__(self, chaos: Chaos, hosts: list[Host]) -> None:
        self._hosts, self._steps = hosts, list[subprocess.Popen[str]]()
        self._spool, bin_dir = chaos.folder / "slurm", chaos.folder / "bin"
        for folder in (self._spool, bin_dir, chaos.folder / "home"):
            folder.mkdir()
        for name, text in (
            ("srun", SRUN.format(spool=self._spool)),
            ("scontrol", f'#!/usr/bin/env bash\necho "$@" >> {self._spool}/asked\n'),
        ):
            (bin_dir / name).write_text(text)
            (bin_dir / name).chmod(0o755)
        variables = {
            **hosts[0].variables, **chaos.variables, "COLUMNS": "200", "PYTHONUNBUFFERED": "1",
            "PATH": f"{bin_dir}:{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(chaos.folder / "home"), "MTRAY_RUNS": str(chaos.folder / "runs"),
            "SLURM_JOB_ID": str(JOB), "SLURM_JOB_NUM_NODES": str(len(hosts)),
            "SLURM_CPUS_PER_TASK": "1",
        }  # fmt: skip
        self._command = [
            *hosts[0].prefix, "env", "-i", *(f"{k}={v}" for k, v in variables.items()),
            "bash", SCRIPT, *chaos.what(),
        ]  # fmt: skip
        self._log = chaos.folder / "batch.log"

    @property
    def text(self) -> str:
        return self._log.read_text(errors="replace") if self._log.is_file() else ""

    @property
    def asked(self) -> str:
        """What `scontrol` was asked for."""
        file = self._spool / "asked"
        return file.read_text().strip() if file.is_file() else ""

    @contextlib.contextmanager
    def running(self) -> Iterator[subprocess.Popen[str]]:
        for name in ("command", "code"):
            (self._spool / name).unlink(missing_ok=True)
        self._steps.clear()
        with open(self._log, "a") as log, repeated(self._look, 0.2, "srun"):
            process = subprocess.Popen(
                self._command, stdout=log, stderr=subprocess.STDOUT, text=True
            )
            try:
                yield process
            finally:
                process.kill()
                process.wait(30)

    def time_is_over(self) -> None:
        """As Slurm tells the script, and nobody else, with `--signal=B:TERM@300`."""
        found = self._hosts[0].processes(f"bash {SCRIPT}")
        self._hosts[0].run("kill", "-TERM", min(found, key=int))

    def _look(self) -> None:
        """Start the command of `srun` on all hosts, and tell it the highest exit code."""
        command, code = self._spool / "command", self._spool / "code"
        if command.exists() and not self._steps:
            given = command.read_text().split("\0")[:-1]
            variables = (self._spool / "environment").read_text().split("\0")[:-1]
            with open(self._log, "a") as log:
                self._steps += [
                    subprocess.Popen([*host.prefix, "env", "-i", *variables, *given],
                                     stdout=log, stderr=subprocess.STDOUT, text=True)
                    for host in self._hosts
                ]  # fmt: skip
        codes = [step.poll() for step in self._steps]
        if codes and None not in codes and not code.exists():
            (self._spool / "part").write_text(str(max(abs(c or 0) for c in codes)))
            (self._spool / "part").rename(code)


def batch_job(chaos: Chaos, hosts: list[Host]) -> str:
    long_trial(chaos, epochs=24)
    batch = Batch(chaos, hosts)
    with batch.running() as first:
        try:
            wait_for_training(chaos)
        except Failed:
            raise Failed(f"no training\n{batch.text}") from None
        batch.time_is_over()
        code = first.wait(PATIENCE)
    kept = checkpoint_of(chaos)
    with batch.running() as second:
        again = second.wait(PATIENCE)
    found = losses(chaos)
    if batch.asked != f"requeue {JOB}" or not code or again or found.resumed != [kept]:
        raise Failed(f"{code}, {again}, asked {batch.asked!r}, kept {kept}, {found}\n{batch.text}")
    return (
        f"exit code {code} and a requeue; then exit code 0, {states_text(chaos)}; {found.text}, "
        "where it was stopped"
    )
