"""The cases of `benchmarks/cluster_lab.py` in which a host lacks something: what it lacks, and what
the sweep says before its first trial. They share one cluster, with a host for each."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import distribution
from pathlib import Path

from chaos_sweep import ROOT, Chaos, Failed, records_of
from lab_hosts import Host


@dataclass(frozen=True)
class Refusal:
    """A host on which no trial can run.

    done, expected: as in the table.
    lacking: lines of shell by which the host lacks it, given the folder that all hosts see.
    told: the beginning of what is said of the host, given that folder."""

    done: str
    lacking: Callable[[Path], str]
    told: Callable[[Path], str]
    expected: str = "exit code 2 before the first trial, naming the host and what is wrong there"


def no_runs(folder: Path) -> str:
    return hidden(folder / "runs")


def no_mtray(folder: Path) -> str:
    return hidden(*(place / "mtray" for place in places()))


def other_code(folder: Path) -> str:
    shutil.copytree(ROOT / "mtray/trial", folder / "other")
    (folder / "other/more.py").touch()
    return f"mount --bind {folder}/other {ROOT}/mtray/trial;"


def no_model(folder: Path) -> str:
    return hidden(folder / "models")


def no_metric(folder: Path) -> str:
    found = {(place / ".venv-metrics").resolve() for place in places()}
    return hidden(*(environment for environment in found if environment.is_dir()))


def other_optuna(folder: Path) -> str:
    """By what the package's metadata say."""
    found = distribution("optuna")
    metadata = next(Path(str(found.locate_file(""))).glob("optuna-*.dist-info")) / "METADATA"
    changed = metadata.read_text().replace(f"Version: {found.version}", "Version: 0.0.1", 1)
    (folder / "METADATA").write_text(changed)
    return f"mount --bind {folder}/METADATA {metadata};"


REFUSALS = {
    "not_shared": Refusal(
        "a runs folder that a host does not see",
        no_runs,
        lambda f: f"does not see this machine's {f}",
    ),
    "without_mtray": Refusal("mtray missing on a host", no_mtray, lambda f: "cannot import mtray"),
    "other_code": Refusal(
        "another version of mtray on a host", other_code, lambda f: "has other code of mtray"
    ),
    "head_only_model": Refusal(
        "a model's folder that a host does not have", no_model, lambda f: f"has no {f}/models/base"
    ),
    "without_metric": Refusal(
        "the interpreter for COMET missing on a host", no_metric, lambda f: "cannot compute COMET"
    ),
}


def prepare(chaos: Chaos) -> None:
    """A study that needs all of it."""
    shutil.copytree(ROOT / "mtray/embedded/weights/base", chaos.folder / "models/base")
    chaos.study["model"] = str(chaos.folder / "models/base")
    chaos.study["evaluation"]["comet"] = "embedded"
    chaos.study["objectives"] = {"quality": "max", "retention": "max"}


def start_refused(chaos: Chaos) -> None:
    """Failed unless the sweep ends with code 2 before its first trial, without a traceback."""
    chaos.end(chaos.start(), 2)
    if "Traceback" in chaos.text or records_of(chaos.run_dir):
        raise Failed(chaos.text)


def said_of(chaos: Chaos, host: Host, name: str) -> str:
    """What is said of the host; Failed if it is not what it lacks."""
    told = f"  {host.letter} ({host.address}): {REFUSALS[name].told(chaos.folder)}"
    if told not in chaos.text:
        raise Failed(f"not told: {told}\n{chaos.text}")
    return f"exit code 2 before the first trial: `{told.strip().replace(str(chaos.folder), '…')}…`"


def hidden(*folders: Path) -> str:
    return "".join(f"mount -t tmpfs tmpfs {folder};" for folder in folders)


def places() -> set[Path]:
    """This checkout, and the one that is installed, which may be another."""
    text = distribution("mtray").read_text("direct_url.json")
    installed = [str(json.loads(text)["url"]).removeprefix("file://")] if text else []
    return {ROOT, *map(Path, installed)}
