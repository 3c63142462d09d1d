"""The cases of `benchmarks/cluster_lab.py` in which hosts and cables fail, or join."""

from __future__ import annotations

import time

from chaos_kills import wait_for_training
from chaos_sweep import Chaos, Failed
from lab_hosts import Host
from lab_sweep import (
    Writers,
    busy,
    ended,
    host_in_training,
    long_trial,
    losses,
    new_sweep,
)

from mtray.run_files import trial_dir

SHORT_CUT, LONG_CUT = 40.0, 100.0  # seconds


def plain(chaos: Chaos, hosts: list[Host]) -> str:
    chaos.trials = 3
    process = chaos.start()
    used = chaos.wait_for(
        lambda: len(found := busy(hosts)) == len(hosts) and [h.letter for h in found],
        "workers on all hosts",
    )  # fmt: skip
    return f"{ended(chaos, process)}; workers on {', '.join(used)}; {losses(chaos).text}"


def two_hosts(chaos: Chaos, hosts: list[Host]) -> str:
    """The name of each host stands for 127.0.1.1."""
    chaos.study["resources"]["workers"] = 2
    process = chaos.start()
    chaos.wait_for(lambda: len(busy(hosts)) == 2, "a worker on each host")
    return f"{ended(chaos, process)}; a worker on each of two hosts; {losses(chaos).text}"


def host_lost(chaos: Chaos, hosts: list[Host]) -> str:
    long_trial(chaos, epochs=16)
    process = chaos.start()
    lost = host_in_training(chaos, hosts)
    lost.lose()
    said, found = ended(chaos, process), losses(chaos)
    if list(found.classes) != ["node_lost"] or not found.resumed or found.repeated:
        raise Failed(f"{found}\n{chaos.text}")
    return f"{said}; {found.text}"


def network_cut(chaos: Chaos, hosts: list[Host]) -> str:
    long_trial(chaos, epochs=32)
    process = chaos.start()
    cut = host_in_training(chaos, hosts)
    cut.link("down")
    time.sleep(SHORT_CUT)
    cut.link("up")
    said, found = ended(chaos, process), losses(chaos)
    if set(found.classes) - {"node_lost"} or found.repeated:
        raise Failed(f"{found}\n{chaos.text}")
    return f"{said}; {found.text}"


def long_cut(chaos: Chaos, hosts: list[Host]) -> str:
    """The host that was cut off trains on, and must not write any more once its trial has been
    started elsewhere."""
    long_trial(chaos, epochs=64)
    process = chaos.start()
    cut = host_in_training(chaos, hosts)
    writers = Writers(trial_dir(chaos.run_dir, 0))
    with writers.watching():
        cut.link("down")
        since = time.time()
        time.sleep(LONG_CUT)
        alone = bool(busy([cut]))
        cut.link("up")
        said, found = ended(chaos, process), losses(chaos)
    taken = writers.taken_over(cut.letter)
    if taken is None or set(found.classes) != {"node_lost"} or found.repeated:
        raise Failed(f"taken over {taken}, {found}\n{writers.files}\n{chaos.text}")
    on, late = writers.by(cut.letter, since, taken), writers.by(cut.letter, taken)
    if late:
        raise Failed(f"{cut.letter} wrote {late} after the takeover\n{chaos.text}")
    return (
        f"{said}; {found.text}; the trial was taken over {taken - since:.0f} s after the cut; the "
        f"cut-off host wrote {len(on)} files before that and none after it"
        f"{', though its worker ran on' if alone else ''}"
    )


def host_added(chaos: Chaos, hosts: list[Host]) -> str:
    chaos.trials = 4
    process = chaos.start()
    chaos.wait_for_text("trial 0 started")
    hosts[-1].start_ray(hosts[0].address)
    chaos.wait_for(lambda: busy(hosts[-1:]), "a worker on the host that joined")
    return f"{ended(chaos, process)}; {hosts[-1].letter} got a worker; {losses(chaos).text}"


def other_versions(chaos: Chaos, hosts: list[Host]) -> str:
    """A package, not mtray: told, and no reason to refuse."""
    process = chaos.start()
    chaos.wait_for_text("trial base started")
    if f"note: b ({hosts[1].address}): has other versions: optuna 0.0.1 (here" not in chaos.text:
        raise Failed(f"no note\n{chaos.text}")
    process.kill()
    return "a note names b, the package and both versions, and the trials start"


def two_sweeps(chaos: Chaos, hosts: list[Host]) -> str:
    """Each with one trial at a time, on its own half of the cluster."""
    both = [new_sweep(chaos.folder, hosts, name) for name in ("one", "two")]
    for each, epochs in zip(both, (64, 16), strict=True):
        long_trial(each, epochs)
    first = both[0].start()

    def actors_of_first() -> dict[str, list[str]]:
        found = {host.letter: host.processes("ray::ImplicitFunc") for host in hosts}
        return found if any(found.values()) else {}

    actors = both[0].wait_for(actors_of_first, "the process of a trial")
    second = both[1].start()
    for each in both:
        wait_for_training(each)
    for host in hosts:
        host.kill(actors[host.letter])
    said = [ended(each, process) for each, process in zip(both, (first, second), strict=True)]
    found = [losses(each) for each in both]
    if found[0].classes != {"worker_lost": 1} or found[0].repeated or found[1].classes:
        raise Failed(f"{found}\n{both[0].text}\n{both[1].text}")
    return "; ".join(f"{s}, {f.text}" for s, f in zip(said, found, strict=True))
