"""What every machine of a cluster sees, asked before the first trial: the runs folder, the files
that the study names, and the code that trials run."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtray.compat.ray import draining_nodes
from mtray.errors import RunError
from mtray.runtime import CODE, versions
from mtray.schema import Study

ANSWER_WITHIN = 120.0  # seconds; a busy machine may take half a minute to start a process
NONCE = ".probe-"


@dataclass(frozen=True)
class NodeReport:
    """What a machine sees.

    node: its host name and the address by which Ray knows it.
    problems: what prevents trials there.
    notes: what differs and does not prevent them.
    """

    node: str
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def probe(folder: Path, paths: Sequence[str] = ()) -> list[NodeReport]:
    """Ask every machine of the joined cluster whether it sees `folder` of this machine and the
    `paths`, and which code it has."""
    with _nonce_in(folder) as nonce:
        asked = _ask(str(nonce), list(paths))
    expected = versions()
    return [_report(address, found, nonce, expected) for address, found in asked]


def check_nodes(run_dir: Path, study: Study) -> list[str]:
    """Lines on what differs between the machines of the joined cluster. Raises RunError, naming
    every machine and path, if trials cannot run on one of them. A single machine is not asked."""
    import ray

    if sum(node["Alive"] for node in ray.nodes()) < 2:
        return []
    reports = probe(run_dir, shared_paths(study))
    wrong = [f"  {report.node}: {text}" for report in reports for text in report.problems]
    if wrong:
        raise RunError(
            "not every machine of the cluster can run trials:\n" + "\n".join(wrong) + "\nA runs "
            "folder, models and metrics given as folders must be on a file system that all "
            "machines see under the same path (`--runs-dir`), and mtray must be the same "
            "everywhere; `python -m mtray doctor --address ADDRESS` asks again"
        )
    return [f"{report.node}: {text}" for report in reports for text in report.notes]


def shared_paths(study: Study) -> list[str]:
    """The files and folders of this machine that trials read on theirs."""
    wanted = study.evaluation
    named = [study.model, wanted.comet, wanted.embedder, *wanted.more_comet.values()]
    return [str(name) for name in named if name and Path(str(name)).exists()]


@contextlib.contextmanager
def _nonce_in(folder: Path) -> Iterator[Path]:
    """A file that no other folder has."""
    path = folder / f"{NONCE}{secrets.token_hex(16)}"
    path.write_text(path.name, encoding="ascii")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _ask(nonce: str, paths: list[str]) -> list[tuple[str, Mapping[str, Any] | str]]:
    """The address of each alive machine, and what it answers or why it does not."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(num_cpus=0, max_retries=0)(_look())
    asked, drained = {}, draining_nodes()  # nothing starts on those
    for node in ray.nodes():
        if node["Alive"] and node["NodeID"] not in drained:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            reference = task.options(scheduling_strategy=there).remote(nonce, paths)
            asked[reference] = str(node["NodeManagerAddress"])
    ray.wait([*asked], num_returns=len(asked), timeout=ANSWER_WITHIN)
    return [(address, _answer(reference)) for reference, address in asked.items()]


def _answer(reference: Any) -> Mapping[str, Any] | str:
    import ray

    try:
        found: Mapping[str, Any] = ray.get(reference, timeout=0.1)
        return found
    except ray.exceptions.GetTimeoutError:
        return f"starts no process within {ANSWER_WITHIN:.0f} s"
    except ray.exceptions.RayError as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return f"cannot run a task: {lines[-1]}"


def _look() -> Callable[[str, list[str]], dict[str, Any]]:
    """The task. It is defined within a function, so that Ray sends its code along: a machine
    without mtray can run it, too."""

    def look(nonce: str, paths: list[str]) -> dict[str, Any]:
        import os
        import platform
        import socket

        found: dict[str, Any] = {"host": socket.gethostname(), "python": platform.python_version()}
        try:
            found["resolves"] = socket.gethostbyname(socket.gethostname())
        except OSError:
            found["resolves"] = ""
        found["sees_folder"] = os.path.isfile(nonce)
        found["lacks"] = [path for path in paths if not os.path.exists(path)]
        try:
            from mtray.runtime import versions as versions_there

            found["versions"] = versions_there()
        except Exception as error:  # whatever prevents it, prevents trials
            found["import_error"] = f"{type(error).__name__}: {error}"
        return found

    return look


def _report(
    address: str, found: Mapping[str, Any] | str, nonce: Path, expected: Mapping[str, str]
) -> NodeReport:
    if isinstance(found, str):
        return NodeReport(address, (found,))
    node = f"{found['host']} ({address})"
    problems = [] if found["sees_folder"] else [f"does not see this machine's {nonce.parent}"]
    problems += [f"has no {path}" for path in found["lacks"]]
    if "import_error" in found:
        problems.append(f"cannot import mtray ({found['import_error']})")
        return NodeReport(node, tuple(problems))
    there = found["versions"]
    if there.get(CODE) != expected.get(CODE):
        problems.append(
            f"has other code of mtray (version {there.get('mtray')}, code {there.get(CODE)}; here "
            f"{expected.get('mtray')}, {expected.get(CODE)}), and trials of both are no comparison"
        )
    differ = [
        f"{name} {there.get(name, 'missing')} (here {version})"
        for name, version in expected.items()
        if name != CODE and there.get(name) != version
    ]
    notes = [f"has other versions: {', '.join(differ)}"] if differ else []
    return NodeReport(node, tuple(problems), tuple(notes))
