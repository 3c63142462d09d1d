"""How a trial's process ends: with a record, or so that the trial runs again."""

import contextlib
import errno
from types import SimpleNamespace

import pytest
from records_factory import make_record, make_rung, make_study

from mtray.errors import DataError, LossNotFinite, TrialStopped, WorkerLost
from mtray.report.records import read_record, result_path
from mtray.schema import Mix, Recipe
from mtray.trial import Job, Outcome

trainable = pytest.importorskip("mtray.search.trainable", reason="needs Ray")
JOB = Job(4, "search", Recipe(parallel_size=100), 1, attempts=({"reason_class": "node_lost"},))


class Referee(contextlib.nullcontext):
    curve = ()

    def finish(self):
        pass


@pytest.fixture
def trial(tmp_path, monkeypatch):
    """Run a trial whose training and scoring end as given; `stops`: the sweep is being stopped."""
    remove = SimpleNamespace(remote=lambda number: None)
    shared = SimpleNamespace(
        run_dir=str(tmp_path), study=make_study(), board=SimpleNamespace(remove=remove)
    )

    def go(training=None, scoring=None, stops=False):
        def train(job, shared, reporter, attempts):
            if training is not None:
                raise training
            return Outcome([], None, None, {}, {})

        def score(job, *_):
            if scoring is not None:
                raise scoring
            return make_record(job.number, 0.5, 0.5)

        line = SimpleNamespace(progress=lambda fields: None, stopping=lambda: stops)
        monkeypatch.setattr(trainable, "Reporter", lambda board, number: line)
        monkeypatch.setattr(trainable, "_referee", lambda job, shared: Referee())
        monkeypatch.setattr(trainable, "train_with_attempts", train)
        monkeypatch.setattr(trainable, "_score", score)
        return trainable.execute(JOB, shared)

    go.path = result_path(tmp_path, JOB.number)
    return go


def test_a_record_remembers_earlier_attempts(trial):
    assert trial().state == "complete"
    assert read_record(trial.path).extra["attempts"] == [{"reason_class": "node_lost"}]


@pytest.mark.parametrize(
    "ends, state, reason_class",
    [
        ({"training": LossNotFinite("nan")}, "failed", "not_finite"),
        ({"training": DataError("holds 3")}, "infeasible", "data_error"),
        ({"training": WorkerLost("killed")}, "failed", "worker_lost"),
        ({"training": KeyError("x")}, "failed", "bug"),
        ({"scoring": KeyError("x")}, "failed", "evaluation_error"),
        ({"scoring": DataError("outputs")}, "failed", "data_error"),
    ],
)
def test_a_failure_is_a_row_with_its_class(trial, ends, state, reason_class):
    trial(**ends)
    record = read_record(trial.path)
    assert (record.state, record.reason_class) == (state, reason_class)
    assert "Traceback" in record.extra["traceback"] and len(record.extra["attempts"]) == 1


def test_a_pruned_replicate_says_what_it_repeats():
    job = Job(9, "search", Recipe(parallel_size=100), 2, replicate=1, of=4)
    outcome = Outcome([], Mix(), None, {}, {}, pruned=True)
    record = trainable.pruned_record(job, outcome, [make_rung(0.4, 0.5, decision="too bad")])
    assert (record.state, record.reason) == ("pruned", "too bad")
    assert (record.seed, record.replicate, record.of) == (2, 1, 4)


@pytest.mark.parametrize("ends", [{"training": TrialStopped()}, {"scoring": TrialStopped()}])
def test_a_stopped_trial_leaves_nothing_and_runs_again(trial, ends):
    assert trial(**ends) is None and not trial.path.exists()


def test_workers_that_die_under_a_sweep_that_stops_leave_nothing(trial):
    assert trial(training=WorkerLost("killed"), stops=True) is None and not trial.path.exists()
    assert trial(training=LossNotFinite("nan"), stops=True).state == "failed"


@pytest.mark.parametrize("phase", ["training", "scoring"])
def test_a_full_disk_leaves_no_record(trial, phase):
    with pytest.raises(OSError, match="full"):
        trial(**{phase: OSError(errno.ENOSPC, "full")})
    assert not trial.path.exists()
