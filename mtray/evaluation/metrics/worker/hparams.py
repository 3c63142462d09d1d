"""Reads a checkpoint's hparams.yaml: plain data only, within the limits that mtray has for a study
(`mtray.yaml_files`), so that a small file cannot exhaust memory or the stack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

MOST_BYTES = 2**18
MOST_VALUES = 20_000  # keys and values, each alias counted as what it stands for
MOST_LEVELS = 40


def read_hparams(file: Path) -> dict[str, Any]:
    """The mapping that the file holds. Raises ValueError for anything else and beyond a limit."""
    import yaml

    try:
        size = file.stat().st_size
        if size > MOST_BYTES:
            raise ValueError(f"{size:,} bytes; at most {MOST_BYTES:,} are read")
        text = file.read_text(encoding="utf-8")
        _require_few_levels(text)
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"not plain YAML: {str(error).splitlines()[0]}") from error
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from error
    _count(found, (), {})
    if not isinstance(found, dict):
        raise ValueError(f"keys and values expected, found {type(found).__name__}")
    return found


def _require_few_levels(text: str) -> None:
    """Before anything is built: the builder calls itself for each level, the parser does not."""
    import yaml

    level = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            level += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            level -= 1
        if level > MOST_LEVELS:
            raise ValueError(f"more than {MOST_LEVELS} levels")


def _count(value: Any, above: tuple[int, ...], known: dict[int, int]) -> int:
    """Keys and values of a value, itself included; `known` by the identity of what was counted.
    Raises ValueError beyond a limit and for a value that holds itself."""
    if not isinstance(value, dict | list | tuple | set):
        return 1
    if id(value) in above or len(above) > MOST_LEVELS:
        raise ValueError("a value that holds itself, or too many levels")
    if id(value) not in known:
        within = [*value, *value.values()] if isinstance(value, dict) else list(value)
        known[id(value)] = 1 + sum(_count(part, (*above, id(value)), known) for part in within)
    if known[id(value)] > MOST_VALUES:
        raise ValueError(f"more than {MOST_VALUES:,} values")
    return known[id(value)]
