"""Tune's view of the ledger, asked and told as Tune does, without a cluster."""

import errno

import pytest
from ledger_factory import ledger_in, states_in, trials_in
from records_factory import make_failed, make_record

from mtray.errors import NodeLost
from mtray.report.records import read_record, write_json, write_record
from mtray.run_files import BASE_NUMBER, result_path, trial_dir
from mtray.schema import Budget
from mtray.search.ledger.stopwatch import FILE
from mtray.search.strategy.advice import Advisor, Proposal

searcher = pytest.importorskip("mtray.search.execution.searcher", reason="needs Ray")
nodes_module = pytest.importorskip("mtray.search.execution.nodes")
FINISHED = searcher.Searcher.FINISHED
abandoned = []  # trials for whose job nobody waits


@pytest.fixture
def cluster(monkeypatch):
    """The ids of the machines that are there; take one away to lose it."""
    nodes = {"head", "other"}
    monkeypatch.setattr(searcher, "SEEN", nodes_module.SeenNodes())
    monkeypatch.setattr("mtray.search.execution.nodes.alive_nodes", lambda: set(nodes))
    monkeypatch.setattr("mtray.search.execution.nodes.NODE_SECONDS", 0.0)
    abandoned.clear()
    return nodes


class Sweep:
    """A searcher on a ledger of its own, and what it said."""

    def __init__(self, run_dir, trials=3, **changes):
        self.run_dir, self.said, self.places = run_dir, [], 9
        self.moved = {}
        self.ledger = ledger_in(run_dir, **changes)
        self.limits = searcher.Limits(trials)
        events = searcher.Events(
            lambda job: self.said.append(("started", job.number)),
            lambda record: self.said.append((record.state, record.number)),
            abandoned.append,
            lambda number, reason: self.said.append(("lost", number)),
            lambda: self.said.append("halt"),
            lambda: self.places,
            lambda number: self.moved.pop(number, ""),
        )
        self.searcher = searcher.StudySearcher(self.ledger, self.limits, events, run_dir)
        self.asked = 0

    def ask(self):
        """(Tune's id, job), or what else the searcher answers."""
        self.asked += 1
        found = self.searcher.suggest(f"t{self.asked}")
        return (f"t{self.asked}", found["job"]) if isinstance(found, dict) else found

    def end(self, trial_id, record=None, error=False, **result):
        if record is not None:
            write_record(self.run_dir, record)
        self.searcher.on_trial_complete(trial_id, result=result or None, error=error)


def begun(tmp_path, trials=3, **changes):
    """A sweep whose base model has been measured."""
    write_record(tmp_path, make_record(BASE_NUMBER, 0.5, 1.0, "base"))
    return Sweep(tmp_path, trials, **changes)


def test_no_more_trials_run_than_there_are_places(tmp_path, cluster):
    """However many those are at the moment."""
    sweep = begun(tmp_path, trials=5)
    sweep.places = 1
    one, _ = sweep.ask()
    assert sweep.ask() is None
    sweep.places = 2
    assert sweep.ask()[1].number == 1 and sweep.ask() is None
    sweep.places = 1
    sweep.end(one, make_record(0, 0.5, 0.5))
    assert sweep.ask() is None


def test_the_base_model_is_dispatched_again_whatever_places_there_are(tmp_path, cluster):
    """Trials that run wait for its answers."""
    sweep = Sweep(tmp_path)
    sweep.places = 2
    (base, _), (_, other) = sweep.ask(), sweep.ask()
    assert other.number == 0
    sweep.places = 1
    sweep.end(base, error=True)
    assert sweep.ask()[1].number == BASE_NUMBER
    assert sweep.ask() is None


def test_the_end_waits_for_what_runs(tmp_path, cluster):
    sweep = begun(tmp_path, trials=2)
    (one, job), (other, _) = sweep.ask(), sweep.ask()
    assert sweep.ask() is None
    sweep.end(other, make_record(1, 0.5, 0.5))
    assert sweep.ask() is None, "trial 0 may be lost and handed out again"
    sweep.end(one, error=True)
    again, same = sweep.ask()
    assert (same.number, same.recipe) == (job.number, job.recipe)
    sweep.end(again, make_record(0, 0.5, 0.5))
    assert sweep.ask() == FINISHED
    assert abandoned == [0], "or its job would go on"
    assert ("lost", 0) in sweep.said and sweep.said.count(("complete", 0)) == 1


def test_trials_that_settle_the_answer_end_the_sweep_with_it(tmp_path, cluster):
    """Trial 0 is to be trained three times; two of four further trials are enough."""
    budget = Budget(trials=2, baselines="none", confirm=0, settle=0.95, ceiling=6)
    sweep = begun(tmp_path, 6, budget=budget)
    again = Proposal({}, 0, "again")

    def settle(records, pending):
        done = [r for r in records if 0 in (r.number, r.of) and r.state == "complete"]
        return again if len(done) + len(pending) < 3 else None

    sweep.ledger.ending.advice = Advisor(lambda records: None, settle)
    for number in range(2):
        trial_id, job = sweep.ask()
        sweep.end(trial_id, make_record(number, 0.5, 0.5, recipe=job.recipe))
    (one, first), (other, second) = sweep.ask(), sweep.ask()
    assert [(j.of, j.replicate) for j in (first, second)] == [(0, 1), (0, 2)]
    assert sweep.ask() is None, "settled, if both come through"
    sweep.end(one, make_record(2, 0.5, 0.5, replicate=1, of=0))
    assert sweep.ask() is None
    sweep.end(other, make_failed(3))
    last, third = sweep.ask()
    assert (third.of, third.replicate) == (0, 3)
    sweep.end(last, make_record(4, 0.5, 0.5, replicate=3, of=0))
    assert sweep.ask() == FINISHED and sweep.ledger.finished == 5


def test_a_trial_that_is_lost_again_and_again_fails_with_its_attempts(tmp_path, cluster):
    sweep = begun(tmp_path)
    for ran in (30.0, 45.0, 50.0):
        trial_id, job = sweep.ask()
        assert job.number == 0
        write_json(trial_dir(tmp_path, 0) / FILE, {"running": ran, "waiting": 8.0})
        cluster.discard("other")  # with the first attempt
        sweep.end(trial_id, error=True)
    record = read_record(result_path(tmp_path, 0))
    assert (record.state, record.reason_class) == ("failed", "worker_lost")
    assert [a["reason_class"] for a in record.extra["attempts"]] == ["node_lost", "worker_lost"]
    assert [a["seconds"] for a in record.extra["attempts"]] == [30.0, 15.0]
    assert record.seconds == {"total": 50.0, "waiting": 8.0}, "device-hours that were spent"
    assert not (trial_dir(tmp_path, 0) / FILE).exists()
    assert trials_in(tmp_path)[0].user_attrs["reason_class"] == "worker_lost"
    assert sweep.ask()[1].number == 1 and not sweep.limits.stopped


def test_a_trial_whose_process_leaves_its_machine_was_not_lost(tmp_path, cluster):
    sweep = begun(tmp_path)
    for _ in range(4):
        trial_id, job = sweep.ask()
        assert job.number == 0
        sweep.moved[0] = "its machine gpu-7 is being drained"
        sweep.end(trial_id, error=True)
    assert [a["reason_class"] for a in sweep.ask()[1].attempts] == ["moved"] * 4
    assert sweep.said.count(("lost", 0)) == 4


class SlowInquiry:
    """Into a loss whose cause is not known yet."""

    error = None

    def __init__(self, what, nodes):
        self.nodes = nodes

    def found(self):
        return self.error


def test_tune_goes_on_while_it_is_not_known_why_a_trial_was_lost(tmp_path, cluster, monkeypatch):
    """Ray needs a minute to notice a lost machine; both trials were on it, and both say so."""
    monkeypatch.setattr(searcher, "LossInquiry", SlowInquiry)
    sweep = begun(tmp_path, trials=3)
    sweep.places = 2
    (one, _), (other, _) = sweep.ask(), sweep.ask()
    sweep.end(one, error=True)
    sweep.end(other, error=True)
    assert sweep.ask()[1].number == 2 and not sweep.limits.stopped
    assert sweep.ask() is None, "all three are dispatched, two of them lost"
    monkeypatch.setattr(SlowInquiry, "error", NodeLost("a node was lost"))
    assert [sweep.ask()[1].number] == [0], "again, under its number"
    assert [n for what, n in sweep.said if what == "lost"] == [0, 1]
    attempts = [trials_in(tmp_path)[n].user_attrs["attempts"] for n in (0, 1)]
    assert [a["reason_class"] for (a,) in attempts] == ["node_lost"] * 2


def test_a_sweep_that_stops_gives_lost_trials_back(tmp_path, cluster, monkeypatch):
    monkeypatch.setattr(searcher, "LossInquiry", SlowInquiry)
    sweep = begun(tmp_path)
    trial_id, job = sweep.ask()
    sweep.end(trial_id, error=True)
    sweep.limits.stop("stopped by a signal")
    assert sweep.ask() == FINISHED and sweep.ledger.running == 0
    assert Sweep(tmp_path).ask()[1] == job


def test_a_failed_base_model_stops_the_trials_that_wait_for_it(tmp_path, cluster):
    sweep = Sweep(tmp_path)
    (base, _), _ = sweep.ask(), sweep.ask()
    sweep.end(base, make_failed(BASE_NUMBER))
    assert sweep.limits.fatal and "halt" in sweep.said


def test_a_base_model_that_is_lost_comes_again_and_then_ends_the_sweep(tmp_path, cluster):
    sweep = Sweep(tmp_path)
    for _ in range(3):
        trial_id, job = sweep.ask()
        assert job.number == BASE_NUMBER
        sweep.end(trial_id, error=True)
    assert sweep.limits.fatal and "base model could not be measured" in sweep.limits.reason
    assert len(read_record(result_path(tmp_path, BASE_NUMBER)).extra["attempts"]) == 2
    assert sweep.ask() == FINISHED


def test_a_record_counts_whatever_became_of_its_process(tmp_path, cluster):
    sweep = begun(tmp_path)
    trial_id, _ = sweep.ask()
    sweep.end(trial_id, make_record(0, 0.5, 0.5), error=True)
    assert sweep.said[-1] == ("complete", 0) and sweep.ledger.completed == 1


def test_what_dies_under_a_sweep_that_stops_is_given_back(tmp_path, cluster):
    sweep = begun(tmp_path)
    trial_id, job = sweep.ask()
    sweep.limits.stop("stopped by a signal")
    sweep.end(trial_id, error=True)
    assert sweep.ledger.running == 0 and sweep.ledger.finished == 0
    assert Sweep(tmp_path).ask()[1] == job, "and counts as no attempt"


def test_most_of_the_first_trials_failing_stops_the_sweep(tmp_path, cluster):
    sweep = begun(tmp_path, trials=9)
    for number in range(3):
        trial_id, job = sweep.ask()
        assert job.number == number
        sweep.end(trial_id, make_failed(number).model_copy(update={"reason_class": "not_finite"}))
    assert sweep.limits.fatal and "3 x not_finite" in sweep.limits.reason
    assert sweep.ask() == FINISHED


def full(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def stopped_by_full_disk(sweep):
    return sweep.limits.fatal and "no space left" in sweep.limits.reason and "halt" in sweep.said


def test_a_full_disk_stops_the_sweep_and_the_next_start_goes_on(tmp_path, cluster, monkeypatch):
    sweep = begun(tmp_path)
    trial_id, _ = sweep.ask()
    with monkeypatch.context() as patch:
        patch.setattr("optuna.storages.journal.JournalFileBackend.append_logs", full)
        sweep.end(trial_id, make_record(0, 0.5, 0.5))
    assert stopped_by_full_disk(sweep) and sweep.ask() == FINISHED
    again = Sweep(tmp_path)
    assert again.ledger.completed == 1 and again.ask()[1].number == 1
    assert "RUNNING" not in {s.name for s in states_in(tmp_path)[:1]}


def test_a_trial_that_found_the_disk_full_runs_again(tmp_path, cluster):
    sweep = begun(tmp_path)
    trial_id, job = sweep.ask()
    sweep.end(trial_id, state="disk_full")
    assert stopped_by_full_disk(sweep)
    assert Sweep(tmp_path).ask()[1] == job


def test_a_full_disk_while_a_trial_is_handed_out(tmp_path, cluster, monkeypatch):
    sweep = begun(tmp_path)
    monkeypatch.setattr("optuna.storages.journal.JournalFileBackend.append_logs", full)
    assert sweep.ask() == FINISHED and stopped_by_full_disk(sweep)


def test_other_errors_of_the_disk_are_no_full_disk(tmp_path, cluster, monkeypatch):
    sweep = begun(tmp_path)

    def broken(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("optuna.storages.journal.JournalFileBackend.append_logs", broken)
    with pytest.raises(OSError, match="Input/output"):
        sweep.ask()
