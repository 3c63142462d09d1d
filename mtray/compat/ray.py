"""Ray: what its errors are called, and what they hold. Tried with 2.50.0 and 2.60.0."""

from __future__ import annotations

# of a Train run, an actor's task, a worker group whose worker does not answer
WRAPPED = ("controller_failure", "health_check_failure", "cause")
# private: of a Train run that found no room for its workers within a minute
NO_ROOM = "WorkerGroupStartupTimeoutError"


def wrapped_errors(error: BaseException) -> list[BaseException]:
    """The errors that one of Ray's holds, beside its `__cause__`.

    Private: `health_check_failure`. Without the names the text, which Ray repeats, is all that is
    left: then the class of the wrapper decides."""
    found = [getattr(error, name, None) for name in WRAPPED]
    return [inner for inner in found if isinstance(inner, BaseException)]


def found_no_room(error: BaseException) -> bool:
    """Whether a Train run ended since there was no room for its workers yet. Without the name it
    counts as failed, and the trial that waits fails with it."""
    return type(getattr(error, "controller_failure", None)).__name__ == NO_ROOM
