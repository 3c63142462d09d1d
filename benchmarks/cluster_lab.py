#!/usr/bin/env python3
"""A sweep on a cluster of several hosts, and what becomes of it when hosts and cables fail.

    python benchmarks/cluster_lab.py [--only CASE ...] [--list] [--keep]

The hosts are network namespaces of this machine (`benchmarks/lab_hosts.py`): root on Linux with
iproute2 is needed. They are taken down again however the command ends, also when it is killed.
Cases in which a host only lacks something share one cluster. Prints a Markdown table: what was
done, what is expected, what happened, seconds; the exit code is 1 if a case did not end as
expected, and 2 if there can be no hosts here. `--keep` prints what the sweeps said as well.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import string
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import chaos_sweep
import lab_cases as cases
from chaos_sweep import Chaos, Failed
from lab_batch import batch_job
from lab_hosts import Host, lab, why_not
from lab_jobs import TOKEN, job_submit
from lab_refusals import REFUSALS, other_optuna, prepare, said_of, start_refused
from lab_sweep import PATIENCE, new_sweep

HEADER = "| case | what was done | expected | what happened | seconds |\n|---|---|---|---|---|"
NO_CPU = {"cpus": 0}
ALL = "all trials complete"


@dataclass(frozen=True)
class Case:
    """One row of the table.

    letters: the hosts, the first of them the head; `waiting`: those that do not join at first.
    variables: of the processes of all hosts.
    head: how it starts Ray; without a CPU no trial runs there.
    ray: whether the lab starts the cluster; if not, the case does.
    setups: by letter, what is otherwise on a host, in lines of shell, given the shared folder."""

    done: str
    expected: str
    run: Callable[[Chaos, list[Host]], str]
    letters: str = "ab"
    waiting: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    head: Mapping[str, Any] = field(default_factory=dict)
    ray: bool = True
    setups: Callable[[Path], dict[str, str]] = lambda folder: {}


CASES = {
    "plain": Case(
        "a sweep on three hosts", f"exit code 0, {ALL}, workers on every host", cases.plain, "abc"
    ),
    "two_hosts": Case(
        "trials with a worker on each of two hosts, whose names resolve to 127.0.1.1",
        f"exit code 0, {ALL}", cases.two_hosts,
    ),
    "host_lost": Case(
        "a host with a running trial is lost, without notice",
        f"exit code 0, {ALL}; the loss is a node_lost, and the trial resumes elsewhere from its "
        "checkpoint", cases.host_lost, "abc", head=NO_CPU,
    ),
    "network_cut": Case(
        f"a host with a running trial is cut off for {cases.SHORT_CUT:.0f} s",
        f"exit code 0, {ALL}; nothing is trained twice", cases.network_cut, "abc", head=NO_CPU,
    ),
    "long_cut": Case(
        f"a host with a running trial is cut off for {cases.LONG_CUT:.0f} s",
        f"exit code 0, {ALL}; the trial resumes elsewhere, and the cut-off host writes nothing "
        "more into its folder", cases.long_cut, "abc", head=NO_CPU,
    ),
    "host_added": Case(
        "a host joins while the sweep runs", f"exit code 0, {ALL}; the host is used",
        cases.host_added, waiting="b",
    ),
    "two_sweeps": Case(
        "two sweeps side by side, concurrent_trials 1 each; a trial's own process is killed in one",
        f"exit code 0 twice, {ALL}; a worker_lost in the one, nothing in the other",
        cases.two_sweeps,
    ),
    "job_submit": Case(
        "ray job submit from another host with a token, ray job stop, and submitted again",
        f"STOPPED, then SUCCEEDED with {ALL}, resumed from their checkpoints", job_submit,
        variables=TOKEN, head={"dashboard": True},
    ),
    "batch_job": Case(
        "deploy/sweep.sbatch on two hosts with stand-ins for srun and scontrol; told that its time "
        "is over, and run again",
        f"a requeue, then exit code 0, {ALL}, resumed from their checkpoints", batch_job, ray=False,
    ),
    "other_versions": Case(
        "another version of a package on a host",
        "a note names host and package, and the trials start", cases.other_versions,
        setups=lambda folder: {"b": other_optuna(folder)},
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """How a case ended. `right`: as expected."""

    name: str
    happened: str
    seconds: float
    right: bool

    @property
    def text(self) -> str:
        case = CASES.get(self.name) or REFUSALS[self.name]
        said = "" if self.right else "NOT AS EXPECTED: "
        happened = f"{said}{self.happened}".replace("|", "\\|")
        cells = (self.name, case.done, case.expected, happened, f"{self.seconds:.0f}")
        return f"| {' | '.join(cells)} |"


def outcome(happens: Callable[[], str], name: str) -> tuple[str, bool]:
    """What happened, and whether it is as it should be."""
    try:
        return happens(), True
    except (Failed, RuntimeError) as error:  # RuntimeError: of a command that builds the hosts
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        return str(error).splitlines()[0], False


@contextlib.contextmanager
def shared_folder() -> Iterator[Path]:
    # every host has a /tmp of its own
    with tempfile.TemporaryDirectory(dir="/var/tmp", ignore_cleanup_errors=True) as made:
        (Path(made) / "runs").mkdir()
        yield Path(made)


@contextlib.contextmanager
def sweep_on(hosts: list[Host], folder: Path, keep: bool) -> Iterator[Chaos]:
    chaos = new_sweep(folder, hosts)
    try:
        yield chaos
    finally:
        chaos.kill_all()
        if keep:
            print(chaos.text, file=sys.stderr, flush=True)


def run_case(name: str, keep: bool = False) -> Row:
    """Raises PermissionError where hosts cannot be made."""
    case, start = CASES[name], time.monotonic()

    def happens() -> str:
        with shared_folder() as folder, lab(
            case.letters, folder, case.setups(folder), case.variables, case.waiting, case.head,
            case.ray,
        ) as hosts, sweep_on(hosts, folder, keep) as chaos:  # fmt: skip
            return case.run(chaos, hosts)

    happened, right = outcome(happens, name)
    return Row(name, happened, time.monotonic() - start, right)


def run_refusals(names: Sequence[str], keep: bool = False) -> list[Row]:
    """All on one cluster, each with a host of its own. Raises PermissionError where hosts cannot be
    made."""
    start, letters = time.monotonic(), string.ascii_lowercase[: 1 + len(names)]
    with shared_folder() as folder:
        (folder / "models").mkdir()
        lacking = zip(letters[1:], names, strict=True)
        setups = {letter: REFUSALS[name].lacking(folder) for letter, name in lacking}
        with lab(letters, folder, setups) as hosts, sweep_on(hosts, folder, keep) as chaos:
            prepare(chaos)
            happened, right = outcome(lambda: start_refused(chaos) or "", names[0])
            found = [(happened, right)] * len(names)
            if right:
                found = [
                    outcome(lambda h=host, n=name: said_of(chaos, h, n), name)
                    for host, name in zip(hosts[1:], names, strict=True)
                ]
    seconds = time.monotonic() - start
    return [Row(n, text, seconds, good) for n, (text, good) in zip(names, found, strict=True)]


def rows_of(names: Sequence[str], keep: bool) -> Iterator[Row]:
    for name in names:
        if name in CASES:
            yield run_case(name, keep)
    if refusals := [name for name in names if name in REFUSALS]:
        yield from run_refusals(refusals, keep)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=[*CASES, *REFUSALS], help="some of them")
    parser.add_argument("--list", action="store_true", help="name them and do nothing")
    parser.add_argument("--keep", action="store_true", help="print what the sweeps said")
    args = parser.parse_args()
    if args.list:
        listed = {**CASES, **REFUSALS}
        print("\n".join(f"{name}: {case.done}" for name, case in listed.items()))
        return 0
    if reason := why_not():
        print(f"nothing was run: {reason}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    chaos_sweep.PATIENCE = PATIENCE
    print(HEADER, flush=True)
    right = True
    for row in rows_of(args.only or [*CASES, *REFUSALS], args.keep):
        right = right and row.right
        print(row.text, flush=True)
    return not right


if __name__ == "__main__":
    sys.exit(main())
