"""The picture of the package: which folder may import which, and that there is no circle."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASICS = {"schema", "errors", "files", "paths", "run_files", "runtime", "streams"}
BASICS |= {"compat", "control_group", "file_locks", "finite_numbers", "full_disk", "git_lfs"}
BASICS |= {
    "control_requests",
    "lineage",
    "metrics_python",
    "pip_command",
    "repeated_calls",
    "separate_process",
}
EVALUATION = {"evaluation", "evaluation.abilities", "evaluation.inference", "evaluation.metrics"}
EVALUATION |= {"evaluation.metrics.worker"}
DATA = {"data", "data.readers", "data.benchmarks"}
SEARCH = {"search.strategy", "search.early_stopping", "search.ledger", "search.execution"}
COMMANDS = {"commands", "commands.scoring"}

WORKER = "mtray.evaluation.metrics.worker"
# package: what it may import, within functions too. What is missing here imports nothing.
ALLOWED = {
    "errors": {"schema"},
    "paths": {"errors"},
    "files": {"full_disk"},
    "metrics_python": {"errors"},
    "runtime": {"metrics_python"},
    "file_locks": {"errors", "full_disk"},
    "pip_command": {"errors"},
    "separate_process": {"errors"},
    "control_requests": {"files", "run_files", "schema"},
    "lineage": {"errors", "files", "schema"},
    "model_folder": BASICS,
    "model_paths": BASICS | {"model_folder"},
    "cli_errors": BASICS,
    "side_process": {"paths"},
    "page_process": {"side_process"},
    "track_process": {"side_process"},
    "mirror": BASICS | {"report", "training"},
    "mirror_process": BASICS | {"mirror", "side_process"},
    "budget_options": BASICS,
    "yaml_files": {"errors"},
    "study": BASICS | {"yaml_files"},
    "search_space": BASICS | {"study", "yaml_files"},
    "analysis": BASICS,
    "report": BASICS | {"analysis", "search_space"},
    "data.readers": BASICS,
    "data.benchmarks": BASICS | {"data.readers"},
    "data": BASICS | {"data.readers", "data.benchmarks"},
    "training": BASICS | DATA | {"model_folder", "model_paths", "search_space", "unwrapped_model"},
    "evaluation.inference": BASICS | DATA | {"unwrapped_model"},
    "evaluation.metrics.worker": {"evaluation.metrics.worker"},
    "evaluation.metrics": BASICS | DATA | {"analysis", "evaluation.metrics.worker"},
    "evaluation.abilities": BASICS
    | DATA
    | {"analysis", "evaluation.inference", "evaluation.metrics"},
    "evaluation": BASICS | DATA | {"analysis", "model_folder", "model_paths"} | EVALUATION,
    "generated_replay": BASICS | DATA | {"evaluation.inference", "model_paths", "training"},
    "trial": BASICS | DATA | EVALUATION | {"training"},
    "search.strategy": BASICS | {"analysis", "data", "report", "search_space"},
    "search.early_stopping": BASICS
    | {"analysis", "evaluation", "evaluation.inference", "report", "training", "trial"},
    "search.ledger": BASICS
    | DATA
    | EVALUATION
    | {"analysis", "report", "search_space", "training", "trial"}
    | {"search.strategy", "search.early_stopping"},
    "search.execution": BASICS
    | DATA
    | EVALUATION
    | {"analysis", "model_paths", "report", "search_space", "training", "trial"}
    | SEARCH,
    "embedded": BASICS | DATA | EVALUATION | {"analysis", "cli_errors"},
    "tracking": BASICS | {"report", "search.ledger", "training"},
    "retrain": BASICS
    | DATA
    | EVALUATION
    | {"embedded", "generated_replay", "report", "training", "trial"},
    "merged_models": BASICS
    | DATA
    | EVALUATION
    | {"report", "retrain", "search_space", "training", "trial"},
    "other_tools": BASICS | {"data", "model_paths", "report", "retrain", "training", "trial"},
    "run_models": BASICS | {"retrain", "search.ledger", "training"},
    "preparation": BASICS
    | DATA
    | EVALUATION
    | SEARCH
    | {"embedded", "generated_replay", "search_space", "training"},
    "sweep_plan": BASICS | DATA | EVALUATION | SEARCH | {"preparation", "search_space"},
    "sweep_command": BASICS
    | SEARCH
    | {"budget_options", "cli_errors", "preparation", "report", "search_space", "study"}
    | {"mirror", "mirror_process"}
    | {"page_opening", "page_process", "run_models", "sweep_plan", "track_process", "tracking"},
    "papers": BASICS
    | DATA
    | {"analysis", "embedded", "evaluation.metrics", "report", "search.ledger", "search_space"}
    | {"study", "yaml_files"},
    "commands.scoring": BASICS | DATA | EVALUATION | {"analysis"},
    "commands": BASICS
    | DATA
    | EVALUATION
    | SEARCH
    | {"analysis", "embedded", "generated_replay", "model_paths", "preparation", "report"}
    | {
        "merged_models",
        "other_tools",
        "retrain",
        "run_models",
        "search_space",
        "study",
        "sweep_command",
        "sweep_plan",
    }
    | {"mirror", "side_process", "tracking", "training", "trial"}
    | {"commands.scoring", "first_study", "papers", "publication"},
    "serving": BASICS
    | EVALUATION
    | {"commands", "mirror", "report", "search.ledger", "search_space", "side_process"},
    "api": BASICS
    | {"commands", "mirror_process", "report", "search_space", "study", "sweep_command"},
    "first_study": BASICS | {"data", "data.readers", "evaluation.inference", "training"},
    "publication": BASICS | {"report", "search_space"},
    "cli_starting": {"commands", "sweep_command"},
    "cli_running": {"commands", "serving"},
    "cli": COMMANDS | {"cli_errors", "cli_running", "cli_starting", "errors", "streams"},
    "__main__": {"cli"},
    "compat": {"errors"},
}
# the packages that decide must be importable, and be tested, without what trials run on
WITHOUT = {
    "analysis": ("ray", "torch"),
    "report": ("ray", "torch"),
    "search.strategy": ("ray", "torch"),
    "search.ledger": ("ray",),
    "mirror": ("ray", "torch"),
    "tracking": ("ray", "torch"),
    "search.early_stopping": ("ray.tune", "ray.train"),
}


def modules(root: Path) -> dict[str, Path]:
    """Every module of the package by its name without `mtray.`; a folder by its own name."""
    found = {}
    for path in sorted((root / "mtray").rglob("*.py")):
        parts = path.relative_to(root / "mtray").with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            found[name] = path
    return found


def package_of(name: str, known: dict[str, Path]) -> str:
    """The folder that a module is in; a module beside the folders stands for itself."""
    if known[name].name == "__init__.py":
        return name
    return name.rpartition(".")[0] or name


def imported(path: Path) -> set[str]:
    """Dotted names that a file imports, at its top and within functions, from anywhere."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level and path.parent.name == "worker":  # where mtray is not installed
                assert node.level == 1
                found |= {f"{WORKER}.{node.module}"}
                continue
            assert not node.level, f"{path}: a relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def own(dotted: str, known: dict[str, Path]) -> str | None:
    """The module of ours that a dotted name stands for or is taken from."""
    name = dotted.removeprefix("mtray.")
    if name == dotted:
        return None
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name or None


def graph(root: Path) -> dict[str, set[str]]:
    """What every module imports of ours."""
    known = modules(root)
    return {
        name: {found for dotted in imported(path) if (found := own(dotted, known))} - {name}
        for name, path in known.items()
    }


def by_package(root: Path) -> dict[str, dict[str, list[str]]]:
    """From package to package: the imports, as `module imports module`."""
    known, found = modules(root), {}
    for name, others in graph(root).items():
        for other in sorted(others):
            here, there = package_of(name, known), package_of(other, known)
            if here != there:
                pairs = found.setdefault(here, {}).setdefault(there, [])
                pairs.append(f"{name} imports {other}")
    return found


def circles(edges: dict[str, set[str]]) -> list[list[str]]:
    """Groups of nodes that reach one another (Tarjan 1972)."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(edges.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = []
            while not group or group[-1] != node:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(edges):
        if node not in index:
            visit(node)
    return found


def test_the_package_was_found():
    assert len(modules(ROOT)) > 200


def test_no_circle_between_packages():
    edges = {package: set(others) for package, others in by_package(ROOT).items()}
    assert circles(edges) == []


def test_no_circle_between_modules():
    assert circles(graph(ROOT)) == []


def test_every_arrow_is_allowed():
    wrong = [
        line
        for package, others in by_package(ROOT).items()
        for other, lines in others.items()
        if other not in ALLOWED.get(package, ())
        for line in lines
    ]
    assert wrong == []


def test_every_package_of_the_table_is_there():
    known = modules(ROOT)
    packages = {package_of(name, known) for name in known} | {"__main__"}
    named = set(ALLOWED) | set(WITHOUT) | {other for others in ALLOWED.values() for other in others}
    assert named <= packages


@pytest.mark.parametrize("package", WITHOUT)
def test_what_must_not_be_imported(package):
    known = modules(ROOT)
    inside = [path for name, path in known.items() if package_of(name, known) == package]
    assert inside
    wrong = [
        f"{path}: {dotted}"
        for path in inside
        for dotted in imported(path)
        for other in WITHOUT[package]
        if f"{dotted}.".startswith(f"{other}.")
    ]
    assert wrong == []


CASES = {
    "between folders": ({"a/x.py": "from mtray.b.y import f", "b/y.py": "import mtray.a.x"}, 1),
    "within a function": (
        {"a/x.py": "def f():\n    from mtray.b import y", "b/y.py": "from mtray.a.x import f"},
        1,
    ),
    "one way": ({"a/x.py": "from mtray.b.y import f", "b/y.py": "import json"}, 0),
    "by a third": (
        {"a/x.py": "import mtray.b.y", "b/y.py": "import mtray.c.z", "c/z.py": "import mtray.a.x"},
        1,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_circle_is_found(tmp_path, case):
    files, expected = CASES[case]
    for name, text in files.items():
        path = tmp_path / "mtray" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        (path.parent / "__init__.py").touch()
    edges = {package: set(others) for package, others in by_package(tmp_path).items()}
    assert len(circles(edges)) == len(circles(graph(tmp_path))) == expected


def test_comet_is_imported_in_the_metrics_interpreter_alone():
    """It ties its process to transformers below 5, NumPy 1 and protobuf 4."""
    foreign = {"comet", "pytorch_lightning", "torchmetrics"}
    importers = {
        name
        for name, path in modules(ROOT).items()
        if {found.split(".")[0] for found in imported(path)} & foreign
    }
    assert importers == {"evaluation.metrics.worker.checkpoint", "embedded.comet_training"}
