"""Ray: what its wrapped errors hold. Tried with 2.60.0."""

from __future__ import annotations

# `_base_exc` is private: of what a worker of Ray Train raised, which is wrapped for its traceback
WRAPPED = ("controller_failure", "health_check_failure", "cause", "_base_exc")


def wrapped_errors(error: BaseException) -> list[BaseException]:
    """The errors that one of Ray's holds, beside its `__cause__`.

    Private: the attributes' names. A reason for a failure is read from the innermost error, which
    may be ours; without the names its text, which Ray repeats, is all that is left: then the class
    of the wrapper decides."""
    found = [getattr(error, name, None) for name in WRAPPED]
    return [inner for inner in found if isinstance(inner, BaseException)]
