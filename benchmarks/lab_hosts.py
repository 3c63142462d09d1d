"""Hosts for `benchmarks/cluster_lab.py`: network namespaces with an address each, with their own
processes, /tmp, /dev/shm, host name and home, and one folder that all see. Needs root on Linux."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

NAME = "mtraylab"
SWITCH = f"{NAME}-switch"
LOCK = f"/tmp/{NAME}.lock"
NETWORK = "10.77.0"
PORT = 6379
RAY = str(Path(sys.executable).with_name("ray"))
ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",  # as a cluster in a trusted network
    "RAY_DISABLE_MEMORY_MONITOR": "1",  # all hosts share the memory of one
    "HOME": "/tmp",
}


def run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}".strip())
    return done


class Host:
    """One of the hosts; `letter` names it. `setup`: further lines of shell before it is ready."""

    def __init__(self, letter: str, number: int, folder: Path, setup: str = "") -> None:
        self.letter, self.number = letter, number
        self.name, self.address = f"{NAME}-{letter}", f"{NETWORK}.{number}"
        run("ip", "netns", "add", self.name)
        run("ip", "link", "add", "eth0", "netns", self.name, "type", "veth",
            "peer", "name", f"to-{letter}", "netns", SWITCH)  # fmt: skip
        run("ip", "-n", SWITCH, "link", "set", f"to-{letter}", "master", "bridge", "up")
        for device in ("lo", "eth0"):
            run("ip", "-n", self.name, "link", "set", device, "up")
        run("ip", "-n", self.name, "address", "add", f"{self.address}/24", "dev", "eth0")
        hosts = folder / f"hosts-{letter}"
        # as Debian sets a machine up
        hosts.write_text(f"127.0.0.1 localhost\n127.0.1.1 {letter}\n")
        script = (
            f"set -e; hostname {letter}; mount --bind {hosts} /etc/hosts; "
            "mount -t tmpfs tmpfs /tmp; mount -t tmpfs tmpfs /dev/shm; "
            f"{setup} echo ready; exec sleep infinity"
        )
        self._init = subprocess.Popen(
            ["ip", "netns", "exec", self.name, "unshare", "--mount", "--uts", "--pid", "--fork",
             "--kill-child", "--mount-proc", "sh", "-c", script],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert self._init.stdout is not None
        if self._init.stdout.readline() != "ready\n":
            raise RuntimeError(f"host {letter} was not set up")
        children = Path(f"/proc/{self._init.pid}/task/{self._init.pid}/children")
        self._pid = int(children.read_text().split()[0])

    @property
    def prefix(self) -> tuple[str, ...]:
        """Of a command that runs on this host."""
        return ("nsenter", "-t", str(self._pid), "-m", "-u", "-n", "-p")

    def run(self, *command: str) -> str:
        variables = [f"{name}={value}" for name, value in ENVIRONMENT.items()]
        return run(*self.prefix, "env", *variables, *command).stdout

    def start_ray(self, head: str | None = None, cpus: int = 1) -> None:
        where = ["--head", f"--port={PORT}", "--include-dashboard=false"]
        if head:
            where = [f"--address={head}:{PORT}"]
        self.run(RAY, "start", *where, f"--node-ip-address={self.address}", f"--num-cpus={cpus}",
                 "--object-store-memory=200000000", "--disable-usage-stats")  # fmt: skip

    def titles(self) -> list[str]:
        """The titles of its processes."""
        return self.run("ps", "-eo", "args").splitlines()

    def link(self, state: str) -> None:
        """`down` cuts its cable, `up` mends it."""
        run("ip", "-n", SWITCH, "link", "set", f"to-{self.letter}", state)

    def lose(self) -> None:
        """Nobody hears of it: the cable goes first."""
        self.link("down")
        self.close()

    def close(self) -> None:
        """Every process on it ends with its first one."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        self._init.wait(30)


def clean() -> None:
    """Delete what an earlier lab may have left."""
    for line in run("ip", "netns", "list").stdout.splitlines():
        name = line.split()[0]
        if name.startswith(f"{NAME}-"):
            for pid in run("ip", "netns", "pids", name, check=False).stdout.split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            run("ip", "netns", "delete", name)


@contextlib.contextmanager
def lab(letters: str, folder: Path, setups: dict[str, str] | None = None) -> Iterator[list[Host]]:
    """Connected hosts, the first of them the head of a Ray cluster. Raises PermissionError where
    there are no namespaces."""
    if run("ip", "netns", "list", check=False).returncode or os.geteuid():
        raise PermissionError("network namespaces cannot be made here (root, iproute2)")
    with open(LOCK, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # the names of the hosts are always the same
        with _hosts(letters, folder, setups or {}) as hosts:
            yield hosts


@contextlib.contextmanager
def _hosts(letters: str, folder: Path, setups: dict[str, str]) -> Iterator[list[Host]]:
    clean()
    hosts: list[Host] = []
    try:
        run("ip", "netns", "add", SWITCH)
        run("ip", "-n", SWITCH, "link", "add", "bridge", "type", "bridge")
        run("ip", "-n", SWITCH, "link", "set", "bridge", "up")
        for number, letter in enumerate(letters, start=1):
            hosts.append(Host(letter, number, folder, setups.get(letter, "")))
        hosts[0].start_ray()
        for host in hosts[1:]:
            host.start_ray(hosts[0].address)
        time.sleep(2)  # until the head knows them
        yield hosts
    finally:
        for host in hosts:
            host.close()
        clean()
