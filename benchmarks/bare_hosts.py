"""Hosts of `lab_hosts.py` on which no Ray runs yet, for what starts it itself."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import lab_hosts
from chaos_sweep import Chaos

from mtray.paths import cache_dir


class BareHost(lab_hosts.Host):
    def start_ray(self, *_: Any, **__: Any) -> None: ...


@contextlib.contextmanager
def bare_hosts(letters: str) -> Iterator[tuple[Path, list[lab_hosts.Host]]]:
    """A folder that all hosts see, and the hosts. PermissionError as `lab`."""
    # every host has a /tmp of its own
    with (
        tempfile.TemporaryDirectory(dir="/var/tmp", ignore_cleanup_errors=True) as made,
        mock.patch.object(lab_hosts, "Host", BareHost),
        lab_hosts.lab(letters, Path(made)) as hosts,
    ):
        (Path(made) / "runs").mkdir()
        yield Path(made), hosts


def variables(folder: Path) -> dict[str, str]:
    """The environment of a sweep on these hosts: a home that they share, and a cluster that asks
    for a token."""
    (folder / "home").mkdir(exist_ok=True)
    return {
        **lab_hosts.ENVIRONMENT, "HOME": str(folder / "home"), "RAY_AUTH_MODE": "token",
        "MTRAY_CACHE": str(cache_dir()), "MTRAY_STORE": str(folder / "store"),
        "PYTHONUNBUFFERED": "1",
    }  # fmt: skip


def one_long_trial(folder: Path, trials: int = 1, epochs: int = 48) -> Chaos:
    """A study whose trials take minutes and keep a checkpoint every two seconds."""
    chaos = Chaos(folder, trials=trials)
    chaos.study["budget"]["baselines"] = "none"
    chaos.study["resources"]["concurrent_trials"] = 1
    chaos.study["training"].update(epochs=epochs, batch_examples=8, checkpoint_minutes=1 / 30)
    rate = {"type": "float", "low": 4e-4, "high": 5e-4}
    chaos.space = {"parallel_size": 128, "learning_rate": rate}
    return chaos


def on(host: lab_hosts.Host, environment: dict[str, str], *command: str,
       check: bool = True) -> subprocess.CompletedProcess[str]:  # fmt: skip
    """Run a command on a host. Raises RuntimeError with its output if it fails."""
    assigned = [f"{name}={value}" for name, value in environment.items()]
    return lab_hosts.run(*host.prefix, "env", *assigned, *command, check=check)
