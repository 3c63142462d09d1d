"""Ray: the names of its errors and of the errors that they wrap. Tested with 2.50.0 and 2.60.0."""

from __future__ import annotations

import json
import os

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


def job_variables() -> dict[str, str]:
    """The environment variables that the runtime environment of a submitted job sets, in which this
    process runs; none outside of one.

    Private: the variable's name. Without it, Ray raises ValueError where a job sets one of ours.
    """
    try:
        config = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}"))
        found = (config.get("runtime_env") or {}).get("env_vars") or {}
        return {str(name): str(value) for name, value in found.items()}
    except (ValueError, AttributeError):
        return {}


def asks_for_token() -> bool:
    """Whether the cluster that this process is in asks for a token: Ray sets the variable where it
    decides so itself."""
    return os.environ.get("RAY_AUTH_MODE", "").lower() == "token"
