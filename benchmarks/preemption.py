"""Trials on machines and in processes whose end is announced: what they lose, and how long a move
takes.

    python benchmarks/preemption.py [CASE ...]

Each case is a sweep of one long trial (256 steps on the small study, a checkpoint at most every ten
minutes) on a cluster of several Ray nodes of this machine with pretended CPUs.

    drain    the node on which the trial trains is drained with a deadline of two minutes, as a
             cloud's notice for a spot machine; once the trial has moved, the node is removed
    sigterm  the worker of the trial receives SIGTERM

Steps lost are those that the trial was seen to have done before it moved, and did again.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos_kills import a_cluster, long_trials
from chaos_sweep import Chaos, Failed, descendants, records_of, title_of

GRACE = 120  # seconds between the notice and the end of a machine
HEAD = (
    "case",
    "step at the notice",
    "resumed at",
    "steps lost",
    "seconds to move",
    "attempts",
    "exit",
)


@dataclass(frozen=True)
class Moved:
    """What a move cost.

    told: the step that was known at the notice.
    seen: the last step that was seen before the trial had left.
    resumed: the step that it went on from.
    seconds: from the notice until it was seen to train elsewhere.
    attempts: why earlier attempts ended, of its record.
    code: the sweep's exit code.
    """

    told: int
    seen: int
    resumed: int
    seconds: float
    attempts: tuple[str, ...]
    code: int

    @property
    def lost(self) -> int:
        return max(0, self.seen - self.resumed)

    def row(self, case: str) -> tuple[str, ...]:
        return (
            case, str(self.told), str(self.resumed), str(self.lost), f"{self.seconds:.0f}",
            ", ".join(self.attempts), str(self.code),
        )  # fmt: skip


Notice = Callable[[Any, Any], None]  # given the cluster and the node


def step_of(chaos: Chaos, state: str = "training") -> int:
    """The step of trial 0 as the page shows it; 0 in another state."""
    from mtray.search.ledger.live_progress import read_progress

    found = read_progress(chaos.run_dir, time.time())
    steps = (
        [t.step or 0 for t in found.trials if t.number == 0 and t.state == state] if found else []
    )
    return steps[0] if steps else 0


def worker_of(node: Any) -> int | None:
    """The process id of the trial's worker on a node."""
    raylet = node.all_processes["raylet"][0].process.pid
    found = [pid for pid in descendants(raylet) if "ray::RayTrainWorker" in title_of(pid)]
    return found[0] if found else None


def drain(cluster: Any, node: Any) -> None:
    command = [
        str(Path(sys.executable).with_name("ray")), "drain-node", "--address", cluster.address,
        "--node-id", node.node_id, "--reason", "DRAIN_NODE_REASON_PREEMPTION",
        "--reason-message", "a spot machine's notice", "--deadline-remaining-seconds", str(GRACE),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise Failed(f"the node was not drained: {done.stderr}")


def terminate(cluster: Any, node: Any) -> None:
    os.kill(worker_of(node) or 0, signal.SIGTERM)


CASES: dict[str, Notice] = {"drain": drain, "sigterm": terminate}


def moved(chaos: Chaos, notice: Notice) -> Moved:
    long_trials(chaos)
    del chaos.study["early_stopping"]
    chaos.study["training"]["checkpoint_minutes"] = 10.0
    with a_cluster(chaos) as cluster:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        process = chaos.start()
        chaos.wait_for(lambda: step_of(chaos) > 20, "the trial trains")
        node = next(node for node in nodes if worker_of(node))
        told, start = step_of(chaos), time.monotonic()
        seen = [told]
        notice(cluster, node)

        def moves() -> bool:
            if goes_on := "trial 0 moves" in chaos.text or "trial 0 runs again" in chaos.text:
                return goes_on
            seen.append(step_of(chaos))
            return False

        chaos.wait_for(moves, "the trial moves")
        chaos.wait_for(lambda: step_of(chaos) == 0, "the trial has left its workers")
        chaos.wait_for(lambda: step_of(chaos), "the trial trains again")
        seconds = time.monotonic() - start
        if notice is drain:
            cluster.remove_node(node, allow_graceful=False)
        code = chaos.end(process)
    record = records_of(chaos.run_dir)[0]
    if record.state != "complete" or record.training is None:
        raise Failed(f"trial 0: {record.state} {record.reason}\n{chaos.text}")
    attempts = tuple(str(a["reason_class"]) for a in record.extra.get("attempts", ()))
    resumed = record.training.resumed
    return Moved(told, max(seen), resumed[0] if resumed else 0, seconds, attempts, code)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)}; all")
    parser.add_argument("--output", action="store_true", help="print what the sweeps print, too")
    args = parser.parse_args()
    rows, code = [HEAD], 0
    for case in args.cases or CASES:
        with tempfile.TemporaryDirectory(prefix="mtray-preemption-") as folder:
            chaos = Chaos(Path(folder))
            try:
                found = moved(chaos, CASES[case])
                rows.append(found.row(case))
                code = code or int(found.lost > 0 or found.code != 0)
            except Failed as failed:
                print(f"{case}: {failed}", file=sys.stderr)
                code = 1
            finally:
                chaos.kill_all()
            if args.output:
                print(chaos.text)
    print("\n".join("| " + " | ".join(row) + " |" for row in rows))
    return code


if __name__ == "__main__":
    sys.exit(main())
