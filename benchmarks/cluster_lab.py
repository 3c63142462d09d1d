#!/usr/bin/env python3
"""A sweep on a cluster of several hosts, and what becomes of it when hosts and cables fail.

    python benchmarks/cluster_lab.py [--only CASE ...] [--list] [--keep]

The hosts are network namespaces of this machine (`benchmarks/lab_hosts.py`): root on Linux with
iproute2 is needed. They are taken down again however the command ends, also when it is killed.
Prints a Markdown table: what was done, what is expected, what happened, seconds; the exit code is 1
if a case did not end as expected, and 2 if there can be no hosts here. `--keep` prints what the
sweeps said as well.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import chaos_sweep
import lab_cases as cases
from chaos_sweep import Chaos, Failed
from lab_hosts import Host, lab, why_not
from lab_jobs import TOKEN, job_submit
from lab_sweep import PATIENCE, new_sweep

HEADER = "| case | what was done | expected | what happened | seconds |\n|---|---|---|---|---|"
NO_CPU = {"cpus": 0}
ALL = "all trials complete"


@dataclass(frozen=True)
class Case:
    """One row of the table.

    letters: the hosts, the first of them the head; `waiting`: those that do not join at first.
    variables: of the processes of all hosts.
    head: how it starts Ray; without a CPU no trial runs there."""

    done: str
    expected: str
    run: Callable[[Chaos, list[Host]], str]
    letters: str = "ab"
    waiting: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    head: Mapping[str, Any] = field(default_factory=dict)


REFUSED = cases.BEFORE
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
    "not_shared": Case(
        "a runs folder that only the first host sees", f"{REFUSED}, naming hosts and folder",
        cases.not_shared, "abc",
    ),
    "without_mtray": Case(
        "mtray missing on a host", f"{REFUSED}, naming the host; no traceback", cases.without_mtray
    ),
    "other_code": Case(
        "other code of mtray on a host", f"{REFUSED}, naming the host and both versions",
        cases.other_code,
    ),
    "other_versions": Case(
        "another version of a package on a host",
        "a note names host and package, and the trials start",
        cases.other_versions,
    ),
    "head_only_model": Case(
        "a model's folder that only the head has", f"{REFUSED}, naming host and folder",
        cases.head_only_model,
    ),
    "without_metric": Case(
        "the interpreter for COMET missing on a host", f"{REFUSED}, naming the host",
        cases.without_metric,
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
        case, said = CASES[self.name], "" if self.right else "NOT AS EXPECTED: "
        happened = f"{said}{self.happened}".replace("|", "\\|")
        cells = (self.name, case.done, case.expected, happened, f"{self.seconds:.0f}")
        return f"| {' | '.join(cells)} |"


def run_case(name: str, keep: bool = False) -> Row:
    """Raises PermissionError where hosts cannot be made."""
    case, start = CASES[name], time.monotonic()
    # every host has a /tmp of its own
    with tempfile.TemporaryDirectory(dir="/var/tmp", ignore_cleanup_errors=True) as made:
        folder = Path(made)
        (folder / "runs").mkdir()
        with lab(
            case.letters, folder, cases.setups(name, folder), case.variables, case.waiting,
            case.head,
        ) as hosts:  # fmt: skip
            chaos = new_sweep(folder, hosts)
            try:
                happened, right = case.run(chaos, hosts), True
            except Failed as error:
                print(f"{name}: {error}", file=sys.stderr, flush=True)
                happened, right = str(error).splitlines()[0], False
            finally:
                chaos.kill_all()
                if keep:
                    print(chaos.text, file=sys.stderr, flush=True)
    return Row(name, happened, time.monotonic() - start, right)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(CASES), help="some of them")
    parser.add_argument("--list", action="store_true", help="name them and do nothing")
    parser.add_argument("--keep", action="store_true", help="print what the sweeps said")
    args = parser.parse_args()
    if args.list:
        print("\n".join(f"{name}: {case.done}" for name, case in CASES.items()))
        return 0
    if reason := why_not():
        print(f"nothing was run: {reason}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    chaos_sweep.PATIENCE = PATIENCE
    print(HEADER, flush=True)
    right = True
    for name in args.only or CASES:
        row = run_case(name, args.keep)
        right = right and row.right
        print(row.text, flush=True)
    return not right


if __name__ == "__main__":
    sys.exit(main())
