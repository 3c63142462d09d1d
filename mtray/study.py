"""Read a study: YAML -> `Study`, with every path made absolute and every error reported with its
file and key."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from mtray.errors import ConfigError
from mtray.paths import corpora_dir
from mtray.schema import HUB_PREFIX, NO_COMET, SACREBLEU_PREFIX, Study


class _StrictLoader(yaml.SafeLoader):
    """Safe loading in which a duplicate key is an error instead of a silent overwrite."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, Hashable):
                break  # left to the safe loader, whose error names the place
            if key in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"key {key!r} occurs twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


# YAML 1.1 requires a point in a number with an exponent and reads 1e-3 as text
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+[eE][-+]?\d+$"), list("-+0123456789")
)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping a YAML file holds. Raises ConfigError with file and line."""
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    try:
        # a subclass of SafeLoader: builds plain data only
        found = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not valid UTF-8 (byte {error.start})") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise ConfigError(f"{path}:{line}: {error.problem}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: expected keys and values, found {type(found).__name__}")
    return found


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
    for item in error.errors():
        parts = [prefix] if prefix else []
        key = ".".join([*parts, *map(str, item["loc"])]) or "(top level)"
        if item["type"] == "extra_forbidden":
            allowed = allowed_keys(model, item["loc"])
            lines.append(f"{path}: unknown key {key}; allowed here: {allowed}")
        elif item["type"] == "missing":
            lines.append(f"{path}: key {key} is missing")
        else:
            message = item["msg"].removeprefix("Value error, ")
            shown = "" if isinstance(item["input"], Mapping) else f", found {item['input']!r}"
            lines.append(f"{path}: {key}: {message}{shown}")
    return ConfigError("\n".join(lines))


def _resolve(value: Any, folder: Path, corpora: Path | None) -> Any:
    if isinstance(value, dict):
        return {k: _resolve(v, folder, corpora) for k, v in value.items()}
    if not isinstance(value, str):
        return value
    if value.startswith((SACREBLEU_PREFIX, HUB_PREFIX)):
        return value
    if corpora is not None:
        value = value.replace("{corpora}", str(corpora))
    expanded = Path(value).expanduser()
    return str(expanded if expanded.is_absolute() else (folder / expanded).resolve())


def _walk_paths(node: Any, folder: Path, corpora: Path | None) -> Any:
    if isinstance(node, list):
        return [_walk_paths(item, folder, corpora) for item in node]
    if isinstance(node, dict):
        return {
            key: _resolve(value, folder, corpora)
            if key == "path" or key.endswith("_path")
            else _walk_paths(value, folder, corpora)
            for key, value in node.items()
        }
    return node


def _resolve_name(value: Any, folder: Path) -> Any:
    """The absolute path of a model's folder given relative to the study; any other value (a hub
    name, `embedded`, `none`) unchanged."""
    if value in ("embedded", NO_COMET):
        return value
    if isinstance(value, str) and value and (folder / Path(value).expanduser()).exists():
        return str((folder / Path(value).expanduser()).resolve())
    return value


def _named_models(raw: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Table and key of every model that a study names by a folder or a hub name."""
    evaluation = raw.get("evaluation")
    tables: list[tuple[Any, Any]] = [(raw, ["model"]), (evaluation, ["comet", "embedder"])]
    tables.append((raw.get("training"), ["freeze_from"]))
    if isinstance(evaluation, dict):
        more = evaluation.get("more_comet")
        tables.append((more, list(more) if isinstance(more, dict) else []))
    return [(t, key) for t, keys in tables if isinstance(t, dict) for key in keys if key in t]


def load_study(path: Path, **overrides: Any) -> Study:
    """The study of a YAML file with absolute paths (relative ones are relative to the file);
    `overrides` replace its keys.

    A path may contain `{corpora}`, the folder of the embedded study's corpora, which need not exist
    yet (`mtray.embedded.corpora.fetch_corpora`). Raises ConfigError.
    """
    raw = read_yaml(path)
    corpora = None
    if "{corpora}" in path.read_text(encoding="utf-8"):
        corpora = corpora_dir()
    folder = path.resolve().parent
    resolved = _walk_paths(raw, folder, corpora)
    for table, key in _named_models(resolved):
        table[key] = _resolve_name(table[key], folder)
    for key, value in overrides.items():
        if value is not None:
            resolved[key] = value
    try:
        return Study.model_validate(resolved)
    except ValidationError as error:
        raise explain(error, path, Study) from None
