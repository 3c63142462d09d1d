"""What every machine of a cluster sees, asked before the first trial: the runs folder, the files
and programs that the study names, and the code that trials run."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mtray.compat.ray import draining_nodes
from mtray.errors import RunError
from mtray.model_paths import HUB_NAME
from mtray.runtime import CODE
from mtray.schema import NO_COMET, Study

ANSWER_WITHIN = 120.0  # seconds; a busy machine may take half a minute to start a process
NONCE = ".probe-"


@dataclass(frozen=True)
class Needs:
    """What trials need on their machine besides the runs folder.

    paths: files and folders of this machine, which must be the same there.
    programs: commands, and files that they read, which must be there.
    comet: whether an interpreter that computes COMET.
    hub: models given by their names on the hub: (name, whether it is a COMET checkpoint).
    """

    paths: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    comet: bool = False
    hub: tuple[tuple[str, bool], ...] = ()


NOTHING = Needs()


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


def probe(folder: Path, needs: Needs = NOTHING) -> list[NodeReport]:
    """Ask every machine of the joined cluster whether it sees `folder` of this machine and has what
    trials need, and which code it has."""
    with _nonce_in(folder) as nonce:
        asked = _ask(str(nonce), needs)
        here = _look()(str(nonce), asdict(needs))
    return [_report(address, found, folder, here) for address, found in asked]


def check_nodes(run_dir: Path, study: Study) -> list[str]:
    """Lines on what differs between the machines of the joined cluster. Raises RunError, naming
    every machine and path, if trials cannot run on one of them. A single machine is not asked."""
    import ray

    if sum(node["Alive"] for node in ray.nodes()) < 2:
        return []
    reports = probe(run_dir, needs_of(study))
    wrong = [f"  {report.node}: {text}" for report in reports for text in report.problems]
    if wrong:
        raise RunError(
            "not every machine of the cluster can run trials:\n" + "\n".join(wrong) + "\nA runs "
            "folder, models and metrics given as folders must be on a file system that all "
            "machines see under the same path (`--runs-dir`), and mtray must be the same "
            "everywhere; a machine that may not access the hub needs the study's models in its "
            "cache, which may be on such a file system, too (HF_HOME); "
            "`python -m mtray doctor --address ADDRESS --study STUDY` repeats this check"
        )
    return [f"{report.node}: {text}" for report in reports for text in report.notes]


def needs_of(study: Study) -> Needs:
    """What trials of the study need on their machine."""
    wanted = study.evaluation
    models = [study.model, *filter(None, [wanted.embedder])]
    comets = [wanted.comet, *wanted.more_comet.values()]
    named = [*models, *comets]
    programs = [
        word
        for command in wanted.more_metrics.values()
        for place, word in enumerate(command)
        if not place or (Path(word).is_absolute() and Path(word).exists())
    ]
    return Needs(
        tuple(dict.fromkeys(str(name) for name in named if name and Path(str(name)).exists())),
        tuple(dict.fromkeys(programs)),
        wanted.comet != NO_COMET or bool(wanted.more_comet),
        tuple(
            (name, name not in models)
            for name in dict.fromkeys(map(str, named))
            if HUB_NAME.match(name) and not Path(name).exists()
        ),
    )


@contextlib.contextmanager
def _nonce_in(folder: Path) -> Iterator[Path]:
    """A file that no other folder has."""
    path = folder / f"{NONCE}{secrets.token_hex(16)}"
    path.write_text(path.name, encoding="ascii")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _ask(nonce: str, needs: Needs) -> list[tuple[str, Mapping[str, Any] | str]]:
    """The address of each alive machine, and what it answers or why it does not."""
    return [(address, found) for _, address, found in ask_machines(_look(), nonce, asdict(needs))]


def ask_machines(question: Callable[..., Any], *given: Any) -> list[tuple[str, str, Any]]:
    """The node and the address of each alive machine of the joined cluster that is not drained, and
    what `question` returns there, or a text why it returns nothing."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    task = ray.remote(num_cpus=0, max_retries=0)(question)
    asked, drained = {}, draining_nodes()  # nothing starts on those
    for node in ray.nodes():
        if node["Alive"] and node["NodeID"] not in drained:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            reference = task.options(scheduling_strategy=there).remote(*given)
            asked[reference] = str(node["NodeID"]), str(node["NodeManagerAddress"])
    ray.wait([*asked], num_returns=len(asked), timeout=ANSWER_WITHIN)
    return [(*where, _answer(reference)) for reference, where in asked.items()]


def _answer(reference: Any) -> Any:
    import ray

    try:
        return ray.get(reference, timeout=0.1)
    except ray.exceptions.GetTimeoutError:
        return f"starts no process within {ANSWER_WITHIN:.0f} s"
    except ray.exceptions.RayError as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return f"cannot run a task: {lines[-1]}"


def _look() -> Callable[[str, Mapping[str, Any]], dict[str, Any]]:
    """The task. It is defined within a function, so that Ray sends its code along: a machine
    without mtray can run it, too."""

    def sizes(path: str) -> dict[str, int]:
        """Of a file, or of every file in a folder and below, but for hidden ones."""
        import os

        files = [os.path.join(at, name) for at, _, names in os.walk(path) for name in names]
        if os.path.isfile(path):
            files = [path]
        found = {os.path.relpath(file, path): os.path.getsize(file) for file in files}
        return {name: size for name, size in found.items() if "/." not in f"/{name}" or name == "."}

    def look(nonce: str, needs: Mapping[str, Any]) -> dict[str, Any]:
        import os
        import platform
        import shutil
        import socket

        found: dict[str, Any] = {"host": socket.gethostname(), "python": platform.python_version()}
        try:
            found["resolves"] = socket.gethostbyname(socket.gethostname())
        except OSError:
            found["resolves"] = ""
        found["sees_folder"] = os.path.isfile(nonce)
        paths = [path for path in needs["paths"] if os.path.exists(path)]
        found["lacks"] = [path for path in needs["paths"] if path not in paths]
        found["files"] = {path: sizes(path) for path in paths}
        found["no_program"] = [
            name for name in needs["programs"] if not (shutil.which(name) or os.path.exists(name))
        ]
        try:
            from mtray.runtime import versions as versions_there

            found["versions"] = versions_there()
        except Exception as error:  # whatever prevents it, prevents trials
            found["import_error"] = f"{type(error).__name__}: {error}"
            return found
        found["hub"] = {}
        try:
            from mtray.model_paths import hub_cache_state

            found["hub"] = {name: hub_cache_state(name, comet) for name, comet in needs["hub"]}
        except ImportError:
            pass  # another version of mtray, which is reported as a problem of its own
        if needs["comet"]:
            from mtray.errors import ModelError
            from mtray.metrics_python import metrics_python

            try:
                metrics_python()
            except ModelError as error:
                found["comet_error"] = str(error)
        return found

    return look


def _report(
    address: str, found: Mapping[str, Any] | str, folder: Path, here: Mapping[str, Any]
) -> NodeReport:
    if isinstance(found, str):
        return NodeReport(address, (found,))
    node = f"{found['host']} ({address})"
    problems = [] if found["sees_folder"] else [f"does not see this machine's {folder}"]
    problems += [f"has no {path}" for path in found["lacks"]]
    problems += [f"finds no {name}" for name in found["no_program"]]
    for path, files in found["files"].items():
        if files != here["files"].get(path, files):
            differ = sorted(dict(files.items() ^ here["files"][path].items()))
            problems.append(f"has another {path} than this machine ({_some(differ)})")
    if "import_error" in found:
        problems.append(f"cannot import mtray ({found['import_error']})")
        return NodeReport(node, tuple(problems))
    if "comet_error" in found:
        problems.append(f"cannot compute COMET ({found['comet_error']})")
    in_cache, notes = _hub_texts(found["hub"], here["hub"])
    problems += in_cache
    there, expected = found["versions"], here["versions"]
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
    notes += [f"has other versions: {', '.join(differ)}"] if differ else []
    return NodeReport(node, tuple(problems), tuple(notes))


def _hub_texts(
    there: Mapping[str, Mapping[str, str]], here: Mapping[str, Mapping[str, str]]
) -> tuple[list[str], list[str]]:
    """Problems and notes on models of the hub, from the `hub_cache_state` of each on a machine and
    on the driver's. What is missing is downloaded, unless that machine may not access the hub:
    then it is a problem, with the command to run there."""
    problems, notes = [], []
    refused = "may not access the hub ({}): run `HF_HUB_OFFLINE=0 hf download {}`"
    for name, state in there.items():
        offline, own = state["offline"], here[name]["commit"]
        if not state["commit"] or state["lacks"]:
            lacks = f" ({state['lacks']})" if state["lacks"] else ""
            copy = f"an incomplete {name}" if lacks else f"no {name}"
            text = f"has {copy} in its cache {state['cache']}{lacks}"
            if offline:
                problems.append(f"{text}, and {refused.format(offline, name)} there")
            else:
                notes.append(f"{text}; it will be downloaded there")
        elif own and state["commit"] != own:
            text = f"has {name} in another version (commit {state['commit']}; here {own})"
            if offline:
                problems.append(f"{text}, and {refused.format(offline, name)} on both machines")
            else:
                notes.append(text)
    return problems, notes


def _some(names: list[str]) -> str:
    """At most three names."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"other sizes of {', '.join(names[:3])}{more}"
