"""The answers that trials of an earlier run have stored, by request. A request that two studies
have in common is answered once, whatever else their evaluation sets hold."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mtray.errors import ConfigError, DataError, RunError
from mtray.evaluation.inference.requests import Output, Request
from mtray.evaluation.output_files import read_outputs
from mtray.evaluation.suite import Suite, build_suite
from mtray.schema import Study, as_written

Answers = dict[Request, Output]


def suite_of(study: Study, tokenizer: Any) -> tuple[Suite | None, str]:
    """The evaluation suite of an earlier run's study; None, and the reason, if it can no longer be
    read."""
    try:
        return build_suite(as_written(study), tokenizer), ""
    except (ConfigError, DataError) as error:
        return None, str(error)


def stored_answers(file: Path, suite: Suite | None) -> Answers:
    """The outputs in a trial's file by the requests of its suite. A set whose content has changed,
    so that the file holds other requests, gives none; nor does a missing or damaged file."""
    found: Answers = {}
    if suite is None:
        return found
    by_part: dict[str, list[Request]] = {}
    for part, request in zip(suite.parts, suite.requests, strict=True):
        by_part.setdefault(part, []).append(request)
    for part, requests in by_part.items():
        with contextlib.suppress(RunError):
            found |= zip(requests, read_outputs(file, requests, [part]), strict=True)
    return found


def unanswered(suite: Suite, answers: Mapping[Request, Output]) -> list[Request]:
    """The suite's requests without an answer, each once, in the suite's order."""
    return [r for r in dict.fromkeys(suite.requests) if r not in answers]


def counted_by_part(suite: Suite, requests: Iterable[Request]) -> dict[str, int]:
    """How many of these requests each part of the suite has; one that two parts share counts in
    both."""
    wanted, found = set(requests), dict[str, int]()
    for part, request in zip(suite.parts, suite.requests, strict=True):
        if request in wanted:
            found[part] = found.get(part, 0) + 1
    return found
