"""What we take of Ray beyond its interface is still there."""

import pytest

from mtray.compat.ray import WRAPPED, wrapped_errors


def holding(name, error):
    wrapper = RuntimeError("a wrapper")
    setattr(wrapper, name, error)
    return wrapper


INNER = ValueError("inner")


@pytest.mark.parametrize("name", WRAPPED)
def test_what_an_error_holds_is_found(name):
    assert wrapped_errors(holding(name, INNER)) == [INNER]


@pytest.mark.parametrize("error", [INNER, holding("cause", "a text"), holding("other", INNER)])
def test_nothing_else_is(error):
    assert wrapped_errors(error) == []


def test_ray_still_holds_what_a_worker_raised_under_that_name():
    exceptions = pytest.importorskip("ray.train.v2._internal.exceptions")
    assert INNER in wrapped_errors(exceptions.UserExceptionWithTraceback(INNER, "its traceback"))
