"""Ray: the names of its errors and of the errors that they wrap. Tested with 2.50.0 and 2.60.0."""

from __future__ import annotations

# of a Train run, an actor's task, a worker group whose worker does not answer
WRAPPED = ("controller_failure", "health_check_failure", "cause")
# private: raised by a Train run that found no resources for its workers within a minute
NO_ROOM = "WorkerGroupStartupTimeoutError"


def wrapped_errors(error: BaseException) -> list[BaseException]:
    """The errors that one of Ray's wraps, in addition to its `__cause__`.

    Private: `health_check_failure`. Without these names only the text, which Ray repeats, remains:
    the class of the wrapper then decides.
    """
    found = [getattr(error, name, None) for name in WRAPPED]
    return [inner for inner in found if isinstance(inner, BaseException)]


def found_no_room(error: BaseException) -> bool:
    """Whether a Train run ended because there were no resources for its workers yet. Without the
    name it counts as failed, and the waiting trial fails with it."""
    return type(getattr(error, "controller_failure", None)).__name__ == NO_ROOM
