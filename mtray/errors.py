"""Every error mtray raises on purpose. A `MtrayError` is the user's to mend and is shown without a
traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mtray.schema import TrainingRecord


class MtrayError(Exception):
    """Base of all errors that mtray raises on purpose."""

    exit_code = 2


class ConfigError(MtrayError, ValueError):
    """A study, a space or an option is wrong: names the file, the key, the value and what is
    allowed."""


class DataError(MtrayError, ValueError):
    """A corpus is missing, empty, misaligned or not readable."""


class ModelError(MtrayError, ValueError):
    """A model or metric cannot be loaded."""


class RunError(MtrayError, RuntimeError):
    """A run folder is in use, of another study, or damaged."""


class TrainError(MtrayError, RuntimeError):
    """Training ended without a usable model."""


class LossNotFinite(TrainError):
    """The training loss is NaN or infinite."""


class TimeLimitReached(TrainError):
    """A trial ran longer than `budget.trial_minutes`."""


class WorkerLost(TrainError):
    """A process of a trial ended without saying why (killed)."""


class NodeLost(WorkerLost):
    """A process of a trial ended, and a machine of the cluster with it."""


class EvaluationError(MtrayError, RuntimeError):
    """A measurement could not be made. Never replaced by a number."""


class ValueNotFinite(EvaluationError):
    """A measured value, or what the model says of its answers, is NaN or infinite."""


class TrialStopped(Exception):
    """A trial was asked to stop and did so at its next step; it resumes on the next start."""


class TrialPruned(Exception):
    """A rung ended a trial. `record`: the TrainingRecord of what was trained until then."""

    def __init__(self, record: TrainingRecord) -> None:
        super().__init__(record)
        self.record = record
