"""Read a study: YAML -> `Study`, with every path made absolute and every error reported with its
file and key."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from mtray.errors import ConfigError
from mtray.paths import corpora_dir
from mtray.schema import HUB_PREFIX, NO_COMET, SACREBLEU_PREFIX, Study, is_parameter
from mtray.yaml_files import read_yaml, shortened


def allowed_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """The keys that a model allows at the location of a validation error, comma-separated; empty
    when unknown."""
    current: Any = model
    parts = iter(location[:-1])
    for part in parts:
        if isinstance(part, int):
            continue
        field = getattr(current, "model_fields", {}).get(part)
        current = _model_within(field.annotation) if field else None
        if field and get_origin(field.annotation) is dict:
            next(parts, None)  # a name chosen by the user
    return ", ".join(getattr(current, "model_fields", {}))


def _model_within(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = _model_within(argument)
        if found is not None:
            return found
    return None


def explain(
    error: ValidationError, path: Path, model: type[BaseModel], prefix: str = ""
) -> ConfigError:
    """A validation error as one line per mistake: file, key, what is wrong, value found, allowed
    keys."""
    lines = []
    found = error.errors()
    for item in found:
        key = ".".join([*([prefix] if prefix else []), *map(str, item["loc"])]) or "(top level)"
        if item["type"] == "extra_forbidden":
            lines.append(f"{path}: {_unknown(key, item, model)}")
        elif item["type"] == "missing":
            lines.append(f"{path}: key {key} is missing")
        elif item["type"] != "too_short" or not item["input"] or len(found) == 1:
            # else: pydantic counts only the valid items of a list, and the others are named
            lines.append(f"{path}: {key}: {_what_is_wrong(item)}")
    return ConfigError("\n".join(lines))


def _unknown(key: str, item: ErrorDetails, model: type[BaseModel]) -> str:
    name = str(item["loc"][-1])
    if issubclass(model, Study) and is_parameter(name):
        example = shortened(repr(item["input"])).strip("'")
        return (
            f"{key}: {name} is a parameter of recipes and belongs into the space file (--space), "
            f"searched or as one value, such as `{name}: {example}`"
        )
    return f"unknown key {key}; allowed here: {allowed_keys(model, item['loc'])}"


def _what_is_wrong(item: ErrorDetails) -> str:
    message, value = item["msg"].removeprefix("Value error, "), item["input"]
    if item["type"] == "string_type" and isinstance(value, bool | int | float):
        kind = "true or false" if isinstance(value, bool) else "a number"
        return f"expected text, found {value!r}, which YAML reads as {kind}; quote it"
    return message if isinstance(value, Mapping) else f"{message}, found {shortened(repr(value))}"


def _resolve(value: Any, folder: Path) -> Any:
    """A path, or a dict of paths, made absolute. Raises ValueError for a home folder that there is
    not."""
    if isinstance(value, dict):
        return {k: _resolve(v, folder) for k, v in value.items()}
    if not isinstance(value, str) or value.startswith((SACREBLEU_PREFIX, HUB_PREFIX)):
        return value
    if "{corpora}" in value:
        value = value.replace("{corpora}", str(corpora_dir()))
    expanded = _expanded(value)
    return str(expanded if expanded.is_absolute() else (folder / expanded).resolve())


def _expanded(value: str) -> Path:
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise ValueError(
            f"{value!r} names a home folder that there is not; write the path out"
        ) from None


def _walk_paths(node: Any, folder: Path) -> Any:
    if isinstance(node, list):
        return [_walk_paths(item, folder) for item in node]
    if isinstance(node, dict):
        return {
            key: _resolve(value, folder)
            if key == "path" or key.endswith("_path")
            else _walk_paths(value, folder)
            for key, value in node.items()
        }
    return node


def _resolve_name(value: Any, folder: Path) -> Any:
    """The absolute path of a model's folder given relative to the study; any other value (a hub
    name, `embedded`, `none`) unchanged. Raises ValueError like `_resolve`."""
    if value in ("embedded", NO_COMET) or not isinstance(value, str) or not value:
        return value
    place = folder / _expanded(value)
    # in contrast to Path.exists, False for a name that is too long for a file
    return str(place.resolve()) if os.path.exists(place) else value


def _named_models(raw: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Table and key of every model that a study names by a folder or a hub name."""
    evaluation = raw.get("evaluation")
    tables: list[tuple[Any, Any]] = [(raw, ["model"]), (evaluation, ["comet", "embedder"])]
    tables.append((raw.get("training"), ["freeze_from"]))
    if isinstance(evaluation, dict):
        more = evaluation.get("more_comet")
        tables.append((more, list(more) if isinstance(more, dict) else []))
    return [(t, key) for t, keys in tables if isinstance(t, dict) for key in keys if key in t]


def _resolve_commands(raw: dict[str, Any], folder: Path) -> None:
    """The parts of own metrics' commands that begin with `./` or `../`, made absolute."""
    evaluation = raw.get("evaluation")
    commands = evaluation.get("more_metrics") if isinstance(evaluation, dict) else None
    if not isinstance(commands, dict):
        return
    for name, command in commands.items():
        if isinstance(command, list):
            commands[name] = [_resolve_part(part, folder) for part in command]


def _resolve_runtime_env(raw: dict[str, Any], folder: Path) -> None:
    """The paths of Ray's runtime environment that begin with `./` or `../`, made absolute."""
    resources = raw.get("resources")
    found = resources.get("runtime_env") if isinstance(resources, dict) else None
    if not isinstance(found, dict):
        return
    for key, value in found.items():
        many = isinstance(value, list) and key != "excludes"
        parts = [_resolve_part(part, folder) for part in value] if many else value
        found[key] = parts if many else _resolve_part(value, folder)


def _resolve_part(part: Any, folder: Path) -> Any:
    relative = isinstance(part, str) and part.startswith(("./", "../"))
    return str((folder / part).resolve()) if relative else part


def load_study(path: Path, **overrides: Any) -> Study:
    """The study of a YAML file with absolute paths (relative ones are relative to the file);
    `overrides` replace its keys.

    A path may contain `{corpora}`, the folder of the embedded study's corpora, which need not exist
    yet (`mtray.embedded.corpora.fetch_corpora`). Raises ConfigError.
    """
    raw, folder = read_yaml(path), path.resolve().parent
    try:
        resolved = _walk_paths(raw, folder)
        for table, key in _named_models(resolved):
            table[key] = _resolve_name(table[key], folder)
        _resolve_commands(resolved, folder)
        _resolve_runtime_env(resolved, folder)
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    for key, value in overrides.items():
        if value is not None:
            resolved[key] = value
    try:
        return Study.model_validate(resolved)
    except ValidationError as error:
        raise explain(error, path, Study) from None
