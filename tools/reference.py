"""Writes the generated parts of docs/reference/: keys, types and defaults from the schema, options
from the command line's parsers. `--check` writes nothing and fails where a page is out of date.

A page keeps its own words; what stands between `<!-- generated: NAME -->` and `<!-- end -->` is
replaced. NAME is a key of `PARTS`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from mtray import schema
from mtray.cli import _parser
from mtray.commands.checked_study import Checked, CheckedSource
from mtray.commands.run_status import BestScore, RunStatus, TrialStatus
from mtray.report.posterior import AgainstBaseline, Expected
from mtray.report.prediction import PredictedMeasure, Prediction
from mtray.search.ledger.live_progress import RunningTrial
from mtray.search_space.parameters import Choices, Condition, FloatRange, IntRange
from mtray.sweep_command import parser as sweep_parser

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(Path(__file__).parent))

from reference_python import python  # noqa: E402

PAGES = ROOT / "docs" / "reference"
ITEM = re.compile(r"(?:- )?((?:`\w+`(?:, )?)+): (.*)")
SENTENCES = re.compile(r"(?<=\.) (?=[A-Z`])|(?<=;) (?=`\w+`(?:, `\w+`)*: )")
BLOCK = re.compile(r"(<!-- generated: (\S+) -->\n).*?(<!-- end -->)", re.DOTALL)

Model = type[BaseModel]
STUDY: tuple[Model, ...] = (
    schema.Study, schema.Source, schema.Noise, schema.Generation, schema.Filters, schema.Between,
    schema.Mixing, schema.Evaluation, schema.QualitySet, schema.AbilitySpec, schema.Divergence,
    schema.Training, schema.Resources, schema.Budget, schema.EarlyStopping, schema.Limit,
    schema.Preference,
)  # fmt: skip
SPACE: tuple[Model, ...] = (schema.Recipe, FloatRange, IntRange, Choices, Condition)
JSON: tuple[Model, ...] = (
    RunStatus, TrialStatus, BestScore, RunningTrial, Checked, CheckedSource, Prediction,
    PredictedMeasure, AgainstBaseline, Expected,
)  # fmt: skip
RECORDS: tuple[Model, ...] = (
    schema.TrialRecord, schema.Score, schema.Mix, schema.SourceShare, schema.TrainingRecord,
    schema.Rung, schema.Estimate, schema.Origin,
)  # fmt: skip
NAMES = {int: "whole number", float: "number", str: "text", bool: "true or false", Any: "anything"}
BOUNDS = {
    "ge": "at least {}", "gt": "above {}", "le": "at most {}", "lt": "below {}",
    "min_length": "at least {} of them", "max_length": "at most {} of them",
    "pattern": "matching `{}`",
}  # fmt: skip


def cell(text: str) -> str:
    """Text within a row of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown; a column without any text is left out."""
    kept = [i for i in range(len(head)) if any(row[i] for row in rows)]
    lines = [[head[i] for i in kept], ["---"] * len(kept)]
    lines += [[cell(row[i]) for i in kept] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


# the schema


def models(shown: Sequence[Model]) -> str:
    """A section for each model."""
    return "\n\n".join(section(model, shown) for model in shown)


def section(model: Model, shown: Sequence[Model]) -> str:
    prose, meanings = described(model)
    rows = [
        (f"`{name}`", annotated(field, shown), default(field), meanings.get(name, ""))
        for name, field in own_first(model)
    ]
    parts = [f"## {model.__name__}", *prose, table(("key", "type", "default", "meaning"), rows)]
    return "\n\n".join(parts)


def own_first(model: Model) -> list[tuple[str, FieldInfo]]:
    """Its fields; those of its bases at the end."""
    own = model.__annotations__
    return sorted(model.model_fields.items(), key=lambda item: item[0] not in own)


def described(model: Model) -> tuple[list[str], dict[str, str]]:
    """The paragraphs of a model's docstring and of its bases', and the meanings of single fields:
    a sentence or list item such as "`low`, `high`: its interval." is the fields' in the table, with
    all further sentences of the item."""
    prose, meanings = list[str](), dict[str, str]()
    for base in model.__mro__:
        if not issubclass(base, BaseModel) or not base.__module__.startswith("mtray."):
            continue
        text = (base.__dict__.get("__doc__") or "").replace("None", "null")
        for paragraph in re.split(r"\n\s*\n|\n(?=\s*- )", text):
            kept, last = list[str](), set[str]()
            for sentence in SENTENCES.split(" ".join(paragraph.split())):
                item = ITEM.fullmatch(sentence)
                names = re.findall(r"`(\w+)`", item[1]) if item else []
                if item and set(names) <= set(model.model_fields):
                    meanings.update(dict.fromkeys(names, item[2].rstrip(".;")))
                    last = set(names)
                elif last and paragraph.lstrip().startswith("- "):
                    meanings |= {n: f"{meanings[n]}. {sentence.rstrip('.;')}" for n in last}
                else:
                    kept.append(sentence)
            prose.append(" ".join(kept))
    return [text for text in prose if text], meanings


def annotated(field: FieldInfo, shown: Sequence[Model]) -> str:
    """The type of a field in words, with its bounds."""
    return bounded(typed(field.annotation, shown), field.metadata)


def bounded(text: str, metadata: Sequence[Any]) -> str:
    found = [
        words.format(f"{value:g}" if isinstance(value, float) else value)
        for part in metadata
        for name, words in BOUNDS.items()
        if (value := getattr(part, name, None)) is not None
        and not (name == "min_length" and value == 0)
    ]
    return f"{text} ({', '.join(found)})" if found else text


def typed(annotation: Any, shown: Sequence[Model]) -> str:
    """A type in words; models are links to their sections. `shown`: those of the same page."""
    if annotation in NAMES:
        return NAMES[annotation]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        name = annotation.__name__
        page = "" if annotation in shown else page_of(annotation)
        return name if page is None else f"[{name}]({page}#{name.lower()})"
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return bounded(typed(inside[0], shown), metadata_of(inside[1:]))
    if origin is Literal:
        return either([f"`{yaml_of(value)}`" for value in inside])
    if origin in (Union, UnionType):
        inside = tuple(p for part in inside for p in choices_of(part))
        ordered = sorted(inside, key=lambda part: part is NoneType)  # null last
        return either(["null" if p is NoneType else typed(p, shown) for p in ordered])
    if origin is tuple and inside[-1] is Ellipsis:
        return f"list of {typed(inside[0], shown)}"
    if origin is tuple:
        return f"[{'; '.join(typed(part, shown) for part in inside)}]"
    if origin in (dict, Mapping):
        return f"mapping of {typed(inside[0], shown)} to {typed(inside[1], shown)}"
    raise TypeError(f"no words for {annotation!r}; add some to tools/reference.py")


def page_of(model: Model) -> str | None:
    """The page that has a section on a model; None: no page has."""
    pages = {"study.md": STUDY, "space.md": SPACE, "records.md": RECORDS, "json.md": JSON}
    return next((page for page, shown in pages.items() if model in shown), None)


def choices_of(annotation: Any) -> tuple[Any, ...]:
    """The values of a `Literal`, a literal each; of any other type that alone."""
    if get_origin(annotation) is Literal:
        return tuple(Literal[value] for value in get_args(annotation))
    return (annotation,)


def metadata_of(parts: Sequence[Any]) -> list[Any]:  # bounds of an `Annotated`
    return [b for part in parts for b in (part.metadata if isinstance(part, FieldInfo) else [part])]


def either(words: Sequence[str]) -> str:
    words = list(dict.fromkeys(words))
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def default(field: FieldInfo) -> str:
    """As a YAML file would have it."""
    value = field.default
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, BaseModel):
        return "its defaults"
    return f"`{yaml_of(value)}`"


def yaml_of(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {yaml_of(v)}" for k, v in value.items()) + "}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(yaml_of, value))}]"
    return str(value) if value != "" else '""'


# the command line


def commands() -> str:
    """A section for each command of `python -m mtray`, and for each of its own sub-commands."""
    return "\n\n".join(
        command(name, parser) for name, parser in leaves("python -m mtray", _parser())
    )


def leaves(
    name: str, parser: argparse.ArgumentParser
) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """The commands without sub-commands, with the words that call them."""
    within = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not within:
        yield name, parser
    for action in within:
        for word, inner in action.choices.items():
            yield from leaves(f"{name} {word}", inner)


def command(name: str, parser: argparse.ArgumentParser) -> str:
    shown = [a for a in parser._actions if a.help != argparse.SUPPRESS]
    own = [a for a in shown if a.dest not in ("help", "debug")]
    needed = [written(a) for a in own if not a.option_strings or a.required]
    some = [" [options]"] if len(needed) < len(own) else [""]
    call = f"```\n{' '.join([name, *needed])}{some[0]}\n```"
    head = f"### {name.removeprefix('python -m mtray ')}"
    parts = [head, parser.description or "", call, options(parser, own)]
    return "\n\n".join(part for part in parts if part)


def options(parser: argparse.ArgumentParser, actions: Sequence[argparse.Action]) -> str:
    formatter = parser._get_formatter()
    rows = [(f"`{written(a)}`", formatter._expand_help(a) if a.help else "") for a in actions]
    return table(("argument", "meaning"), rows) if rows else ""


def written(action: argparse.Action) -> str:
    """An argument as it is typed, such as `--out OUT`."""
    if action.nargs == 0:
        return action.option_strings[0]
    choices = "|".join(map(str, action.choices or ()))
    names = action.metavar or choices or action.dest.upper()
    value = " ".join(names) if isinstance(names, tuple) else names
    value += {"*": " ...", "+": " ..."}.get(str(action.nargs), "")
    return f"{action.option_strings[0]} {value}" if action.option_strings else value


def sweep_options() -> str:
    found = sweep_parser()
    return options(found, [a for a in found._actions if a.dest != "help"])


PARTS = {
    "python": python,
    "study": lambda: models(STUDY),
    "space": lambda: models(SPACE),
    "records": lambda: models(RECORDS),
    "json": lambda: models(JSON),
    "commands": commands,
    "sweep": sweep_options,
}


def renewed(page: str) -> str:
    """A page's text with its generated parts made anew."""
    return BLOCK.sub(lambda found: f"{found[1]}\n{PARTS[found[2]]()}\n\n{found[3]}", page)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 1 where `--check` finds a page that is out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check, stale = parser.parse_args(argv).check, []
    for path in sorted(PAGES.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        if (made := renewed(text)) != text:
            stale.append(path.relative_to(ROOT))
            if not check:
                path.write_text(made, encoding="utf-8")
    for path in stale:
        print(f"{path}: {'out of date; run `make reference`' if check else 'written'}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
