"""`python -I FOLDER`: makes this folder a package of its own and serves COMET.

No folder is put on sys.path for it: those around it hold modules named as packages, such as comet.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

NAME = "mtray_metrics_worker"


def load() -> None:
    folder = Path(__file__).resolve().parent
    sys.path[:] = [place for place in sys.path if Path(place).resolve() != folder]
    found = importlib.util.spec_from_file_location(
        NAME, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules[NAME] = module
    found.loader.exec_module(module)


if __name__ == "__main__":
    load()
    importlib.import_module(f"{NAME}.serve").main()
