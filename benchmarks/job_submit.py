#!/usr/bin/env python3
"""A sweep as a job: `ray job submit`, twice stopped with `ray job stop`, and resumed.

    python benchmarks/job_submit.py

The cluster is `ray start --head` on a host of its own, a network namespace (root on Linux with
iproute2), and asks for a token. The study has one trial; a job is stopped once the trial has
trained for a while, and the same command is submitted again. Prints a Markdown table: the step at
which each job was stopped, the step after which the next one resumed, and the steps in between,
which were trained twice.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from bare_hosts import bare_hosts, on, one_long_trial, variables
from chaos_sweep import ROOT, records_of
from lab_hosts import RAY, Host

from mtray.run_files import trial_dir
from mtray.search.ledger.live_progress import read_progress
from mtray.training.checkpoints import kept_step

PATIENCE = 300.0  # seconds for anything awaited: the machine may be busy
STOPS = 2
MORE = 24  # steps that are trained before a job is stopped
ENDS = ("SUCCEEDED", "FAILED", "STOPPED")


class Jobs:
    """Jobs of a cluster, by what a user types."""

    def __init__(self, host: Host, environment: dict[str, str]) -> None:
        self._host, self._environment = host, environment
        self._address = f"http://{host.address}:8265"

    def start_cluster(self) -> None:
        on(self._host, self._environment, RAY, "get-auth-token", "--generate")
        on(self._host, self._environment, RAY, "start", "--head", "--num-cpus=1",
           f"--node-ip-address={self._host.address}", "--dashboard-host=0.0.0.0",
           "--object-store-memory=200000000", "--disable-usage-stats")  # fmt: skip

    def ask(self, verb: str, *more: str, check: bool = True) -> str:
        done = on(self._host, self._environment, RAY, "job", verb, "--address", self._address,
                  *more, check=check)  # fmt: skip
        return done.stdout + done.stderr

    def submit(self, name: str, command: list[str]) -> None:
        self.ask("submit", "--no-wait", "--submission-id", name, "--", *command)

    def status(self, name: str) -> str:
        found = re.findall(r"\b(PENDING|RUNNING|SUCCEEDED|FAILED|STOPPED)\b",
                           self.ask("status", name))  # fmt: skip
        return found[-1] if found else ""


def wait_for(happened: Callable[[], Any], what: str) -> Any:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if found := happened():
            return found
        time.sleep(0.2)
    raise RuntimeError(f"{what}: not within {PATIENCE:.0f} s")


def step_of(run_dir: Path) -> int:
    """The step that the trial has reached, by what the sweep writes for `status`."""
    found = read_progress(run_dir, time.time())
    steps = [t.step or 0 for t in found.trials if t.number == 0 and "train" in t.state] \
        if found else []  # fmt: skip
    return max(steps, default=0)


def measure(folder: Path, host: Host) -> list[tuple[str, int, str]]:
    """(job, step at which it was stopped, how it ended) of every job."""
    sweep = one_long_trial(folder)
    (folder / "study.yaml").write_text(yaml.safe_dump(sweep.study))
    (folder / "space.yaml").write_text(yaml.safe_dump(sweep.space))
    command = [
        sys.executable, str(ROOT / "sweeps" / "ratio_search.py"),
        "--study", str(folder / "study.yaml"), "--space", str(folder / "space.yaml"),
        "--runs-dir", str(folder / "runs"), "--trials", "1", "--address", "auto", "--page", "off",
    ]  # fmt: skip
    jobs, found, reached = Jobs(host, variables(folder)), list[tuple[str, int, str]](), 0
    jobs.start_cluster()
    for number in range(STOPS + 1):
        name = f"sweep-{number + 1}"
        jobs.submit(name, command)
        print(f"  {name} submitted", file=sys.stderr, flush=True)
        if number < STOPS:
            least = reached + MORE

            def trained(least: int = least) -> bool:
                return step_of(sweep.run_dir) >= least

            try:
                wait_for(trained, f"{name} trains")
            except RuntimeError:
                print(jobs.status(name), jobs.ask("logs", name, check=False), file=sys.stderr)
                raise
            reached = step_of(sweep.run_dir)
            jobs.ask("stop", name)
        status = wait_for(lambda name=name: (s := jobs.status(name)) in ENDS and s, "its end")
        kept = kept_step(trial_dir(sweep.run_dir, 0)) or 0
        print(f"  {name}: {status}, checkpoint of step {kept}", file=sys.stderr, flush=True)
        found.append((name, reached if number < STOPS else 0, status))
    return found


def table(jobs: list[tuple[str, int, str]], resumed: tuple[int, ...], steps: int) -> str:
    lines = ["| job | stopped at step | ended as | next job resumed after step | steps trained "
             "twice |", "|---|---|---|---|---|"]  # fmt: skip
    for (name, at, status), after in zip(jobs, (*resumed, None), strict=True):
        if after is None:
            lines.append(f"| {name} | (all {steps}) | {status} | | |")
        else:
            lines.append(f"| {name} | {at} | {status} | {after} | {max(0, at - after)} |")
    return "\n".join(lines)


def main() -> int:
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()
    with bare_hosts("a") as (folder, hosts):
        jobs = measure(folder, hosts[0])
        record = records_of(folder / "runs" / "chaos")[0]
    if record.training is None or len(record.training.resumed) != STOPS:
        raise SystemExit(f"the trial was not resumed {STOPS} times: {record}")
    print(table(jobs, record.training.resumed, record.training.steps))
    return 0


if __name__ == "__main__":
    sys.exit(main())
