"""mtray from Python: open a run as pandas frames, or start a sweep.

    import mtray

    run = mtray.open_run("runs/my-study")
    run.front                       # a pandas frame; also run.trials, run.recipes
    run.predict({"mono_ratio": 1})  # of a recipe, trained or not
    run = mtray.sweep("my.yaml", "space.yaml", trials=20)

Importing it is instant: what a name needs is imported when the name is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtray.api.opened_run import Run, open_run
    from mtray.api.sweeping import sweep

__all__ = ["Run", "__version__", "open_run", "sweep"]
_HOMES = {"Run": "mtray.api.opened_run", "open_run": "mtray.api.opened_run"}
_HOMES |= {"sweep": "mtray.api.sweeping"}

__version__: str


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("mtray")
    if name not in _HOMES:
        raise AttributeError(f"module 'mtray' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
