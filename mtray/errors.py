"""Every error that mtray raises on purpose. A `MtrayError` is for the user to fix and is shown
without a traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mtray.schema import TrainingRecord


class MtrayError(Exception):
    """Base of all errors that mtray raises on purpose."""

    exit_code = 2


class ConfigError(MtrayError, ValueError):
    """A study, a space or an option is wrong. Names the file, the key, the value and what is
    allowed."""


class DataError(MtrayError, ValueError):
    """A corpus is missing, empty, misaligned or unreadable."""


class ModelError(MtrayError, ValueError):
    """A model or metric cannot be loaded."""


class RunError(MtrayError, RuntimeError):
    """A run folder is in use, belongs to another study, or is damaged."""


class TrainError(MtrayError, RuntimeError):
    """Training ended without a usable model."""


class LossNotFinite(TrainError):
    """The training loss is NaN or infinite."""


class TimeLimitReached(TrainError):
    """A trial ran longer than `budget.trial_minutes`."""


class WorkerLost(TrainError):
    """A process of a trial ended without an error message (killed)."""


class KilledForMemory(TrainError):
    """A process of a trial was killed by the kernel because memory ran out."""


class NodeLost(WorkerLost):
    """A process of a trial ended because a machine of the cluster was lost."""


class NodeDrained(NodeLost):
    """A process of a trial ended with a machine whose end had been announced."""


class TakenOver(WorkerLost):
    """A process works on a trial that another one has begun again."""


class EvaluationError(MtrayError, RuntimeError):
    """A measurement failed. It is never replaced by a number."""


class MetricOutOfMemory(EvaluationError):
    """The process of a metric ran out of memory."""


class ValueNotFinite(EvaluationError):
    """A measured value, or a log-likelihood of the model, is NaN or infinite."""


class TrialStopped(Exception):
    """A trial was asked to stop and stopped at its next step; it is resumed on the next start."""


class TrialMoved(Exception):
    """A trial left its workers, whose end was announced, and goes on elsewhere from its checkpoint.
    Its text says why."""


class ProcessMoved(TrialMoved):
    """The trial's own process has to leave, too."""


class TrialPruned(Exception):
    """A rung ended a trial. `record`: its TrainingRecord so far."""

    def __init__(self, record: TrainingRecord) -> None:
        super().__init__(record)
        self.record = record
