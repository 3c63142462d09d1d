"""The generated part of docs/reference/python.md: what `import mtray` has."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mtray

WIDE = 60  # characters of arguments that stay on one line


def python() -> str:
    """A section for each public function, and for each member of `mtray.Run`."""
    found = [(f"mtray.{f.__name__}", f, False) for f in (mtray.open_run, mtray.sweep)]
    for name, member in vars(mtray.Run).items():
        if not name.startswith("_"):
            getter = getattr(member, "fget", None) or getattr(member, "func", None)
            found.append((f"Run.{name}", getter or member, getter is not None))
    return "\n\n".join(section(*each) for each in found)


def section(name: str, function: Callable[..., Any], is_property: bool) -> str:
    """Signature and docstring."""
    signature = inspect.signature(function)
    own = [p for p in signature.parameters.values() if p.name != "self"]
    call = name if is_property else f"{name}({arguments(own)})"
    sign = ":" if is_property else " ->"
    code = f"```python\n{call}{sign} {signature.return_annotation}\n```"
    return "\n\n".join([f"## {name}", code, inspect.getdoc(function) or ""])


def arguments(own: list[inspect.Parameter]) -> str:
    """As code; one a line if they are many."""
    written = list(map(argument, own))
    first = next((i for i, p in enumerate(own) if p.kind is p.KEYWORD_ONLY), None)
    if first is not None:
        written.insert(first, "*")
    one = ", ".join(written)
    return one if len(one) <= WIDE else "".join(["\n", *(f"    {text},\n" for text in written)])


def argument(found: inspect.Parameter) -> str:
    value = found.default
    if value is found.empty:
        return f"{found.name}: {found.annotation}"
    shown = str(value) if isinstance(value, Path) else value
    return f"{found.name}: {found.annotation} = {shown!r}"
