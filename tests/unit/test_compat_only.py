"""Private internals of other libraries are used in mtray/compat and nowhere else."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMPAT = ROOT / "mtray" / "compat"
FOLDERS = ("mtray", "benchmarks")
# they simulate Ray's actors around the real driver, so they look into both
SIMULATIONS = {"simulated_actors.py", "scale_cluster.py"}
# named tuples' own, which the standard library documents, and `os._exit`
PUBLIC = {"_asdict", "_fields", "_replace", "_exit"}
BY_NAME = {"getattr", "hasattr", "setattr", "delattr"}


def private(name: str) -> bool:
    """`_x`, not `__x__` and not a lone underscore."""
    return name.startswith("_") and not name.startswith("__") and name != "_" and name not in PUBLIC


def own(tree: ast.Module) -> set[str]:
    """Private names that a file itself defines: methods, functions, classes, fields."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
                found.add(node.attr)
        elif isinstance(node, ast.AnnAssign | ast.Assign):
            targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
            found |= {t.id for t in targets if isinstance(t, ast.Name)}
    return {name for name in found if private(name)}


def uses(tree: ast.Module) -> list[str]:
    """Private imports and attributes, `line: what`. Of `self` only what the file does not define
    (a base class's of another library); `super()` and any other object, whatever it is."""
    known = own(tree)
    found = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names if any(map(private, a.name.split(".")))]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] not in FOLDERS:
            parts = [*(node.module or "").split("."), *(a.name for a in node.names)]
            names = [f"from {node.module}"] if any(map(private, parts)) else []
        elif isinstance(node, ast.Attribute) and private(node.attr):
            mine = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
            names = [] if mine and node.attr in known else [ast.unparse(node)]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in BY_NAME:
            names = [
                f"{node.func.id} {a.value}"
                for a in node.args
                if isinstance(a, ast.Constant) and isinstance(a.value, str) and private(a.value)
            ]
        found += [f"{node.lineno}: {name}" for name in names]
    return found


def files() -> list[Path]:
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]
    simulations = {ROOT / "benchmarks" / name for name in SIMULATIONS}
    assert simulations <= {*found}
    return sorted(p for p in found if COMPAT not in p.parents and p not in simulations)


def test_nothing_outside_compat_uses_private_internals():
    checked = files()
    assert len(checked) > 200
    found = {str(path.relative_to(ROOT)): uses(ast.parse(path.read_text())) for path in checked}
    wrong = {name: lines for name, lines in found.items() if lines}
    assert not wrong, "move it to mtray/compat, behind a function with a test, if it must be"


def test_each_module_of_compat_has_a_test():
    modules = {path.stem for path in COMPAT.glob("*.py")} - {"__init__"}
    tests = {path.stem for path in (Path(__file__).parent / "compat").glob("test_*.py")}
    assert modules and {f"test_compat_{name}" for name in modules} == tests


def test_compat_imports_nothing_of_ours_but_errors():
    for path in COMPAT.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
            assert not module.startswith("mtray") or module == "mtray.errors", (path.name, module)


@pytest.mark.parametrize(
    "text, found",
    [
        ("import ray.train._internal", ["1: ray.train._internal"]),
        ("from ray.train._internal import x", ["1: from ray.train._internal"]),
        ("from optuna.study import _frozen", ["1: from optuna.study"]),
        ("from mtray.search.execution.session import _x", []),
        ("a = study._storage", ["1: study._storage"]),
        ("a = self.study._storage.x", ["1: self.study._storage"]),
        ("class A(B):\n def f(self): self._g()", ["2: self._g"]),
        ("class A(B):\n def f(self): super()._g()", ["2: super()._g"]),
        ("class A:\n def f(self): self._g()\n def _g(self): self._x = self._x", []),
        ("class A:\n _x: int\n def f(self): return self._x", []),
        ("a = getattr(model, '_is_stateful', False)", ["1: getattr _is_stateful"]),
        ("a = row._asdict()\nb = a.__dict__\n_ = 1", []),
    ],
)
def test_what_counts_as_a_use(text, found):
    assert uses(ast.parse(text)) == found
