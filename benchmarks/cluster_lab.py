#!/usr/bin/env python3
"""A sweep on a cluster of several hosts, and what becomes of it when hosts and cables fail.

    python benchmarks/cluster_lab.py [--only NAME ...] [--list] [--keep]

The hosts are network namespaces of this machine (`benchmarks/lab_hosts.py`): root on Linux with
iproute2 is needed, and they are always taken down again. Prints a Markdown table: what was done,
how the sweep ended, seconds. `--keep` prints what each sweep said as well.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

import chaos_sweep
from chaos_kills import checkpoint_of, many_steps, resumed_of, wait_for_training
from chaos_sweep import ROOT, Chaos, Failed, records_of, states_text
from lab_hosts import ENVIRONMENT, PORT, Host, lab

from mtray.paths import cache_dir

PATIENCE = 1200.0  # seconds: three hosts share the cores of one
CUT = 40.0  # seconds
WORKER = "ray::RayTrainWorker"


def new_sweep(folder: Path, hosts: list[Host]) -> Chaos:
    """Started on the first host, which is the head."""
    chaos = Chaos(folder)
    chaos.prefix = hosts[0].prefix
    chaos.options = ("--address", f"{hosts[0].address}:{PORT}")
    chaos.variables = {
        **ENVIRONMENT, "MTRAY_CACHE": str(cache_dir()), "MTRAY_STORE": str(folder / "store"),
    }  # fmt: skip
    return chaos


def busy(hosts: list[Host]) -> list[Host]:
    """The hosts that have a trial's worker."""
    return [host for host in hosts if any(WORKER in title for title in host.titles())]


def plain(chaos: Chaos, hosts: list[Host]) -> str:
    process = chaos.start()
    used = chaos.wait_for(
        lambda: len(found := busy(hosts)) > 1 and [h.letter for h in found],
        "workers on several hosts", PATIENCE,
    )  # fmt: skip
    chaos.end(process, 0)
    return f"exit code 0, workers on {', '.join(used)}; {states_text(chaos)}"


def two_hosts(chaos: Chaos, hosts: list[Host]) -> str:
    """The name of each host stands for 127.0.1.1."""
    chaos.study["resources"]["workers"] = 2
    chaos.study["budget"]["baselines"] = "none"
    chaos.trials = 2
    chaos.finish()
    return f"exit code 0; {states_text(chaos)}"


def host_lost(chaos: Chaos, hosts: list[Host]) -> str:
    long_sweep(chaos)
    process = chaos.start()
    lost = host_in_training(chaos, hosts)
    lost.lose()
    chaos.end(process, 0)
    attempts = [a for r in records_of(chaos.run_dir).values() for a in r.extra.get("attempts", ())]
    classes = sorted({a["reason_class"] for a in attempts})
    if classes != ["node_lost"]:
        raise Failed(f"attempts by class: {classes}\n{chaos.text}")
    steps = sorted(step for found in resumed_of(chaos).values() for step in found)
    return f"exit code 0, {len(attempts)} x node_lost, resumed after {steps}; {states_text(chaos)}"


def network_cut(chaos: Chaos, hosts: list[Host]) -> str:
    long_sweep(chaos)
    process = chaos.start()
    cut = host_in_training(chaos, hosts)
    cut.link("down")
    time.sleep(CUT)
    cut.link("up")
    chaos.end(process, 0)
    attempts = [a for r in records_of(chaos.run_dir).values() for a in r.extra.get("attempts", ())]
    return f"exit code 0, {len(attempts)} attempts lost; {states_text(chaos)}"


def not_shared(chaos: Chaos, hosts: list[Host]) -> str:
    chaos.end(chaos.start(), 2)
    named = [h for h in hosts[1:] if f"{h.letter} ({h.address}): does not see" in chaos.text]
    if len(named) != len(hosts) - 1 or records_of(chaos.run_dir):
        raise Failed(f"named: {[h.letter for h in named]}\n{chaos.text}")
    return f"exit code 2 before the first trial, named {', '.join(h.letter for h in named)}"


def other_code(chaos: Chaos, hosts: list[Host]) -> str:
    chaos.end(chaos.start(), 2)
    told = [
        f"b ({hosts[1].address}): has other code of mtray",
        f"c ({hosts[2].address}): cannot import mtray",
    ]
    if missing := [text for text in told if text not in chaos.text]:
        raise Failed(f"not told: {missing}\n{chaos.text}")
    return "exit code 2 before the first trial, named b and c with what is wrong there"


def setups(name: str, folder: Path) -> dict[str, str]:
    """What is otherwise on some hosts, in lines of shell."""
    if name == "not_shared":
        return dict.fromkeys("bc", f"mount -t tmpfs tmpfs {folder}/runs;")
    if name == "other_code":
        shutil.copytree(ROOT / "mtray/trial", folder / "other")
        (folder / "other/more.py").touch()
        places = {ROOT, *map(Path, installed_from())}
        without = "".join(f"mount -t tmpfs tmpfs {place}/mtray;" for place in places)
        return {"b": f"mount --bind {folder}/other {ROOT}/mtray/trial;", "c": without}
    return {}


def installed_from() -> list[str]:
    """The checkout that is installed, which may be another one."""
    text = distribution("mtray").read_text("direct_url.json")
    return [str(json.loads(text)["url"]).removeprefix("file://")] if text else []


def long_sweep(chaos: Chaos) -> None:
    chaos.trials = 3  # as many as hosts, so that each has one
    chaos.study["budget"]["baselines"] = "none"
    many_steps(chaos, epochs=48)
    rate = {"type": "float", "low": 4e-4, "high": 5e-4}
    chaos.space = {"parallel_size": 128, "learning_rate": rate}


def host_in_training(chaos: Chaos, hosts: list[Host]) -> Host:
    """A host other than the first one, once every trial has a checkpoint."""
    wait_for_training(chaos, trials=chaos.trials)
    steps = [checkpoint_of(chaos, number) for number in range(chaos.trials)]
    print(f"  checkpoints: {steps}", file=sys.stderr, flush=True)
    found: list[Host] = chaos.wait_for(lambda: busy(hosts[1:]), "a trial elsewhere", PATIENCE)
    return found[0]


CASES: dict[str, tuple[str, Callable[[Chaos, list[Host]], str]]] = {
    "plain": ("a sweep on three hosts", plain),
    "two_hosts": ("one trial with a worker on each of two hosts", two_hosts),
    "host_lost": ("a host with a running trial lost, silently", host_lost),
    "network_cut": (f"a host with a running trial cut off for {CUT:.0f} s", network_cut),
    "not_shared": ("a runs folder that only the first host sees", not_shared),
    "other_code": ("other code of mtray on one host, none on another", other_code),
}
HOSTS = {"two_hosts": "ab"}


def run_case(name: str, keep: bool) -> tuple[str, float, bool]:
    """How it ended, seconds, whether it is as it should be."""
    start = time.monotonic()
    # every host has a /tmp of its own
    with tempfile.TemporaryDirectory(dir="/var/tmp", ignore_cleanup_errors=True) as made:
        folder = Path(made)
        (folder / "runs").mkdir()
        with lab(HOSTS.get(name, "abc"), folder, setups(name, folder)) as hosts:
            chaos = new_sweep(folder, hosts)
            try:
                return CASES[name][1](chaos, hosts), time.monotonic() - start, True
            except Failed as error:
                print(f"{name}: {error}", file=sys.stderr, flush=True)
                return "not as it should", time.monotonic() - start, False
            finally:
                chaos.kill_all()
                if keep:
                    print(chaos.text, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=list(CASES), help="some of them")
    parser.add_argument("--list", action="store_true", help="name them and do nothing")
    parser.add_argument("--keep", action="store_true", help="print what the sweeps said")
    args = parser.parse_args()
    if args.list:
        print("\n".join(f"{name}: {done}" for name, (done, _) in CASES.items()))
        return 0
    chaos_sweep.PATIENCE = PATIENCE
    print("| what was done | how the sweep ended | seconds |\n|---|---|---|", flush=True)
    sound = True
    for name in args.only or CASES:
        try:
            ended, seconds, right = run_case(name, args.keep)
        except PermissionError as error:
            print(f"nothing was run: {error}")
            return 0
        sound = sound and right
        print(f"| {CASES[name][0]} | {ended} | {seconds:.0f} |", flush=True)
    return not sound


if __name__ == "__main__":
    sys.exit(main())
