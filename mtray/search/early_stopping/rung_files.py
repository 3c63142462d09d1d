"""The questions and measurements of a trial's rungs, kept in its folder until it ends."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mtray.errors import RunError
from mtray.evaluation.inference.requests import Output
from mtray.evaluation.output_files import read_outputs, write_outputs
from mtray.report.records import write_json
from mtray.schema import Rung
from mtray.training.loop import RungPosition

RUNGS = "rungs"
MOST = 9  # rungs of a trial


class RungFiles:
    """A trial's rungs on disk, in its `folder`.

    A question is a Parquet file of outputs and a JSON file; the measurement replaces both. Files
    that cannot be read count as missing. A full disk is ignored here and reported elsewhere: the
    sweep continues without these files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / RUNGS

    def ask(self, question: RungQuestion, part: Any) -> None:
        """Store a worker's outputs until they are measured; `part` is the subset of the suite."""
        rung = question.reached.rung
        with contextlib.suppress(OSError):
            write_outputs(self._outputs(rung), part.parts, part.requests, question.outputs)
            asked = {"reached": question.reached._asdict(), "seconds": question.seconds}
            write_json(self._asked(rung), asked)

    def measured(self, rung: Rung) -> None:
        with contextlib.suppress(OSError):
            write_json(self._measured(rung.rung), rung.model_dump(mode="json"))
            self._asked(rung.rung).unlink(missing_ok=True)
            self._outputs(rung.rung).unlink(missing_ok=True)

    def drop_from(self, rung: int) -> None:
        """Delete what a lost attempt stored for this rung and later ones."""
        for later in range(rung, MOST):
            for file in (self._asked(later), self._outputs(later), self._measured(later)):
                file.unlink(missing_ok=True)

    def curve(self) -> dict[int, Rung]:
        """The measurements, by rung."""
        found = {}
        for file in self._files("*.measured.json"):
            with contextlib.suppress(OSError, ValidationError):
                rung = Rung.model_validate_json(file.read_bytes())
                found[rung.rung] = rung
        return found

    def questions(self, part: Any) -> list[RungQuestion]:
        """The questions that have no measurement yet."""
        found = []
        for file in self._files("*.asked.json"):
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, RunError):
                asked = json.loads(file.read_bytes())
                reached = RungPosition(**asked["reached"])
                outputs = read_outputs(self._outputs(reached.rung), part.requests)
                found.append(RungQuestion(reached, outputs, asked["seconds"]))
        return found

    def _files(self, pattern: str) -> Iterator[Path]:
        return iter(sorted(self._folder.glob(pattern)))

    def _outputs(self, rung: int) -> Path:
        return self._folder / f"{rung}.outputs.parquet"

    def _asked(self, rung: int) -> Path:
        return self._folder / f"{rung}.asked.json"

    def _measured(self, rung: int) -> Path:
        return self._folder / f"{rung}.measured.json"


@dataclass(frozen=True)
class RungQuestion:
    """A worker's outputs at a rung and the seconds they took, to decide whether the trial ends
    here."""

    reached: RungPosition
    outputs: list[Output]
    seconds: float
