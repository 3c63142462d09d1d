"""`score SUITE`: outputs made elsewhere, scored by the code that scores a trial.

Each suite is one file with `TEXT`, `arguments(parser)` and `measure(args)`, and one line in
`SUITES`. Heavy imports belong in `measure`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

from mtray.commands.scoring import (
    ctxpro,
    failures,
    formality,
    idioms,
    quality,
    summarisation,
    technical,
)
from mtray.commands.scoring.suite_scores import SuiteScores


class Suite(NamedTuple):
    text: str
    arguments: Callable[[argparse.ArgumentParser], None]
    measure: Callable[[argparse.Namespace], SuiteScores]


SUITES = {
    name: Suite(module.TEXT, module.arguments, module.measure)
    for name, module in {
        "ctxpro": ctxpro,
        "failures": failures,
        "formality": formality,
        "idioms": idioms,
        "quality": quality,
        "summarisation": summarisation,
        "technical": technical,
    }.items()
}
