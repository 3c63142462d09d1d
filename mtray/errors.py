"""Every error mtray raises on purpose. A `MtrayError` is the user's to mend and is shown without a
traceback."""

from __future__ import annotations


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
    """Training ended without a usable model (loss not finite, worker lost)."""


class EvaluationError(MtrayError, RuntimeError):
    """A measurement could not be made. Never replaced by a number."""


class TrialStopped(Exception):
    """A trial was asked to stop and did so at its next step; it resumes on the next start."""
