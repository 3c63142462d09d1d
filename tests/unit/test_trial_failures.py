"""Classes of failures, with stand-ins that have the names of Ray's and torch's errors."""

import errno

import pytest
from fresh_process import modules_after
from pydantic import ValidationError
from records_factory import make_failed, make_record

from mtray.errors import (
    ConfigError,
    DataError,
    EvaluationError,
    LossNotFinite,
    MetricOutOfMemory,
    ModelError,
    NodeLost,
    TimeLimitReached,
    TrainError,
    ValueNotFinite,
    WorkerLost,
)
from mtray.schema import Recipe, Score
from mtray.search.ledger.trial_failures import (
    attempt,
    classify,
    failed_record,
    innermost,
    is_disk_full,
    may_run_again,
    most_telling,
    one_line,
    state_of,
    why_to_give_up,
    with_attempts,
)
from mtray.trial.job import Job

JOB = Job(3, "search", Recipe(parallel_size=100), 1)


def named(name, *bases):
    return type(name, bases or (Exception,), {})


def wrapped(inner, attribute):
    error = Exception("a wrapper")
    setattr(error, attribute, inner)
    return error


def raised_from(outer, inner):
    outer.__cause__ = inner
    return outer


ActorDiedError = named("ActorDiedError", named("RayActorError"))
FULL = OSError(errno.ENOSPC, "No space left on device")

CLASSES = [
    (MetricOutOfMemory("comet: no memory"), "out_of_memory"),
    (MemoryError(), "out_of_memory"),
    (named("OutOfMemoryError", RuntimeError)("CUDA: tried to allocate"), "out_of_memory"),
    (RuntimeError("CUDA error: out of memory"), "out_of_memory"),
    (RuntimeError("[...] DefaultCPUAllocator: can't allocate memory: you tried"), "out_of_memory"),
    (ValueError("out of memory, says a text that is no torch error"), "bug"),
    (LossNotFinite("nan at step 3"), "not_finite"),
    (ValueNotFinite("-inf"), "not_finite"),
    (ActorDiedError(), "worker_lost"),
    (wrapped(ActorDiedError(), "health_check_failure"), "worker_lost"),
    (RuntimeError("[../gloo] Connection closed by peer [127.0.0.1]:1234"), "worker_lost"),
    (WorkerLost("killed"), "worker_lost"),
    (NodeLost("gone"), "node_lost"),
    (named("NodeDiedError")("gone"), "node_lost"),
    (TimeLimitReached("5 minutes"), "time_limit"),
    (DataError("holds 3"), "data_error"),
    (ConfigError("no source"), "data_error"),
    (ModelError("no weights"), "data_error"),
    (FileNotFoundError(errno.ENOENT, "gone"), "data_error"),
    (EvaluationError("not measured"), "evaluation_error"),
    (FULL, "disk_full"),
    (OSError(errno.EDQUOT, "quota"), "disk_full"),
    (raised_from(RuntimeError("torch.save"), FULL), "disk_full"),
    (wrapped(FULL, "controller_failure"), "disk_full"),
    (OSError(errno.EIO, "broken disk"), "bug"),
    (TrainError("engine 'x' is unknown"), "bug"),
    (KeyError("loss"), "bug"),
]


@pytest.mark.parametrize("error, expected", CLASSES, ids=lambda v: str(v)[:40])
def test_every_error_has_its_class(error, expected):
    assert classify(error) == expected


def test_a_score_that_is_nan_is_told_from_other_wrong_fields():
    with pytest.raises(ValidationError) as nan:
        Score(value=float("nan"), low=0, high=1, n=3, signature="x")
    with pytest.raises(ValidationError) as text:
        Score(value="high", low=0, high=1, n=3, signature="x")
    assert (classify(nan.value), classify(text.value)) == ("not_finite", "bug")


def test_the_same_error_while_scoring_is_one_of_the_evaluation():
    assert classify(KeyError("x"), scoring=True) == "evaluation_error"
    assert classify(MemoryError(), scoring=True) == "out_of_memory"
    assert classify(FULL, scoring=True) == "disk_full"


def test_a_cause_that_goes_round_ends():
    one, other = ValueError("a"), ValueError("b")
    one.__cause__, other.__cause__ = other, one
    assert classify(one) == "bug" and not is_disk_full(one)


@pytest.mark.parametrize(
    "errors, rank",
    [
        ({0: RuntimeError("Connection closed by peer"), 1: ActorDiedError()}, 1),
        ({0: RuntimeError("Connection reset by peer"), 1: KeyError("x")}, 1),
        ({0: KeyError("x"), 1: MemoryError()}, 1),
        ({0: MemoryError(), 1: ActorDiedError()}, 1),
        ({1: KeyError("x"), 0: KeyError("y")}, 0),
        ({2: RuntimeError("Connection closed by peer")}, 2),
    ],
)
def test_of_several_workers_the_one_that_says_most_is_believed(errors, rank):
    assert most_telling(errors) is errors[rank]


@pytest.mark.parametrize(
    "text, line",
    [
        ("", "ValueError: without a message"),
        ("  \n\n", "ValueError: without a message"),
        ("\n  at last\nmore", "ValueError: at last"),
        ("it failed due to:\n\nthe cause\nmore", "ValueError: it failed due to: the cause"),
    ],
)
def test_a_reason_is_never_empty(text, line):
    assert one_line(ValueError(text)) == line


def test_the_innermost_error_that_says_something_is_the_cause():
    outer = RuntimeError("failed due to:")
    outer.controller_failure = RuntimeError("of the group")
    outer.controller_failure.cause = ValueError("connect: refused")
    outer.controller_failure.cause.__cause__ = KeyError()
    assert str(innermost(outer)) == "connect: refused"
    assert innermost(KeyError()).args == ()


def test_a_refused_recipe_is_infeasible_until_it_is_scored():
    assert state_of(DataError("holds 3"), scoring=False) == "infeasible"
    assert state_of(ConfigError("frozen_layers is 9"), scoring=False) == "infeasible"
    assert state_of(DataError("outputs.parquet"), scoring=True) == "failed"
    assert state_of(ModelError("no weights"), scoring=False) == "failed"


def tried(*classes):
    return [attempt(c, "why", "again", 2.0) for c in classes]


@pytest.mark.parametrize(
    "reason_class, before, again",
    [
        ("out_of_memory", [], True),
        ("out_of_memory", ["out_of_memory"], False),
        ("out_of_memory", ["worker_lost", "node_lost"], True),
        ("worker_lost", ["worker_lost"], True),
        ("worker_lost", ["worker_lost", "node_lost"], False),
        ("node_lost", ["out_of_memory", "worker_lost"], True),
        ("bug", [], False),
        ("not_finite", [], False),
        ("time_limit", [], False),
    ],
)
def test_further_attempts_are_counted_by_kind(reason_class, before, again):
    assert may_run_again(reason_class, tried(*before)) is again


@pytest.mark.parametrize(
    "reason_class, steps, now, again",
    [
        ("node_lost", [0, 0], 0, False),
        ("node_lost", [0, 0], 1, True),
        ("node_lost", [10, 20, 30, 40], 40, True),
        ("node_lost", [10, 20, 30, 40, 40], 40, False),
        ("worker_lost", [10, 10, 20], 30, True),
        ("worker_lost", [30, 30], 20, False),
        ("out_of_memory", [10], 20, False),
    ],
)
def test_losses_with_progress_since_do_not_count(reason_class, steps, now, again):
    before = [attempt(reason_class, "why", "again", 2.0, step) for step in steps]
    assert may_run_again(reason_class, before, now) is again


def test_a_failed_record_says_why_and_what_was_tried():
    try:
        raise LossNotFinite("the training loss is nan at step 2 of 4\nand more")
    except LossNotFinite as error:
        record = with_attempts(failed_record(JOB, error, {"total": 4.5}), tried("worker_lost"))
    assert (record.number, record.state, record.reason_class) == (3, "failed", "not_finite")
    assert record.reason == "LossNotFinite: the training loss is nan at step 2 of 4"
    assert record.seconds == {"total": 4.5} and record.finished
    assert "test_trial_failures.py" in record.extra["traceback"]
    assert [a["reason_class"] for a in record.extra["attempts"]] == ["worker_lost"]
    assert [a["seconds"] for a in record.extra["attempts"]] == [2.0]
    assert not record.objectives
    refused = failed_record(JOB, DataError("holds 3"), {})
    assert (refused.state, refused.reason_class) == ("infeasible", "data_error")
    assert with_attempts(refused, []) is refused


def ended(states):
    """`f` failed, `i` infeasible, `c` complete, in the order they ended."""
    made = {
        "f": lambda n: make_failed(n).model_copy(update={"reason_class": "not_finite"}),
        "i": lambda n: make_failed(n).model_copy(update={"state": "infeasible"}),
        "c": lambda n: make_record(n, 0.5, 0.5),
    }
    return [made[s](n) for n, s in enumerate(states)]


@pytest.mark.parametrize(
    "states, had_complete, gives_up",
    [
        ("fff", False, True), ("ff", False, False), ("ffcf", False, True), ("fcfcf", False, True),
        ("fccff", False, True), ("fccfcf", False, False), ("cccccfffff", False, False),
        ("iiiff", False, False), ("ififf", False, True), ("fff", True, True),
        ("ffcf", True, False),
    ],
)  # fmt: skip
def test_most_of_the_first_trials_failing_ends_the_sweep(states, had_complete, gives_up):
    assert bool(why_to_give_up(ended(states), had_complete)) is gives_up


def test_giving_up_counts_the_classes():
    records = ended("fcf")
    other = make_failed(9).model_copy(update={"reason_class": "bug", "reason": "KeyError: 'x'"})
    assert why_to_give_up([*records, other], False) == (
        "3 of the first 4 trials failed (2 x not_finite, 1 x bug), the last one with KeyError: 'x'"
    )


def test_neither_ray_nor_torch_is_imported():
    assert not {"ray", "torch"} & modules_after("import mtray.search.ledger.trial_failures")


def test_a_long_reason_shows_that_it_was_cut():
    assert one_line(ValueError("short")) == "ValueError: short"
    cut = one_line(ValueError("long " * 200))
    assert len(cut) == 500 and cut.endswith("...")
