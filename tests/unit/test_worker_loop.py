"""What an executor's workers do with a job, without a cluster."""

import pickle
from types import SimpleNamespace

import pytest
from records_factory import make_record, make_study

from mtray.errors import ConfigError, DataError, LossNotFinite, TimeLimitReached, TrialStopped
from mtray.evaluation.inference.requests import Output, Request
from mtray.evaluation.output_files import write_outputs
from mtray.report.records import write_record
from mtray.run_files import trial_dir
from mtray.schema import Budget, Mix, Recipe, Training
from mtray.search.execution.job_messages import Assignment, Work
from mtray.training.worker import ProcessGroup
from mtray.trial.job import Job, Outcome

worker_loop = pytest.importorskip("mtray.search.execution.worker_loop", reason="needs Ray")
JOB = Job(7, "search", Recipe(parallel_size=9), 1)


@pytest.mark.parametrize("spent, left", [(0.0, 30.0), (12.0, 18.0), (29.0, 1.0)])
def test_a_trials_time_is_over_once_and_for_all(monkeypatch, spent, left):
    class Clock:
        now = 100.0

    monkeypatch.setattr(worker_loop.time, "monotonic", lambda: Clock.now)
    asked = []
    clock = worker_loop.TrialClock(0.5, lambda: asked.append(1) or False, spent)
    assert not clock() and not clock.over and asked
    Clock.now += left - 0.5
    assert not clock(), "of the trial's half minute earlier attempts spent a part"
    Clock.now += 1
    assert clock() and clock.over and clock()
    unlimited = worker_loop.TrialClock(None, lambda: True)
    Clock.now += 1e9
    assert unlimited() and not unlimited.over, "it was the sweep that is being stopped"


def test_the_time_of_a_trial_is_over_on_all_its_workers(monkeypatch, tmp_path):
    """One that was not over time itself stops with the one that was."""

    def stop(*_):
        raise TrialStopped

    monkeypatch.setattr(worker_loop, "run_trial", stop)
    monkeypatch.setattr(worker_loop, "divergence_plan", lambda *_: None)
    study = make_study(budget=Budget(trial_minutes=1))
    group = ProcessGroup(1, 2, agree=lambda flag: True)
    with pytest.raises(TimeLimitReached):
        workplace(monkeypatch, tmp_path, group, study=study).run(Assignment(1, Work(JOB)))


def workplace(monkeypatch, run_dir, place=ProcessGroup(), suite=None, study=None):
    """A worker's, with what is put into Ray's store in its own place."""
    monkeypatch.setattr("ray.get", lambda ref: ref)
    monkeypatch.setattr(worker_loop, "_read_what_trials_need", lambda *_: None)
    monkeypatch.setattr(worker_loop, "workers_here", lambda _: 1)
    monkeypatch.setattr(worker_loop, "this_node", lambda: "a")
    shared = SimpleNamespace(
        study=study or make_study(), run_dir=str(run_dir), store={}, requests=[], suite=suite,
        progress_actor=None,
    )  # fmt: skip
    return worker_loop._Workplace(shared, place)


@pytest.mark.parametrize(
    "ends, world, spent, expected",
    [
        (Outcome([], Mix(), None, {}, {}), 1, 0, "outcome"),
        (TrialStopped(), 1, 0, "stopped"),
        (TrialStopped(), 2, 0, "stopped"),
        (TrialStopped(), 1, 0, "moved"),
        (TrialStopped(), 2, 0, "moved"),
        (TrialStopped(), 1, 61, TimeLimitReached),
        (TrialStopped(), 2, 61, TimeLimitReached),
        (DataError("holds 3"), 1, 0, DataError),
        (ConfigError("no rate"), 1, 0, ConfigError),
        (DataError("holds 3"), 2, 0, "raises"),
        (LossNotFinite("nan"), 1, 0, "raises"),
    ],
)
def test_how_a_job_ends(monkeypatch, tmp_path, ends, world, spent, expected):
    """An error ends the executor, but for a recipe that is refused where nobody else could wait."""

    def run(job, study, store, requests, how, worker):
        assert job == JOB and worker.models.keep and worker.batch_share == 0.5
        worker.should_stop()
        if isinstance(ends, Exception):
            raise ends
        return ends

    monkeypatch.setattr(worker_loop, "run_trial", run)
    monkeypatch.setattr(worker_loop, "divergence_plan", lambda *_: None)
    line = SimpleNamespace(
        progress=None,
        should_stop=lambda: isinstance(ends, TrialStopped),
        drained=lambda node: expected == "moved",
    )
    monkeypatch.setattr(worker_loop, "Reporter", lambda *_, ticket, node: line)
    study = make_study(budget=Budget(trial_minutes=1))
    place = workplace(monkeypatch, tmp_path, ProcessGroup(world=world), study=study)
    assignment = Assignment(1, Work(JOB, 0.5, spent))
    if expected in ("raises", TimeLimitReached):
        with pytest.raises(TimeLimitReached if expected != "raises" else type(ends)):
            place.run(assignment)
        return
    done = pickle.loads(pickle.dumps(place.run(assignment)))
    assert ("is being drained" in done.moved) is (expected == "moved")
    if expected in ("outcome", "stopped", "moved"):
        assert done.outcome == (ends if expected == "outcome" else None) and not done.failure
    else:
        assert type(done.failure.error) is expected and str(ends) in done.failure.traceback


def test_kept_weights_have_the_name_of_their_share(tmp_path, monkeypatch):
    """Of the first worker alone, where the study keeps any, and of what was trained."""
    saved = []
    monkeypatch.setattr(
        worker_loop, "save_trainable", lambda module, path: saved.append((module, path))
    )
    study = make_study(training=Training(keep_weights="front"))
    folder = tmp_path / "trials" / "0007"
    keep = worker_loop._keeper(JOB, study, folder, 0)
    for share in (0.25, 1.0):
        keep(share, f"after {share}")
    assert saved == [
        ("after 0.25", folder / "weights-0.25.safetensors"),
        ("after 1.0", folder / "weights.safetensors"),
    ]
    assert worker_loop._keeper(JOB, study, folder, 1) is None
    base = Job(-1, "base", Recipe(parallel_size=0), 1)
    assert worker_loop._keeper(base, study, folder, 0) is None
    assert worker_loop._keeper(JOB, make_study(), folder, 0) is None


def test_the_first_worker_of_a_training_compares_it_with_the_base_model(tmp_path, monkeypatch):
    """With the base model's answers as soon as its trial is complete."""
    requests = [Request("Hi.", None), Request("No.", None)]
    directions = [SimpleNamespace(requests=requests)]
    suite = SimpleNamespace(directions=directions, requests=requests, parts=["q", "q"])
    first, second = (workplace(monkeypatch, tmp_path, ProcessGroup(r, 2), suite) for r in (0, 1))
    trained, base = (Job(n, "search", Recipe(parallel_size=n), 1) for n in (5, 0))
    assert second._divergence_plan(trained) is None
    assert first._divergence_plan(base) is None
    plan = first._divergence_plan(trained)
    assert plan.requests == requests and plan.answers() is None
    outputs = [Output("Привіт.", -1.0, 2), Output("Ні.", -1.0, 1)]
    write_record(tmp_path, make_record(-1, role="base"))
    write_outputs(trial_dir(tmp_path, -1) / "outputs.parquet", ["q", "q"], requests, outputs)
    assert plan.answers() == outputs
    write_record(tmp_path, make_record(-1, role="base", state="failed"))
    assert plan.answers() is None


@pytest.mark.parametrize("there", [True, False])
def test_reports_of_training_hold_the_memory_of_a_gpu(monkeypatch, there):
    monkeypatch.setattr("torch.cuda.is_available", lambda: there)
    monkeypatch.setattr("torch.cuda.max_memory_allocated", lambda: 5)
    told = []
    report = worker_loop.with_gpu_memory(told.append)
    report({"loss": 1.0})
    report({"state": "loading"})
    more = {"gpu_memory_bytes": 5} if there else {}
    assert told == [{"loss": 1.0, **more}, {"state": "loading"}]
