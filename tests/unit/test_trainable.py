"""How a trial's process ends: with a record, or so that the trial runs again."""

import contextlib
import errno
from dataclasses import replace
from types import SimpleNamespace

import pytest
from records_factory import make_record, make_rung, make_score, make_study

from mtray.errors import DataError, LossNotFinite, TrialStopped, ValueNotFinite, WorkerLost
from mtray.evaluation.inference.requests import Output, Request
from mtray.evaluation.output_files import read_outputs
from mtray.report import records
from mtray.report.records import read_record, read_records
from mtray.run_files import result_path
from mtray.schema import Mix, Recipe, SourceShare, TrainingRecord
from mtray.search.execution.worker_logs import output_into
from mtray.search.ledger.stopwatch import Stopwatch
from mtray.search.ledger.trial_owner import Owner
from mtray.trial.job import IntermediatePoint, Job, Outcome, ReversionPoint

trainable = pytest.importorskip("mtray.search.execution.trainable", reason="needs Ray")
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
        run_dir=str(tmp_path), study=make_study(), progress_actor=SimpleNamespace(remove=remove)
    )

    def go(training=None, scoring=None, stops=False, takes=lambda attempts, stopwatch: 0.0):
        def train(job, shared, reporter, attempts, stopwatch):
            restored = takes(attempts, stopwatch)
            if training is not None:
                raise training
            return Outcome([], None, None, {}, {}, restored=restored)

        def score(job, *_):
            if scoring is not None:
                raise scoring
            seconds = {"training": 30.0, "scoring": 2.0}
            return make_record(job.number, 0.5, 0.5, seconds=seconds), []

        line = SimpleNamespace(
            progress=lambda fields: None, stopping=lambda: stops, ended_at=lambda: None
        )
        monkeypatch.setattr(trainable, "Reporter", lambda progress_actor, number: line)
        monkeypatch.setattr(trainable, "_rung_evaluator", lambda job, shared: Referee())
        monkeypatch.setattr(trainable, "train_with_retries", train)
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


@pytest.mark.parametrize("interrupted", [False, True])
@pytest.mark.parametrize(
    "fails, restored, lost",
    [(0.0, 0.0, 0.0), (50.0, 0.0, 50.0), (50.0, 20.0, 30.0), (50.0, 50.0, 0.0)],
)
@pytest.mark.parametrize("ends", [{}, {"training": KeyError("x")}])
def test_a_record_counts_all_attempts_and_no_waiting(
    trial, monkeypatch, interrupted, fails, restored, lost, ends
):
    """Waits 900 s for a place. An attempt fails after so long, or the sweep is stopped then and
    started again. 40 s to the end; the phases are 32 s, of which a checkpoint brought some."""
    now = [0.0]
    monkeypatch.setattr(trainable, "Stopwatch", lambda folder: Stopwatch(folder, lambda: now[0]))

    def stopped(attempts, stopwatch):
        now[0] += fails
        raise TrialStopped

    def takes(attempts, stopwatch):
        with stopwatch.waiting():
            now[0] += 900
        if fails and not interrupted:
            now[0] += fails
            attempts.append({"seconds": stopwatch.end_attempt()})
        now[0] += 40
        return restored

    if interrupted:
        assert trial(takes=stopped) is None
    trial(takes=takes, **ends)
    record = read_record(trial.path)
    assert (record.seconds["waiting"], record.total_seconds) == (900, fails + 40)
    if not ends:
        assert record.seconds.get("lost", 0.0) == lost
        assert record.undisturbed_seconds == fails + 40 - lost
    assert [p.name for p in trial.path.parent.iterdir()] == ["result.json"]


def test_a_pruned_replicate_says_what_it_repeats():
    job = Job(9, "search", Recipe(parallel_size=100), 2, replicate=1, of=4)
    outcome = Outcome([], Mix(), None, {}, {}, pruned=True)
    record = trainable.pruned_record(job, outcome, [make_rung(0.4, 0.5, decision="too bad")])
    assert (record.state, record.reason) == ("pruned", "too bad")
    assert (record.seed, record.replicate, record.of) == (2, 1, 4)


@pytest.mark.parametrize("ends", [{"training": TrialStopped()}, {"scoring": TrialStopped()}])
def test_a_stopped_trial_leaves_nothing_and_runs_again(trial, ends):
    assert trial(**ends) is None and not trial.path.exists()


@pytest.mark.parametrize("fails", [True, False])
def test_what_workers_printed_stays_if_the_trial_fails(trial, fails):
    def takes(attempts, stopwatch):
        with output_into(trial.path.parent, "4", 0, 1, "10.0.0.2"):
            return 0.0

    record = trial(takes=takes, **({"training": KeyError("x")} if fails else {}))
    assert (trial.path.parent / "worker-0.log").exists() is fails
    assert [w["rank"] for w in record.extra.get("workers", ())] == [0] * fails
    assert read_record(trial.path).extra == record.extra


def test_a_process_that_was_cut_off_writes_no_record(trial):
    """The trial was begun again on another machine, which is its owner now."""

    def cut_off(attempts, stopwatch):
        Owner(trial.path.parent, "trial").take()
        return 0.0

    assert trial(takes=cut_off) is None and not trial.path.exists()


def test_workers_that_die_under_a_sweep_that_stops_leave_nothing(trial):
    assert trial(training=WorkerLost("killed"), stops=True) is None and not trial.path.exists()
    assert trial(training=LossNotFinite("nan"), stops=True).state == "failed"


@pytest.mark.parametrize("phase", ["training", "scoring"])
def test_a_full_disk_leaves_no_record(trial, phase):
    with pytest.raises(OSError, match="full"):
        trial(**{phase: OSError(errno.ENOSPC, "full")})
    assert not trial.path.exists()


class Scored:
    """An output's text is quality and retention."""

    parts, requests = ("x",), (Request("q", None),)

    def score(self, outputs, base, resamples, seed):
        text = outputs[0].text
        if text == "nan":
            raise ValueNotFinite("NaN")
        objectives = {name: make_score(float(text)) for name in ("quality", "retention")}
        return SimpleNamespace(scores={}, objectives=objectives, counts={}, draws={}, left_out={})

    def sample(self, outputs, count):
        return []


@pytest.fixture
def at_alphas(tmp_path, monkeypatch):
    """Run a trial whose model is also evaluated at three alphas, of which one cannot be scored."""
    monkeypatch.setattr("ray.get", lambda ref: ref)
    monkeypatch.setattr(trainable, "base_outputs", lambda *_: None)
    study = make_study()
    points = {"reversion": (0.25, 0.5, 0.75), "intermediate_checkpoints": (0.5, 0.25)}
    evaluation = study.evaluation.model_copy(update=points)
    study = study.model_copy(update={"evaluation": evaluation})
    progress_actor = SimpleNamespace(remove=SimpleNamespace(remote=lambda number: None))
    shared = SimpleNamespace(
        run_dir=str(tmp_path),
        study=study,
        suite=Scored(),
        similar=None,
        progress_actor=progress_actor,
    )
    line = SimpleNamespace(
        progress=lambda fields: None, stopping=lambda: False, ended_at=lambda: None
    )
    seconds = {"load": 1.0, "training": 10.0, "generation": 3.0, "reversion": 7.0,
               "intermediate": 2.5}  # fmt: skip
    found = tuple(
        ReversionPoint(alpha, [Output(text, None, 1)], spent, forward_kl=alpha**2)
        for alpha, text, spent in ((0.25, "0.4", 2.0), (0.5, "nan", 2.5), (0.75, "0.5", 2.5))
    )
    training = TrainingRecord(
        steps=3, tokens=600, tokens_per_second=9.0, trainable_parameters=2, total_parameters=4,
        accumulated_learning_rate=0.02, precision="fp32", loss=(), mean_difference=2.0,
        forward_kl=1.25,
    )  # fmt: skip
    outcome = Outcome([Output("0.6", None, 1)], Mix(), training, seconds, {}, reverted=found)
    monkeypatch.setattr(trainable, "Reporter", lambda progress_actor, number: line)
    monkeypatch.setattr(trainable, "_rung_evaluator", lambda job, shared: Referee())
    job = Job(7, "parallel_only", Recipe(parallel_size=100), 2, replicate=1, of=4)

    def go(**changes):
        changed = replace(outcome, **changes)
        monkeypatch.setattr(trainable, "train_with_retries", lambda *_: changed)
        return trainable.execute(job, shared)

    return go


def test_a_trial_that_was_begun_again_elsewhere_writes_nothing(at_alphas, tmp_path, monkeypatch):
    """Its machine was cut off while it trained, or between two files."""
    folder = tmp_path / "trials/0007"
    write_outputs = trainable.write_outputs

    def taken_over(*arguments):
        write_outputs(*arguments)
        Owner(folder, "trial").take()

    monkeypatch.setattr(trainable, "write_outputs", taken_over)
    assert at_alphas() is None
    assert {p.name for p in folder.iterdir()} >= {"outputs.parquet", ".owner-trial"}
    assert not {p.name for p in folder.iterdir()} & {"draws.parquet", "result.json"}
    (folder / "outputs.parquet").unlink()
    monkeypatch.setattr(trainable, "write_outputs", write_outputs)
    monkeypatch.setattr(trainable, "_with_des", lambda outcome, _: taken_while_training(outcome))

    def taken_while_training(outcome):
        Owner(folder, "trial").take()
        return outcome

    assert at_alphas() is None
    assert not {p.name for p in folder.iterdir()} & {"outputs.parquet", "result.json"}


FAMILY = [7, 1_000_007, 2_000_007, 3_000_007]


def test_a_trial_is_written_before_what_it_is_at_other_alphas(at_alphas, tmp_path, monkeypatch):
    written = []

    def write(path, value):
        written.extend([value["number"]] if path.name == "result.json" else [])
        return write_json(path, value)

    write_json = records.write_json
    monkeypatch.setattr(records, "write_json", write)
    at_alphas()
    assert written == FAMILY
    assert {p.name for p in (tmp_path / "trials/0007").iterdir()} == {
        "result.json", "draws.parquet", "outputs.parquet",
    }  # fmt: skip


def test_every_alpha_is_a_row_of_its_own(at_alphas, tmp_path):
    whole, recipe = at_alphas(), Recipe(parallel_size=100)
    assert whole.objectives["quality"].value == 0.6
    assert (whole.recipe.reversion_alpha, whole.trained_as) == (1, None)
    rows = {r.number: r for r in read_records(tmp_path).sound()}
    assert list(rows) == FAMILY
    first, second, third = (rows[number] for number in FAMILY[1:])
    assert first.recipe == recipe.model_copy(update={"reversion_alpha": 0.25})
    assert (first.role, first.seed, first.trained_as) == ("search", 2, 7)
    assert (first.replicate, first.of) == (1, 1_000_004), "a replicate of the original's alpha"
    assert first.objectives["quality"].value == 0.4 and third.objectives["quality"].value == 0.5
    assert first.seconds == {"load": 1, "training": 10, "generation": 2, **scoring(first)}
    assert first.scores["cost.seconds"].value == whole.scores["cost.seconds"].value == 11
    assert (second.state, second.reason_class, second.trained_as) == ("failed", "not_finite", 7)
    trained = [r.training for r in (whole, first, third)]
    assert [t.mean_difference for t in trained] == [2, 0.5, 1.5]
    assert [t.forward_kl for t in trained] == [1.25, 0.0625, 0.5625], "each has its own"
    kept = result_path(tmp_path, 3_000_007).with_name("outputs.parquet")
    assert read_outputs(kept, Scored.requests)[0].text == "0.5"


def test_intermediate_checkpoints_come_after_the_alphas(at_alphas, tmp_path):
    """With what was trained on until there, and what that took."""
    mix = Mix(shares=(seen("pairs", 30),))
    training = TrainingRecord(
        steps=4, tokens=270, tokens_per_second=9.0, trainable_parameters=5, total_parameters=5,
        accumulated_learning_rate=0.1, precision="fp32", loss=((4, 1.5),),
    )  # fmt: skip
    seconds = {"load": 1.0, "training": 4.0, "generation": 2.5}
    early = IntermediatePoint(0.25, [Output("0.55", None, 1)], mix, training, seconds)
    whole = at_alphas(intermediate=(early,))
    rows = {r.number: r for r in read_records(tmp_path).sound()}
    assert list(rows) == [*FAMILY, 5_000_007], "0.25 is the second share"
    point, half = rows[5_000_007], rows[2_000_007]
    assert point.recipe == Recipe(parallel_size=100, stop_after=0.25)
    assert (point.role, point.seed, point.trained_as, point.of) == ("search", 2, 7, 5_000_004)
    assert point.objectives["quality"].value == 0.55 and point.mix == mix
    assert point.training == training
    assert point.seconds == seconds | scoring(point)
    assert (point.scores["cost.seconds"].value, whole.scores["cost.seconds"].value) == (5, 11)
    assert half.recipe.stop_after == whole.recipe.stop_after == 1
    assert "intermediate" not in rows[1_000_007].seconds


def seen(source, count):
    return SourceShare(
        source=source, kind="parallel", requested=100, realised=100, available=100, tokens=900,
        repeats=1, seen=count, seen_tokens=9 * count,
    )  # fmt: skip


def scoring(record):
    return {"scoring": record.seconds["scoring"]}
