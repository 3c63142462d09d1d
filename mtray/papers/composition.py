"""The studies and spaces of a preset at one scale: its files with every `$name` replaced.

A text that is a name and nothing else becomes the value, of whatever type; in a list, one that
stands for a list becomes its elements, and a key of a mapping (`$name:`, without a value) becomes
the entries of the mapping that it stands for. Within a longer text, `$name` or `${name}` becomes
the value's text. `$$` is a dollar sign. Beside the preset's `values` there are:

- `data`: the folder of `--data`.
- `prepared`: the folder of files that the preset makes at set-up.
- `name`: the name of the run; `run_RUN`: that of another run of the preset.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mtray.errors import ConfigError
from mtray.files import write_atomically
from mtray.papers.preset import SPACES, STUDIES, Preset, Scale
from mtray.paths import cache_dir
from mtray.yaml_files import read_yaml

NAME = re.compile(r"\$(?:(\$)|([a-z][a-z0-9_]*)|\{([a-z][a-z0-9_]*)\})")
Values = Mapping[str, Any]


@dataclass(frozen=True)
class ComposedRun:
    """The study and the space of one run.

    - `run`: its name within the preset.
    - `name`: that of its folder.
    """

    run: str
    name: str
    study: dict[str, Any]
    space: dict[str, Any]


def prepared_dir(preset: Preset) -> Path:
    """The folder of files that a preset makes at set-up."""
    return cache_dir() / "papers" / preset.paper


def composed(preset: Preset, scale: Scale, data: Path | None) -> list[ComposedRun]:
    """Every run of a preset at a scale. Raises ConfigError for a name that stands for nothing."""
    runs = preset.runs_at(scale)
    names = {run: preset.run_name(scale, run) for run in runs}
    fixed = {"prepared": _plain(prepared_dir(preset)), **{f"run_{r}": n for r, n in names.items()}}
    if data is not None:
        fixed["data"] = _plain(data.absolute())
    own = {name: found[scale] for name, found in preset.values.items()}
    found = []
    for run in runs:
        values = {**own, **fixed, "name": names[run]}
        study = replaced(STUDIES / preset.paper / f"{run}.yaml", values)
        space = replaced(SPACES / preset.paper / f"{run}.yaml", values)
        found.append(ComposedRun(run, names[run], {"name": names[run], **study}, space))
    return found


def _plain(folder: Path) -> str:
    """A folder's path as a value, in which a dollar sign begins no name."""
    return str(folder).replace("$", "$$")


def replaced(path: Path, values: Values) -> dict[str, Any]:
    """The content of a YAML file with every name replaced, and the names in what they stand for."""
    try:
        found: dict[str, Any] = substituted(read_yaml(path), values)
    except (KeyError, RecursionError) as error:
        if isinstance(error, RecursionError):
            raise ConfigError(f"{path}: a value of the preset contains itself") from None
        name = error.args[0]
        more = "; give --data FOLDER" if name == "data" else ""
        raise ConfigError(
            f"{path}: ${name} stands for nothing{more}; known: {', '.join(sorted(values))}"
        ) from None
    return found


def substituted(node: Any, values: Values) -> Any:
    """A value with its names replaced. Raises KeyError for an unknown one."""
    if isinstance(node, dict):
        return dict(entry for item in node.items() for entry in _entries(*item, values))
    if isinstance(node, list):
        return [part for item in node for part in _parts(item, values)]
    if not isinstance(node, str):
        return node
    whole = NAME.fullmatch(node)
    if whole and not whole[1]:
        return substituted(values[whole[2] or whole[3]], values)

    def text(match: re.Match[str]) -> str:
        return "$" if match[1] else str(substituted(values[match[2] or match[3]], values))

    return NAME.sub(text, node)


def _parts(item: Any, values: Values) -> list[Any]:
    """What an element of a list becomes: one, or several where it is a name that stands for
    them."""
    found = substituted(item, values)
    return found if isinstance(item, str) and isinstance(found, list) else [found]


def _entries(key: str, value: Any, values: Values) -> Iterable[tuple[str, Any]]:
    """The same for an entry of a mapping."""
    if value is None and NAME.fullmatch(key):
        found: dict[str, Any] = substituted(key, values)
        return found.items()
    return [(key, substituted(value, values))]


def written(run: ComposedRun, folder: Path, command: str) -> tuple[Path, Path]:
    """The files of the study and of the space, which `sweeps/ratio_search.py` reads as well."""
    head = f"# Composed by `{command}`, which overwrites it.\n"
    paths = []
    for kind, content in (("study", run.study), ("space", run.space)):
        text = head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        paths.append(write_atomically(folder / f"{run.name}.{kind}.yaml", text.encode()))
    return paths[0], paths[1]
