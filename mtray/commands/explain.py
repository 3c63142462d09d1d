"""`explain`: the effect of every parameter of a run on every measure, and how certain it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from mtray.commands.predict import evidence_of
from mtray.commands.run_argument import run_folder
from mtray.errors import ConfigError
from mtray.files import write_atomically
from mtray.report.causes import cause_lines, causes
from mtray.report.columnar_files import csv_bytes
from mtray.report.console import new_console
from mtray.report.effects import effect_rows, effects
from mtray.report.effects_plot import effects_png
from mtray.report.effects_text import importance_sheet, left_out_lines, left_out_sheet
from mtray.report.laws import law_lines, laws
from mtray.report.printing import Sheet, print_lines, print_sheet
from mtray.report.surface import modelled
from mtray.search.ledger.run_folder import load_bound


def explain(path: Path, out: Path | None) -> int:
    """Print importances, model errors, laws and causes, and write `explain.{json,csv,png}` into the
    run's folder or `out`. RunError where the run has too few trials, ConfigError when the folder
    cannot be written."""
    run_dir = run_folder(path)
    study, space = load_bound(run_dir)
    evidence = evidence_of(run_dir, study)
    found = effects(modelled(evidence, space), space)
    by_laws, by_causes = laws(evidence, study, space), causes(evidence)
    console = new_console()
    for sheet in (importance_sheet(found, space), left_out_sheet(found)):
        _titled(sheet, console)
    print_lines([*left_out_lines(found), "", *law_lines(by_laws)], console)
    print_lines(["", *cause_lines(by_causes)], console)
    contents = {"effects": found, "laws": by_laws, "causes": by_causes}
    content = {
        "json": json_bytes(contents),
        "csv": csv_bytes(effect_rows(found)),
        "png": effects_png([m for m in found if m.measure in study.objectives], space),
    }
    folder = out or run_dir
    try:
        files = [write_atomically(folder / f"explain.{e}", c) for e, c in content.items()]
    except OSError as error:
        raise ConfigError(
            f"--out {folder}: cannot be written ({error.strerror}); choose another folder"
        ) from None
    print_lines([f"{file.suffix[1:]}: {file}" for file in files], console)
    return 0


def _titled(sheet: Sheet, console: Console) -> None:
    """A table with its title and caption, also when output is piped."""
    if not console.is_terminal:
        print_lines([sheet.title], console)
    print_sheet(sheet, console)
    print_lines([*([] if console.is_terminal else [sheet.caption]), ""], console)


def json_bytes(contents: Mapping[str, Any]) -> bytes:
    """Reports, or tuples of them, by name as JSON."""
    plain = {
        name: [part.model_dump(mode="json") for part in found]
        if isinstance(found, tuple)
        else found.model_dump(mode="json")
        for name, found in contents.items()
    }
    return json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False).encode()
