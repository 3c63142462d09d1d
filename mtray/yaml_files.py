"""Read a YAML file of the user: plain data only, scalars by the rules of YAML 1.2, and limits on
what a small file can expand to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from mtray.errors import ConfigError

MOST_BYTES = 2**18  # of a file
MOST_VALUES = 20_000  # keys and values, each alias counted as what it stands for
MOST_LEVELS = 40  # of lists and mappings within each other
STANDARD = "tag:yaml.org,2002:"
# the core schema of YAML 1.2.2, section 10.3.2, and underscores within numbers as in 1.1. By 1.1
# `on`, `off`, `yes` and `no` are booleans, 2024-11-03 is a date, 1:30 is 90 and 010 is 8
SCALARS = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9][0-9_]*|0x[0-9a-fA-F]+|0o[0-7]+",
    "float": r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}
UNUSABLE = re.compile("[\0\ud800-\udfff]")  # in no file name, and in no text that can be written


class _Loader(yaml.SafeLoader):
    """Safe loading of the tags of `SCALARS`, text, lists and mappings. Keys are text, as written;
    one that stands twice is an error instead of a silent overwrite."""

    yaml_implicit_resolvers = {}  # noqa: RUF012  (without those of YAML 1.1)
    yaml_constructors = {  # noqa: RUF012  (without dates, bytes, sets)
        tag: SafeConstructor.yaml_constructors[tag]
        for tag in (*(STANDARD + name for name in (*SCALARS, "str", "seq", "map")), None)
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._level = 0
        # values and levels of every composed node, aliases expanded; by id, since the document
        # keeps all nodes alive
        self._extents: dict[int, tuple[int, int]] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """A node within the limits. An alias gives a node that was composed before, or one that is
        still being composed, which then holds itself."""
        event = self.peek_event()
        mark, is_alias = event.start_mark, isinstance(event, yaml.AliasEvent)
        self._level += 1
        self._require(self._level <= MOST_LEVELS, f"more than {MOST_LEVELS} levels", mark)
        node = super().compose_node(parent, index)
        self._level -= 1
        assert node is not None
        if is_alias:
            self._require(id(node) in self._extents, "an alias within what it stands for", mark)
        else:
            self._extents[id(node)] = self._extent(node)
            self._check_keys(node)
        values, levels = self._extents[id(node)]
        values = max(values, len(self._extents))  # of a list that is not at its end as well
        self._require(values <= MOST_VALUES, f"more than {MOST_VALUES:,} values", mark)
        self._require(self._level + levels <= MOST_LEVELS, f"more than {MOST_LEVELS} levels", mark)
        return node

    def _extent(self, node: yaml.Node) -> tuple[int, int]:
        within: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            within = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            within = node.value
        found = [self._extents[id(part)] for part in within]
        return (
            1 + sum(values for values, _ in found),
            1 + max((levels for _, levels in found), default=0),
        )

    def _check_keys(self, node: yaml.Node) -> None:
        """Done before mappings are merged into each other by `<<`: their keys may be the same."""
        keys = [key for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
        seen = set()
        for key in keys:
            if not isinstance(key, yaml.ScalarNode):
                continue  # left to the safe loader, whose error names the place
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"key {key.value!r} occurs twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
            if key.tag.removeprefix(STANDARD) in SCALARS:
                key.tag = f"{STANDARD}str"

    def _require(self, holds: bool, found: str, mark: Any) -> None:
        if not holds:
            allowed = f"at most {MOST_VALUES:,} values, aliases expanded, in {MOST_LEVELS} levels"
            raise yaml.MarkedYAMLError(problem=f"{found}; allowed: {allowed}", problem_mark=mark)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError) as error:  # `!!int x`, `!!bool x`, thousands of digits
            kind = node.tag.removeprefix(STANDARD)
            raise yaml.MarkedYAMLError(
                problem=f"{str(node.value)[:40]!r} cannot be read as {kind}",
                problem_mark=node.start_mark,
            ) from error

    def construct_scalar(self, node: Any) -> Any:
        value = super().construct_scalar(node)
        if UNUSABLE.search(value):
            raise yaml.MarkedYAMLError(
                problem=f"a character that no text holds in {value[:40]!a}; drop it",
                problem_mark=node.start_mark,
            )
        return value

    def construct_yaml_int(self, node: Any) -> int:
        text = self.construct_scalar(node).replace("_", "")
        return int(text, 0 if text[:2] in ("0x", "0o") else 10)


for _name, _pattern in SCALARS.items():
    _Loader.add_implicit_resolver(STANDARD + _name, re.compile(rf"(?:{_pattern})$"), None)
_Loader.add_implicit_resolver(f"{STANDARD}merge", re.compile("<<$"), ["<"])
_Loader.add_constructor(f"{STANDARD}int", _Loader.construct_yaml_int)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping a YAML file holds. Raises ConfigError with file and line."""
    text = _text(path)
    try:
        # a subclass of SafeLoader: builds plain data only
        found = yaml.load(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise ConfigError(f"{path}:{line}: {shortened(str(error.problem))}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {shortened(str(error))}") from None
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: expected keys and values, found {type(found).__name__}")
    return found


def _text(path: Path) -> str:
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise ConfigError(
                f"{path}: {size:,} bytes; a study or space has at most {MOST_BYTES:,}. "
                "Give data by its `path`"
            )
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not valid UTF-8 (byte {error.start})") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None


def shortened(text: str, most: int = 200) -> str:
    """A value or message within a line."""
    return text if len(text) <= most else f"{text[:most]} ... ({len(text):,} characters)"
