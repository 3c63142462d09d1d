"""`init`: write a first study and its space from a model and files."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TextIO, TypeVar

from mtray.errors import ConfigError
from mtray.first_study.corpora import (
    MOST,
    Corpus,
    mono_corpus,
    parallel_corpus,
    replay_corpus,
)
from mtray.first_study.fitting import Fit, fit, model_facts, this_machine
from mtray.first_study.plan import MONO, PARALLEL, REPLAY, Brought, Plan
from mtray.first_study.text import size_text, space_text, study_text
from mtray.schema import NO_COMET
from mtray.schema.base import DIRECTION_PATTERN, NAME_PATTERN
from mtray.search_space.space import load_space
from mtray.study import load_study

T = TypeVar("T")
COMET = "Unbabel/wmt22-comet-da"
QUESTIONS = {
    "model": "model (a folder, or a hub name): ",
    "direction": "direction to translate in, such as de-en: ",
    "parallel": "parallel text (one file, or one for each language: de=a.de en=a.en): ",
    "test": "test set, on which every trial is measured (same formats): ",
}
MAY_BE = {"mono": "monolingual text (such as en=mono.txt, one or more; empty: none): "}


def init(args: argparse.Namespace) -> int:
    """Write both files and print the next command. ConfigError for what is missing or exists
    already, DataError or ModelError for what cannot be read."""
    _ask(args)
    languages = _languages(args.direction)
    model = model_facts(args.model)
    name = args.name or _name(args.model, args.direction)
    if not re.fullmatch(NAME_PATTERN, name):
        raise ConfigError(f"--name {name}: expected letters, digits, '.', '_' and '-'")
    folder = args.out.expanduser().absolute()
    files = folder / f"{name}.yaml", folder / f"{name}.space.yaml"
    for file in files:
        if os.path.lexists(file):
            raise ConfigError(f"{file}: exists already; give another --name or --out")
    brought = Brought(
        name=name, model=model, languages=languages,
        parallel=_named(
            PARALLEL, args.parallel, lambda given: parallel_corpus("--parallel", given, languages)
        ),
        mono=_mono(args.mono, languages),
        replay=_named(REPLAY, args.replay, lambda given: replay_corpus("--replay", given)),
        test=parallel_corpus("--test", args.test, languages, measured=True),
        held_out=parallel_corpus("--held-out", args.held_out, languages, measured=True)
        if args.held_out else None,
        comet=args.comet or _comet(args.model, args.direction),
    )  # fmt: skip
    machine = this_machine()
    found = fit(model.parameters, machine, find_spec("bitsandbytes") is not None)
    _write(Plan(brought, machine, found), *files)
    _tell(model.parameters, found, args.comet is None and brought.comet == NO_COMET)
    options = ["--study", _shown(files[0]), "--space", _shown(files[1])]
    print(f"wrote {_shown(files[0])} and {_shown(files[1])}")
    print(f"next: {shlex.join(['python', '-m', 'mtray', 'check', *options])}")
    return 0


def _ask(args: argparse.Namespace, stream: TextIO | None = None) -> None:
    """Ask on a terminal for what was not given. ConfigError where there is no terminal."""
    missing = [key for key in QUESTIONS if not getattr(args, key)]
    if missing and not (stream or sys.stdin).isatty():
        names = ", ".join(f"--{key}" for key in missing)
        raise ConfigError(f"{names}: missing; give {'it' if len(missing) == 1 else 'them'}")
    for key in missing:
        while not (answer := shlex.split(input(QUESTIONS[key]))):
            pass
        several = {"parallel": [answer], "test": answer}
        setattr(args, key, several.get(key, answer[0]))
    if missing and not args.mono:
        args.mono = shlex.split(input(MAY_BE["mono"]))


def _languages(direction: str) -> tuple[str, str]:
    if not re.fullmatch(DIRECTION_PATTERN, direction):
        raise ConfigError(f"--direction {direction}: expected two language codes, such as de-en")
    source, target = direction.split("-")
    if source == target:
        raise ConfigError(f"--direction {direction}: source and target are the same language")
    return source, target


def _name(model: str, direction: str) -> str:
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", Path(model).name).strip("-.") or "study"
    return f"{stem}-{direction}"


def _named(kind: str, given: Sequence[T], read: Callable[[T], Corpus]) -> dict[str, Corpus]:
    """The corpora by names: pairs, pairs2, ..."""
    found = [read(one) for one in given]
    return {f"{kind}{place if place > 1 else ''}": c for place, c in enumerate(found, 1)}


def _mono(given: Sequence[str], languages: tuple[str, str]) -> dict[str, tuple[str, Corpus]]:
    found: dict[str, tuple[str, Corpus]] = {}
    for one in given:
        language, sign, path = one.partition("=")
        if not sign or not re.fullmatch("[a-z]{2,3}", language):
            raise ConfigError(f"--mono {one}: expected LANGUAGE=FILE, such as {languages[1]}=FILE")
        name = f"{MONO}-{language}"
        name += str(sum(other.startswith(name) for other in found) + 1) * (name in found)
        found[name] = language, mono_corpus("--mono", path, language)
    return found


def _comet(model: str, direction: str) -> str:
    """The usual COMET model where it is in the cache or the hub can be reached."""
    if model == "embedded" and direction == "en-uk":
        return "embedded"
    from huggingface_hub import try_to_load_from_cache

    from mtray.data.readers.hub import why_offline

    cached = isinstance(try_to_load_from_cache(COMET, "hparams.yaml"), str)
    return COMET if cached or why_offline() is None else NO_COMET


def _write(plan: Plan, study: Path, space: Path) -> None:
    """Both files; the space has the sizes that the sources have under the study. Neither is left
    behind where that fails."""
    written: list[Path] = []
    try:
        with _writable(study):
            study.parent.mkdir(parents=True, exist_ok=True)
        # the sizes of the space are not in the study, only the batch depends on them
        rough = replace(plan, held=_rows(plan))
        _create(study, study_text(rough, study.parent), written)
        exact = replace(rough, held=_held(study, rough))
        text = space_text(exact)
        if exact.batch != rough.batch:
            study.unlink()
            written.remove(study)
            _create(study, study_text(exact, study.parent), written)
        _create(space, text, written)
        loaded = load_study(study)
        load_space(space, loaded.defaults, loaded.sources)
    except BaseException:
        for file in written:
            file.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _writable(file: Path) -> Iterator[None]:
    """ConfigError where a file cannot be written, or a path is not UTF-8."""
    try:
        yield
    except UnicodeEncodeError as error:
        name = error.object.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        path = next((p for p in re.split('["\n]', name) if "\ufffd" in p), name[:80])
        raise ConfigError(
            f"{path}: the path is not UTF-8, and a study cannot name it; rename the file or folder"
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{file}: cannot be written ({error.strerror}); give another --out or --name"
        ) from None


def _create(file: Path, text: str, written: list[Path]) -> None:
    with _writable(file):
        try:
            with open(file, "x", encoding="utf-8") as out:
                written.append(file)
                out.write(text)
        except FileExistsError:
            raise ConfigError(f"{file}: exists already; give another --name or --out") from None


def _rows(plan: Plan) -> dict[str, int]:
    """The rows of every source; half of them where not all are read: what filters and the length
    leave is not known then."""
    found = plan.brought
    corpora = {**found.parallel, **found.replay, **{n: c for n, (_, c) in found.mono.items()}}
    share = 1 if plan.counted else 2
    return {name: corpus.rows // share for name, corpus in corpora.items()}


def _held(study: Path, plan: Plan) -> dict[str, int]:
    """The examples of every source under the study, tokenised as for the sweep; of larger corpora
    what `plan` has."""
    if not plan.counted:
        print(f"a file has {MOST:,} rows or more: sizes are estimated, the sweep reads all of it")
        return dict(plan.held)
    from mtray.data.store import build_store
    from mtray.embedded.corpora import fetch_corpora

    loaded = load_study(study)
    fetch_corpora(loaded)
    store = build_store(loaded, plan.brought.model.tokenizer, say=print)
    return {name: len(store[name]) for name in plan.held}


def _tell(parameters: int, found: Fit, unreached: bool) -> None:
    how = {"full": "all weights are trained", "lora": "adapters are trained (LoRA)"}
    how["qlora"] = "adapters on 4-bit weights are trained (QLoRA)"
    print(f"{size_text(parameters)}: {how[found.method]}")
    if found.short_gb:
        print(f"note: about {found.short_gb:.0f} GB of memory are missing on this machine")
    if unreached:
        print("note: no COMET model, since the hub cannot be reached; give one with --comet")


def _shown(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
