"""What comes back out of Ray Train, without a cluster."""

from types import SimpleNamespace

import pytest
from records_factory import make_record, make_study

from mtray.errors import NodeLost, TimeLimitReached, TrainError, WorkerLost
from mtray.evaluation.engine import Output, Request
from mtray.evaluation.outputs import write_outputs
from mtray.job import Job
from mtray.report.records import trial_dir, write_record
from mtray.schema import Budget, Recipe, Training
from mtray.search.stopwatch import Duration, Stopwatch

bridge = pytest.importorskip("mtray.search.bridge", reason="needs Ray")


@pytest.fixture
def nodes(monkeypatch):
    found = {"head", "other"}
    monkeypatch.setattr(bridge, "alive_nodes", lambda: set(found))
    monkeypatch.setattr(bridge, "NODE_SECONDS", 0.0)
    return found


def group_error(**failures):
    by_rank = {int(rank[1:]): error for rank, error in failures.items()}
    return bridge.ray.train.WorkerGroupError("text", by_rank)


def dead():
    from ray.exceptions import ActorDiedError
    from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError

    return WorkerHealthCheckFailedError("poll failed", ActorDiedError())


def user_error(error):
    from ray.train.v2._internal.exceptions import UserExceptionWithTraceback

    return UserExceptionWithTraceback(error, "Traceback ...")


def test_what_a_worker_raised_comes_out_of_its_wrappers(nodes):
    error = KeyError("x")
    assert bridge.root_cause(group_error(r0=user_error(error)), set(nodes)) is error
    collateral = user_error(RuntimeError("Connection closed by peer"))
    assert bridge.root_cause(group_error(r0=collateral, r1=user_error(error)), nodes) is error


def test_a_worker_that_is_gone_is_lost_and_maybe_its_node(nodes):
    before = set(nodes)
    found = bridge.root_cause(group_error(r0=dead()), before)
    assert isinstance(found, WorkerLost) and not isinstance(found, NodeLost)
    nodes.discard("other")
    assert isinstance(bridge.root_cause(group_error(r0=dead()), before), NodeLost)


def test_workers_that_found_no_room_are_pending(nodes):
    from ray.train.v2._internal.exceptions import WorkerGroupStartupTimeoutError

    error = bridge.ray.train.ControllerError(WorkerGroupStartupTimeoutError(1))
    assert isinstance(bridge.root_cause(error, nodes), bridge.WorkersPending)
    other = bridge.root_cause(bridge.ray.train.ControllerError(ValueError("x")), nodes)
    assert isinstance(other, TrainError) and "x" in str(other)


def test_a_full_disk_is_still_one_when_the_controller_met_it(nodes):
    from mtray.search.failures import is_disk_full

    full = bridge.ray.train.ControllerError(OSError(28, "No space left on device"))
    try:
        raise bridge.root_cause(full, nodes) from full
    except TrainError as error:
        assert is_disk_full(error)


@pytest.mark.parametrize("spent, left", [(0.0, 30.0), (12.0, 18.0), (29.0, 1.0)])
def test_a_trials_time_is_over_once_and_for_all(monkeypatch, spent, left):
    class Clock:
        now = 100.0

    monkeypatch.setattr(bridge.time, "monotonic", lambda: Clock.now)
    asked = []
    clock = bridge.TrialClock(0.5, lambda: asked.append(1) or False, spent)
    assert not clock() and not clock.over and asked
    Clock.now += left - 0.5
    assert not clock(), "of the trial's half minute earlier attempts spent a part"
    Clock.now += 1
    assert clock() and clock.over and clock()
    unlimited = bridge.TrialClock(None, lambda: True)
    Clock.now += 1e9
    assert unlimited() and not unlimited.over, "it was the sweep that is being stopped"


@pytest.mark.parametrize("room", [True, False])
def test_what_a_group_waits_for_its_place_is_waiting(monkeypatch, tmp_path, room):
    """By Ray's own class, but for the placement group."""
    now, asked = [0.0], []

    class Place:
        def wait(self, seconds):
            asked.append(seconds)
            now[0] += 42
            return room

    def place(bundles, strategy, name):
        asked.extend([bundles, strategy, name])
        return Place()

    monkeypatch.setattr(bridge, "placement_group", place)
    stopwatch = Stopwatch(tmp_path, lambda: now[0])
    run = SimpleNamespace(run_config=SimpleNamespace(name="trial_0003"))
    wanted = SimpleNamespace(
        resources_per_worker={"CPU": 2}, num_workers=2, placement_strategy="PACK"
    )
    group = bridge.worker_groups(stopwatch.waiting)
    handle = group._create_placement_group(SimpleNamespace(_train_run_context=run), None, wanted)
    now[0] += 1
    assert handle.wait(60) is room
    assert asked == [[{"CPU": 2}] * 2, "PACK", "trial_0003", 60]
    assert stopwatch.duration == Duration(running=1, waiting=42)


def test_no_worker_starts_for_a_trial_whose_minutes_are_spent(monkeypatch, tmp_path):
    monkeypatch.setattr(bridge, "LeanTrainer", lambda *_, **__: pytest.fail("it starts"))
    now = [0.0]
    stopwatch = Stopwatch(tmp_path, lambda: now[0])
    now[0] = 60.0
    shared = SimpleNamespace(study=make_study(budget=Budget(trial_minutes=1)))
    with pytest.raises(TimeLimitReached):
        bridge.train_in_workers(Job(3, "search", Recipe(parallel_size=1), 1), shared, stopwatch)


def test_kept_weights_have_the_name_of_their_share(tmp_path, monkeypatch):
    """Of the first worker alone, where the study keeps any, and of what was trained."""
    saved = []
    monkeypatch.setattr(bridge, "save_moved", lambda module, path: saved.append((module, path)))
    study = make_study(training=Training(keep_weights="front"))
    shared = SimpleNamespace(study=study, run_dir=str(tmp_path))
    job = Job(7, "search", Recipe(parallel_size=9), 1)
    keep = bridge._keeper(job, shared, 0)
    for share in (0.25, 1.0):
        keep(share, f"after {share}")
    folder = tmp_path / "trials" / "0007"
    assert saved == [
        ("after 0.25", folder / "weights-0.25.safetensors"),
        ("after 1.0", folder / "weights.safetensors"),
    ]
    assert bridge._keeper(job, shared, 1) is None
    assert bridge._keeper(Job(-1, "base", Recipe(parallel_size=0), 1), shared, 0) is None
    none = SimpleNamespace(study=make_study(), run_dir=str(tmp_path))
    assert bridge._keeper(job, none, 0) is None


def test_the_first_worker_of_a_training_compares_it_with_the_base_model(tmp_path, monkeypatch):
    """With the base model's answers as soon as its trial is complete."""
    monkeypatch.setattr("ray.get", lambda ref: ref)
    requests = [Request("Hi.", None), Request("No.", None)]
    directions = [SimpleNamespace(requests=requests)]
    suite = SimpleNamespace(directions=directions, requests=requests, parts=["q", "q"])
    shared = SimpleNamespace(study=make_study(), suite=suite, run_dir=str(tmp_path))
    trained, base = (Job(n, "search", Recipe(parallel_size=n), 1) for n in (5, 0))
    assert bridge._divergence_plan(trained, shared, 1) is None
    assert bridge._divergence_plan(base, shared, 0) is None
    plan = bridge._divergence_plan(trained, shared, 0)
    assert plan.requests == requests and plan.answers() is None
    outputs = [Output("Привіт.", -1.0, 2), Output("Ні.", -1.0, 1)]
    write_record(tmp_path, make_record(-1, role="base"))
    write_outputs(trial_dir(tmp_path, -1) / "outputs.parquet", ["q", "q"], requests, outputs)
    assert plan.answers() == outputs
    write_record(tmp_path, make_record(-1, role="base", state="failed"))
    assert plan.answers() is None
