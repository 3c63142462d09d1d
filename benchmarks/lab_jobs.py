"""The case of `benchmarks/cluster_lab.py` in which a sweep is submitted as a Ray job, stopped and
submitted again."""

from __future__ import annotations

import re
import sys
import time

from chaos_kills import checkpoint_of, wait_for_training
from chaos_sweep import ROOT, Chaos, Failed, states_text
from lab_hosts import DASHBOARD, RAY, Host
from lab_sweep import PATIENCE, long_trial, losses

TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}
# Ray prints "Status for job 'x': RUNNING" while it runs, and then "Job 'x' was stopped"
STATUS = re.compile(r"\b(pending|running|succeeded|stopped|failed)\b", re.IGNORECASE)
LAST = ("SUCCEEDED", "STOPPED", "FAILED")


class Jobs:
    """Ray's own commands on a host other than the head, with the cluster's token."""

    def __init__(self, chaos: Chaos, hosts: list[Host]) -> None:
        self._chaos, self._host = chaos, hosts[1]
        self._address = f"--address=http://{hosts[0].address}:{DASHBOARD}"

    def submit(self, name: str) -> None:
        chaos = self._chaos
        variables = ["PYTHONUNBUFFERED=1", "COLUMNS=200"]
        variables += [f"{key}={chaos.variables[key]}" for key in ("MTRAY_CACHE", "MTRAY_STORE")]
        command = [
            "env", *variables, sys.executable, str(ROOT / "sweeps/ratio_search.py"),
            *chaos.what(), "--runs-dir", str(chaos.folder / "runs"),
            "--page", "off", "--address", "auto",
        ]  # fmt: skip
        self._ray("submit", f"--submission-id={name}", "--no-wait", "--", *command)

    def stop(self, name: str) -> None:
        self._ray("stop", "--no-wait", name)

    def log(self, name: str) -> str:
        return self._ray("logs", name)

    def status(self, name: str) -> str:
        found = STATUS.findall(self._ray("status", name))
        return str(found[-1]).upper() if found else ""

    def end(self, name: str) -> str:
        """The job's last status."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if (found := self.status(name)) in LAST:
                return found
            time.sleep(1)
        raise Failed(f"job {name} is {found}\n{self.log(name)}")

    def _ray(self, verb: str, *rest: str) -> str:
        return self._host.run(RAY, "job", verb, self._address, *rest, check=verb == "submit")


def job_submit(chaos: Chaos, hosts: list[Host]) -> str:
    long_trial(chaos, epochs=24)
    jobs = Jobs(chaos, hosts)
    jobs.submit("first")
    try:
        wait_for_training(chaos)
    except Failed:
        raise Failed(jobs.log("first")) from None
    jobs.stop("first")
    first = jobs.end("first")
    kept = checkpoint_of(chaos)
    jobs.submit("second")
    second, text = jobs.end("second"), jobs.log("second")
    found = losses(chaos)
    if (first, second) != ("STOPPED", "SUCCEEDED") or found.resumed != [kept]:
        raise Failed(f"{first}, {second}, kept {kept}, {found}\n{text}")
    return f"{first}, then {second}, {states_text(chaos)}; {found.text}, where it was stopped"
