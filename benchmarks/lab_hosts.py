"""Hosts for `benchmarks/cluster_lab.py`: network namespaces with an address each, with their own
processes, /tmp, /dev/shm, host name and home, and one folder that all see. Needs root on Linux."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TextIO

ROOT = Path(__file__).resolve().parents[1]
NAME = "mtraylab"
SWITCH = f"{NAME}-switch"
LOCK = f"/tmp/{NAME}.lock"
NETWORK = "10.77.0"
PORT, DASHBOARD = 6379, 8265
RAY = str(Path(sys.executable).with_name("ray"))
# a file of a host shows by its permissions which host has written it
UMASKS = {"a": 0o022, "b": 0o026, "c": 0o062}
STARTS = 4  # attempts to start Ray on a host
TOOLS = ("ip", "unshare", "nsenter", "mount", "hostname", "ps")
ENVIRONMENT = {
    "RAY_AUTH_MODE": "disabled",  # as a cluster in a trusted network
    "RAY_DISABLE_MEMORY_MONITOR": "1",  # all hosts share the memory of one
    "RAY_worker_niceness": "0",  # as the rest of the sweep, where the machine has other work too
    "RAY_prestart_worker_first_driver": "0",  # no sweep could use those
    "HOME": "/tmp",
}


def run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}".strip())
    return done


def why_not() -> str:
    """Why hosts cannot be made here; empty if they can."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are Linux's"
    if os.geteuid():
        return "only root may make network namespaces"
    if lacking := [tool for tool in TOOLS if not shutil.which(tool)]:
        return f"{', '.join(lacking)} not found (packages iproute2, util-linux, procps)"
    if hidden := [p for p in (ROOT, Path(sys.prefix)) if p.is_relative_to("/tmp")]:
        return f"{hidden[0]} lies in /tmp, which every host replaces"
    trial = f"{NAME}{os.getpid()}"  # not one that `clean` deletes
    tried = run("ip", "netns", "add", trial, check=False)
    if not tried.returncode:
        own = ("unshare", "--mount", "--uts", "--pid", "--fork")
        mounting = ("mount", "-t", "tmpfs", "tmpfs", "/tmp")
        tried = run("ip", "netns", "exec", trial, *own, *mounting, check=False)
        run("ip", "netns", "delete", trial, check=False)
    if tried.returncode:
        said = tried.stderr.strip().splitlines() or ["no reason given"]
        return f"namespaces cannot be made here ({said[-1]})"
    return ""


class Host:
    """One of the hosts; `letter` names it. `setup`: further lines of shell before it is ready.
    `variables`: of its processes, in addition to `ENVIRONMENT`."""

    def __init__(
        self, letter: str, number: int, folder: Path, setup: str = "",
        variables: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.letter, self.number = letter, number
        self.variables = {**ENVIRONMENT, **(variables or {})}
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
        self.pid = int(children.read_text().split()[0])

    @property
    def prefix(self) -> tuple[str, ...]:
        """Of a command that runs on this host."""
        return ("nsenter", "-t", str(self.pid), "-m", "-u", "-n", "-p")

    def run(self, *command: str, check: bool = True) -> str:
        """What a command prints that runs here."""
        variables = [f"{name}={value}" for name, value in self.variables.items()]
        done = run(*self.prefix, "env", *variables, *command, check=check)
        return done.stdout + done.stderr

    def start_ray(self, head: str | None = None, cpus: int = 1, dashboard: bool = False) -> None:
        where = [f"--address={head}:{PORT}"]
        if not head:
            where = ["--head", f"--port={PORT}", f"--include-dashboard={str(dashboard).lower()}"]
            where += ["--dashboard-host=0.0.0.0", f"--dashboard-port={DASHBOARD}"]
        where += [f"--node-ip-address={self.address}", f"--num-cpus={cpus}",
                  "--object-store-memory=200000000", "--disable-usage-stats"]  # fmt: skip
        # what Ray starts here keeps the umask
        begin = ("sh", "-c", f'umask {UMASKS.get(self.letter, 0o022):03o}; exec "$@"', "sh")
        # Ray itself waits half a minute, which is short on a busy machine
        for left in reversed(range(STARTS)):
            try:
                self.run(*begin, RAY, "start", *where)
                return
            except RuntimeError:
                if not left:
                    raise
                self.run(RAY, "stop", "--force", check=False)

    def titles(self) -> list[str]:
        """The titles of its processes."""
        return self.run("ps", "-eo", "args").splitlines()

    def processes(self, title: str) -> list[str]:
        """The ids of its processes whose title begins so."""
        found = (line.split(None, 1) for line in self.run("ps", "-eo", "pid,args").splitlines())
        return [number for number, *rest in found if "".join(rest).startswith(title)]

    def kill(self, processes: list[str]) -> None:
        if processes:
            self.run("kill", "-9", *processes)

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
            os.kill(self.pid, signal.SIGKILL)
        self._init.wait(30)


def clean() -> None:
    """Delete what an earlier lab may have left."""
    for line in run("ip", "netns", "list").stdout.splitlines():
        name = line.split()[0]
        if name.startswith(f"{NAME}-"):
            for pid in run("ip", "netns", "pids", name, check=False).stdout.split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            run("ip", "netns", "delete", name, check=False)


@contextlib.contextmanager
def cleaned_up(folder: Path) -> Iterator[None]:
    """Even if this process is killed: another one waits for its end, then deletes the hosts and
    the folder."""
    janitor = subprocess.Popen(
        [sys.executable, __file__, str(folder)], stdin=subprocess.PIPE, start_new_session=True
    )
    assert janitor.stdin is not None
    try:
        yield
    finally:
        janitor.stdin.write(b"done")
        janitor.stdin.close()
        janitor.wait(30)


def _wait_and_clean(folder: Path) -> None:
    """As its own process: stdin ends when the lab's process does."""
    if sys.stdin.buffer.read():
        return  # it has cleaned up itself
    with open(LOCK, "w") as file:
        # the lock of a process that was killed is free a moment after its pipes; if the next lab
        # has it already, that one cleans the hosts
        if _locked_within(file, 5.0):
            clean()
        time.sleep(1)
        shutil.rmtree(folder, ignore_errors=True)


def _locked_within(file: TextIO, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.1)
    return False


@contextlib.contextmanager
def lab(
    letters: str,
    folder: Path,
    setups: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
    waiting: str = "",
    head: Mapping[str, Any] | None = None,
    ray: bool = True,
) -> Iterator[list[Host]]:
    """Connected hosts, the first of them the head of a Ray cluster that all others but those
    `waiting` have joined, unless there is to be none. `head`: of its `start_ray`. Raises
    PermissionError where there are no namespaces."""
    if reason := why_not():
        raise PermissionError(reason)
    with open(LOCK, "w") as file, cleaned_up(folder):
        fcntl.flock(file, fcntl.LOCK_EX)  # the names of the hosts are always the same
        clean()
        hosts: list[Host] = []
        try:
            run("ip", "netns", "add", SWITCH)
            run("ip", "-n", SWITCH, "link", "add", "bridge", "type", "bridge")
            run("ip", "-n", SWITCH, "link", "set", "bridge", "up")
            for number, letter in enumerate(letters, start=1):
                setup = (setups or {}).get(letter, "")
                hosts.append(Host(letter, number, folder, setup, variables))
            if ray:
                _form_cluster(hosts, waiting, head or {})
            yield hosts
        finally:
            for host in hosts:
                host.close()
            clean()


def _form_cluster(hosts: list[Host], waiting: str, head: Mapping[str, Any]) -> None:
    hosts[0].start_ray(**head)
    joining = [host for host in hosts[1:] if host.letter not in waiting]
    with ThreadPoolExecutor(2) as pool:
        for _ in pool.map(lambda host: host.start_ray(hosts[0].address), joining):
            pass
    time.sleep(2)  # until the head knows them


if __name__ == "__main__":
    _wait_and_clean(Path(sys.argv[1]))
