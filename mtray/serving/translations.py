"""The answers of trials side by side, segment by segment, as `outputs` lists them."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mtray.commands.kept_outputs import outputs_file, quality_directions
from mtray.commands.outputs import judged, kept_answer
from mtray.errors import ConfigError
from mtray.evaluation.directions import Direction
from mtray.evaluation.metrics.output_failures import STRICT
from mtray.evaluation.output_files import read_all_outputs, read_outputs
from mtray.evaluation.segment_scores import segment_scores
from mtray.report.page_front import rounded
from mtray.report.translations import QUALITY, Answer
from mtray.run_files import BASE_NUMBER, OUTPUTS_FILE, trial_name
from mtray.schema import Study

MOST = 4  # answers side by side: the base model's and three trials'
METRICS = ("chrf", "chrf++")  # COMET needs a process of its own; `outputs --metric comet` has it
NUMBER = re.compile("[0-9]{1,9}")  # of a trial
KEPT = 64  # answers to a set by a trial that are kept in memory


class Translations:
    """The outputs that a run's trials have kept. Safe to use from several threads, one at a
    time."""

    def __init__(self, run_dir: Path, study: Study) -> None:
        self._run_dir, self._study = run_dir, study
        self._lock = threading.Lock()
        self._directions: dict[str, Direction] | None = None
        self._kept: dict[tuple[str, int, str], list[Answer]] = {}

    def answer(self, query: Mapping[str, str]) -> dict[str, Any]:
        """What is asked for: `set`, `trials` (numbers or `base`, with commas) and `metric`; the
        names of all sets without a set. Raises ConfigError for what does not exist, RunError for
        outputs that cannot be read."""
        names = {QUALITY + q.direction: True for q in self._study.evaluation.quality}
        names |= dict.fromkeys(self._study.evaluation.abilities, False)
        common = {
            "sets": [{"name": n, "translation": is_one} for n, is_one in names.items()],
            "metrics": METRICS, "labels": STRICT, "available": self._available(),
        }  # fmt: skip
        if "set" not in query:
            return common
        name, metric = query["set"], query.get("metric", METRICS[0])
        if name not in names:
            raise ConfigError(f"set: no evaluation set {name!r}; allowed: {', '.join(names)}")
        if metric not in METRICS:
            raise ConfigError(f"metric: found {metric!r}; allowed: {', '.join(METRICS)}")
        numbers = _numbers(query.get("trials", "base"))
        with self._lock:
            make = self._translated if names[name] else self._ability
            segments = make(name, numbers, metric)
        return {
            **common, "set": name, "metric": metric if names[name] else "",
            "trials": [trial_name(n) for n in numbers], "segments": rounded(segments),
        }  # fmt: skip

    def _available(self) -> list[str]:
        """Names of the trials that have kept outputs."""
        files = sorted(self._run_dir.glob(f"trials/*/{OUTPUTS_FILE}"))
        found = [f.parent.name for f in files]
        return ["base"] * ("base" in found) + [str(int(n)) for n in found if n.isdecimal()]

    def _translated(self, name: str, numbers: list[int], metric: str) -> list[dict[str, Any]]:
        if self._directions is None:
            found = quality_directions(self._study)
            self._directions = {QUALITY + d.name: d for d in found}
        direction = self._directions[name]
        score = segment_scores(metric, _no_comet)

        def answers(number: int) -> list[Answer]:
            file = outputs_file(self._run_dir, number)
            return judged(direction, read_outputs(file, direction.requests, [name]), score)

        columns = [self._once((name, n, metric), partial(answers, n)) for n in numbers]
        rows = zip(direction.sources, direction.references, *columns, strict=True)
        return [_segment(i, *row) for i, row in enumerate(rows)]

    def _ability(self, name: str, numbers: list[int], metric: str) -> list[dict[str, Any]]:
        kept = [read_all_outputs(outputs_file(self._run_dir, n), name) for n in numbers]
        return [
            _segment(row[0].index, row[0].prompt, row[0].target or "", *map(kept_answer, row))
            for row in zip(*kept, strict=True)
        ]

    def _once(self, key: tuple[str, int, str], make: Callable[[], list[Answer]]) -> list[Answer]:
        if key not in self._kept:
            while len(self._kept) >= KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = make()
        return self._kept[key]


def _segment(index: int, source: str, reference: str, *answers: Answer) -> dict[str, Any]:
    return {
        "index": index, "source": source, "reference": reference,
        "answers": [answer.model_dump(mode="json") for answer in answers],
    }  # fmt: skip


def _no_comet() -> Any:
    raise ConfigError("metric: comet is not computed by the page")


def _numbers(text: str) -> list[int]:
    """Trial numbers, without repeats."""
    names = list(dict.fromkeys(text.split(",")))
    if len(names) > MOST:
        raise ConfigError(f"trials: at most {MOST} side by side, found {len(names)}")
    if wrong := [n for n in names if n != "base" and not NUMBER.fullmatch(n)]:
        raise ConfigError(f"trials: expected a trial's number or base, found {wrong[0][:20]!r}")
    return [BASE_NUMBER if n == "base" else int(n) for n in names]
