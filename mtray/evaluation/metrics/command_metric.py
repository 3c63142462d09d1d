"""A study's own metric: any command that speaks the protocol of `worker/protocol.py`, such as
MetricX in its own environment or a language model as a judge."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from mtray.evaluation.metrics.comet import CometScorer, scorer_of
from mtray.evaluation.metrics.metric_process import command_scoring
from mtray.evaluation.metrics.worker.protocol import VERSION

MARK = f"|protocol:{VERSION}"  # in a signature: the score is of a learned metric


def load_command(name: str, command: Sequence[str], device: str = "auto") -> CometScorer:
    """The metric that a command computes, started and loaded once per process; `name` is how the
    study calls it. It is code that the study's author runs. Raises ModelError."""
    return _load(name, tuple(command), device)


@functools.cache
def _load(name: str, command: tuple[str, ...], device: str) -> CometScorer:
    return scorer_of(command_scoring(command, name), {"device": device}, MARK)
