"""What Ray needs of a machine, and what every machine of a cluster sees, for `doctor`. Standard
library only, except with a cluster."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from mtray.commands.finding import Finding
from mtray.errors import MtrayError, RunError
from mtray.search.execution.process_limit import LEAST, process_limit
from mtray.search.execution.ray_folder import session_folder

if TYPE_CHECKING:
    from mtray.schema import Study

DASHBOARD_PORT = 8265


def ray_files() -> Iterable[Finding]:
    """The folder of Ray's sockets, whose paths must be short."""
    try:
        found = session_folder()
    except RunError as error:
        yield Finding("MISSING", "Ray's files", str(error))
        return
    yield Finding("note" if found.note else "ok", "Ray's files", found.note or f"{found.path}/ray")


def processes() -> Iterable[Finding]:
    found = process_limit()
    if found is None or found.enough:
        yield Finding("ok", "processes", found.text if found else "no limit")
        return
    yield Finding("MISSING" if found.left < LEAST else "note", "processes", found.shortage)


def dashboard(port: int = DASHBOARD_PORT) -> Iterable[Finding]:
    """Whether the port that Ray's dashboard takes by default is free."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            text = (
                f"port {port} is in use; Ray takes the next free one and the sweep prints its URL"
            )
            yield Finding("note", "Ray's dashboard", text)
            return
    yield Finding("ok", "Ray's dashboard", f"port {port} is free")


def cluster(address: str, runs_dir: Path, study_file: Path | None = None) -> Iterable[Finding]:
    """A finding for every machine of the cluster at `address`: whether it sees this machine's runs
    folder and has the same code, and with `study_file` whether it has what that study needs."""
    from mtray.search.execution.cluster_address import check_address
    from mtray.search.execution.ray_connection import disconnect, start_ray
    from mtray.study import load_study

    made = not runs_dir.exists()
    try:
        study = None if study_file is None else load_study(study_file)
        check_address(address)
        start_ray(address, resources=study.resources if study else None)
        runs_dir.mkdir(parents=True, exist_ok=True)
        yield from _machines(runs_dir.absolute(), study)
    except MtrayError as error:
        yield Finding("MISSING", "cluster", str(error))
        return
    finally:
        if made and runs_dir.is_dir() and not any(runs_dir.iterdir()):
            runs_dir.rmdir()
    disconnect()


def _machines(runs_dir: Path, study: Study | None = None) -> Iterable[Finding]:
    import ray

    from mtray.compat.ray import draining_nodes, node_name
    from mtray.search.execution.cluster_probe import NOTHING, needs_of, probe

    needs = NOTHING if study is None else needs_of(study)
    has = "the same code" if study is None else "the same code and what the study needs"
    for report in probe(runs_dir, needs):
        for text in report.problems:
            yield Finding("MISSING", "cluster", f"{report.node} {text}")
        for text in report.notes:
            yield Finding("note", "cluster", f"{report.node} {text}")
        if not report.problems:
            text = f"{report.node} sees {runs_dir} and has {has}"
            yield Finding("ok", "cluster", text)
    drained = draining_nodes()
    for node in ray.nodes():
        if node["Alive"] and node["NodeID"] in drained:
            text = f"{node_name(node)} is being drained: not asked, and no trial starts there"
            yield Finding("note", "cluster", text)
