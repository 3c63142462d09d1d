"""What was asked and measured at a trial's rungs, kept in its folder until it ends."""

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
    """A trial's rungs on disk, in its `folder`: a question as a Parquet file of outputs and a JSON
    file beside it, which the measurement takes the place of. Files that cannot be read are as good
    as none, and a full disk is for others to notice: the sweep goes on without this."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / RUNGS

    def ask(self, question: RungQuestion, part: Any) -> None:
        """Keep a worker's outputs until they are measured; `part` is that of the suite."""
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
        """What an attempt that was lost found at this rung and later ones."""
        for later in range(rung, MOST):
            for file in (self._asked(later), self._outputs(later), self._measured(later)):
                file.unlink(missing_ok=True)

    def curve(self) -> dict[int, Rung]:
        """What was measured, by rung."""
        found = {}
        for file in self._files("*.measured.json"):
            with contextlib.suppress(OSError, ValidationError):
                rung = Rung.model_validate_json(file.read_bytes())
                found[rung.rung] = rung
        return found

    def questions(self, part: Any) -> list[RungQuestion]:
        """What was asked and not measured."""
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
    """A worker's outputs at a rung and the seconds they took: does the trial end here?"""

    reached: RungPosition
    outputs: list[Output]
    seconds: float
