"""`outputs`: read what a trial answered, beside the base model or another trial."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mtray.commands.kept_outputs import outputs_file, quality_directions
from mtray.commands.run_argument import run_folder
from mtray.errors import ConfigError
from mtray.evaluation.directions import Direction, judge_direction
from mtray.evaluation.inference.requests import Output
from mtray.evaluation.metrics.comet import load_comet
from mtray.evaluation.metrics.output_failures import STRICT
from mtray.evaluation.metrics.quality import COMET
from mtray.evaluation.output_files import KeptOutput, read_all_outputs, read_outputs
from mtray.evaluation.segment_scores import SegmentScores, segment_scores
from mtray.report.console import new_console
from mtray.report.printing import print_json, print_lines
from mtray.report.translations import (
    QUALITY,
    Answer,
    Listing,
    Order,
    Segment,
    chosen,
    listing_lines,
)
from mtray.retrain import find_record
from mtray.run_files import BASE_NUMBER, trial_name
from mtray.schema import NO_COMET, Study
from mtray.search.ledger.run_folder import load_bound

LIKELIHOOD = "log-likelihood"


@dataclass(frozen=True)
class Wanted:
    """What is listed.

    - `against`: `base`, a trial's number, or `none`.
    - `part`: one evaluation set: a direction, or an ability's name; None: all directions.
    - `metric`: of segment scores.
    - `order`, `count`: which segments, and how many.
    - `label`: only segments whose answer has this failure label; empty: all.
    """

    against: str = "base"
    part: str | None = None
    metric: str = "chrf"
    order: Order = "worst"
    count: int = 10
    label: str = ""


def wanted_of(args: argparse.Namespace) -> Wanted:
    """From the options of `mtray.commands.arguments.add_outputs`."""
    order: Order = "best" if args.best else "first" if args.first else "worst"
    count = args.best or args.first or args.worst or Wanted.count
    return Wanted(args.against, args.set, args.metric, order, count, args.label)


def show_outputs(path: Path, trial: str, wanted: Wanted, as_json: bool = False) -> int:
    """Print segments of a trial with source, reference and answers. Raises ConfigError or RunError
    naming what does not exist."""
    found = list_outputs(path, trial, wanted)
    if as_json:
        print_json(found)
    else:
        print_lines(listing_lines(found), new_console())
    return 0


def list_outputs(path: Path, trial: str, wanted: Wanted) -> Listing:
    """The segments that are asked for."""
    if wanted.label and wanted.label not in STRICT:
        raise ConfigError(f"--label: no label {wanted.label!r}; allowed: {', '.join(STRICT)}")
    run_dir = run_folder(path)
    study, _ = load_bound(run_dir)
    numbers = _numbers(run_dir, trial, wanted.against)
    files = [outputs_file(run_dir, number) for number in numbers]
    names = list(map(trial_name, numbers))
    parts, abilities = _parts(study, wanted.part)
    if abilities:
        if wanted.label:
            raise ConfigError(f"--label: {wanted.part} is no direction; only these have labels")
        segments = _ability_segments(abilities[0], files)
        metric = LIKELIHOOD if any(s.answer.score is not None for s in segments) else ""
    else:
        metric, segments = wanted.metric, _translations(study, parts, files, wanted.metric)
    count, kept = chosen(segments, wanted.order, wanted.count, wanted.label)
    return Listing(
        trial=names[0], against="".join(names[1:]), metric=metric, order=wanted.order,
        found=count, segments=kept,
    )  # fmt: skip


def _numbers(run_dir: Path, trial: str, against: str) -> list[int]:
    """The trial, and the one that it is compared with, if any."""
    number = find_record(run_dir, trial).number
    if against == "none" or (against == "base" and number == BASE_NUMBER):
        return [number]
    other = find_record(run_dir, against).number
    if other == number:
        raise ConfigError(f"--against: trial {against} is the trial itself")
    return [number, other]


def _parts(study: Study, part: str | None) -> tuple[list[str], list[str]]:
    """Directions and abilities that are asked for."""
    directions = [q.direction for q in study.evaluation.quality]
    if part is None:
        return directions, []
    if part.removeprefix(QUALITY) in directions:
        return [part.removeprefix(QUALITY)], []
    if part in study.evaluation.abilities:
        return [], [part]
    allowed = ", ".join([*directions, *study.evaluation.abilities])
    raise ConfigError(f"--set: the study has no evaluation set {part!r}; allowed: {allowed}")


def _translations(
    study: Study, names: Sequence[str], files: Sequence[Path], metric: str
) -> list[Segment]:
    if metric == COMET and study.evaluation.comet == NO_COMET:
        raise ConfigError("--metric comet: the study has `comet: none`; use chrf")
    wanted = study.evaluation
    score = segment_scores(metric, lambda: load_comet(wanted.comet, "auto", wanted.comet_long))
    return [
        segment
        for direction in quality_directions(study)
        if direction.name in names
        for segment in _direction_segments(direction, files, score)
    ]


def _direction_segments(
    direction: Direction, files: Sequence[Path], score: SegmentScores
) -> list[Segment]:
    part = QUALITY + direction.name
    answers = [
        judged(direction, read_outputs(file, direction.requests, [part]), score) for file in files
    ]
    rows = zip(direction.sources, direction.references, *answers, strict=True)
    return [
        Segment(
            part=part, index=index, source=source, reference=reference,
            answer=found[0], other=found[1] if len(found) > 1 else None,
        )
        for index, (source, reference, *found) in enumerate(rows)
    ]  # fmt: skip


def judged(direction: Direction, outputs: Sequence[Output], score: SegmentScores) -> list[Answer]:
    """The outputs of a direction as answers, with their scores and failure labels."""
    labels = judge_direction(direction, outputs).labels["strict"]
    scores = score(direction, outputs)
    return [
        Answer(text=o.text, score=value, labels=found, truncated=o.truncated)
        for o, value, found in zip(outputs, scores, labels, strict=True)
    ]


def _ability_segments(name: str, files: Sequence[Path]) -> list[Segment]:
    """Prompts, targets and answers as they were kept: what is right is the ability's to say."""
    rows = zip(*(read_all_outputs(file, name) for file in files), strict=True)
    return [
        Segment(
            part=name, index=kept[0].index, source=kept[0].prompt, reference=kept[0].target or "",
            answer=kept_answer(kept[0]), other=kept_answer(kept[1]) if len(kept) > 1 else None,
        )
        for kept in rows
    ]  # fmt: skip


def kept_answer(found: KeptOutput) -> Answer:
    """An output of an ability; its score is the log-likelihood of a target that was scored."""
    output, scored = found.output, found.target is not None
    score = output.log_likelihood if scored else None
    return Answer(text="" if scored else output.text, score=score, truncated=output.truncated)
