"""Which attempts a trial gets, with a list of ends in the place of Ray Train."""

from types import SimpleNamespace

import pytest
from records_factory import make_study

from mtray.errors import LossNotFinite, NodeLost, ProcessMoved, TrialMoved, TrialStopped, WorkerLost
from mtray.schema import Recipe
from mtray.search.execution.worker_logs import output_into
from mtray.search.ledger.stopwatch import Stopwatch
from mtray.trial.job import Job

attempts_of = pytest.importorskip("mtray.search.execution.retries", reason="needs Ray")
JOB = Job(3, "search", Recipe(parallel_size=100), 1)


class Line:
    """A reporter; `stops` says what the progress actor answers."""

    def __init__(self, stops=False):
        self.stops, self.told = stops, []

    def progress(self, fields):
        self.told.append(fields)

    def stopping(self):
        return self.stops


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Run attempts that end as listed; gives (outcome or error, shares of a batch, attempts)."""

    def go(*ends, line=None, before=(), attempts=None, seconds=0.0):
        attempts = list(before) if attempts is None else attempts
        left, shares = list(ends), []
        now = [0.0]
        stopwatch = Stopwatch(tmp_path, lambda: now[0])

        def train(job, shared, stopwatch, reporter, batch_share):
            shares.append(batch_share)
            with stopwatch.waiting():
                now[0] += 1000
            now[0] += seconds
            end = left.pop(0)
            if isinstance(end, Exception):
                raise end
            return end

        monkeypatch.setattr(attempts_of, "run_in_executor", train)
        shared = SimpleNamespace(run_dir=str(tmp_path), study=make_study())
        try:
            found = attempts_of.train_with_retries(JOB, shared, line or Line(), attempts, stopwatch)
        except Exception as error:
            found = error
        return found, shares, [a["reason_class"] for a in attempts]

    return go


def test_memory_gets_one_more_attempt_with_half_a_batch(run):
    assert run(MemoryError(), "done") == ("done", [1.0, 0.5], ["out_of_memory"])
    second = MemoryError()
    assert run(MemoryError(), second) == (second, [1.0, 0.5], ["out_of_memory"])


def test_the_smaller_batch_stays_after_a_worker_was_lost(run):
    found, shares, tried = run(MemoryError(), WorkerLost(), NodeLost(), "done")
    assert (found, shares) == ("done", [1.0, 0.5, 0.5, 0.5])
    assert tried == ["out_of_memory", "worker_lost", "node_lost"]


def test_lost_processes_count_with_those_of_earlier_attempts(run):
    last = WorkerLost()
    before = [{"reason_class": "node_lost"}]
    found, shares, _ = run(WorkerLost(), last, before=before)
    assert found is last and len(shares) == 2


def test_what_would_fail_again_is_not_tried_again(run):
    for error in (LossNotFinite(), KeyError()):
        assert run(error) == (error, [1.0], [])


def test_workers_that_die_under_a_sweep_that_stops_are_no_attempt(run):
    found, _, tried = run(WorkerLost(), line=Line(stops=True))
    assert isinstance(found, TrialStopped) and tried == []


def test_the_board_hears_of_a_new_start(run):
    line = Line()
    run(WorkerLost("killed"), "done", line=line)
    then = "WorkerLost: killed; again from the first step"
    assert line.told == [{"state": "starting", "retry": then}]


def test_an_attempt_says_where_it_ran(run, tmp_path):
    """By what its worker wrote as it began."""
    folder = tmp_path / "trials/0003"
    with output_into(folder, "3", 0, 1, "10.0.0.2"):
        pass
    line, tried = Line(), []
    assert run(WorkerLost("killed"), "done", line=line, attempts=tried)[0] == "done"
    assert "(10.0.0.2), process" in tried[0]["where"]
    assert tried[0]["where"] in line.told[0]["retry"]


def test_an_attempt_says_where_the_next_one_begins(run, tmp_path):
    tried = []
    run(WorkerLost(), "done", attempts=tried)
    (tmp_path / "trials/0003/checkpoint-00000040").mkdir(parents=True)
    (tmp_path / "trials/0003/checkpoint-00000040/state.json").write_text('{"step": 40}')
    run(NodeLost(), "done", attempts=tried)
    assert [a["then"] for a in tried] == [
        "again from the first step",
        "again from its checkpoint after step 40",
    ]


def test_an_attempt_says_how_long_it_ran(run):
    tried = []
    run(MemoryError(), WorkerLost(), "done", attempts=tried, seconds=7)
    assert [a["seconds"] for a in tried] == [7, 7], "without what it waited for a place"


def test_a_trial_moves_as_often_as_its_machines_are_taken_away(run):
    line = Line()
    moves = [TrialMoved(f"its machine {name} is being drained") for name in "abcd"]
    found, shares, tried = run(*moves, WorkerLost(), WorkerLost(), "done", line=line)
    assert found == "done" and shares == [1.0] * 7
    assert tried == ["moved"] * 4 + ["worker_lost"] * 2, "moves are no losses"
    assert line.told[0]["moved"] == "its machine a is being drained; again from the first step"


@pytest.mark.parametrize("stops, error", [(False, ProcessMoved), (True, TrialStopped)])
def test_who_leaves_with_its_process_or_while_the_sweep_stops_does_not_go_on_here(
    run, stops, error
):
    end = TrialMoved("x") if stops else ProcessMoved("x")
    found, shares, tried = run(end, line=Line(stops))
    assert isinstance(found, error) and len(shares) == 1 and not tried
