"""A worker's question, the trial's own process and the progress actor, without Ray: tabulated
outputs, the real thread."""

import time

import pytest
from records_factory import make_score, make_study

from mtray.errors import EvaluationError, TrialStopped
from mtray.evaluation.inference.requests import Output, Request
from mtray.evaluation.scoring import SuiteResult
from mtray.schema import EarlyStopping, Estimate, Recipe
from mtray.search.early_stopping.rung_evaluation import RungEvaluator
from mtray.search.early_stopping.rung_files import RungFiles, RungQuestion
from mtray.search.early_stopping.rungs import Point
from mtray.search.execution import progress as boards
from mtray.search.execution.progress import ProgressActor, ask_whether_to_stop
from mtray.search.ledger.trial_scratch import delete_scratch
from mtray.training.loop import RungPosition
from mtray.trial.job import Job

RULE = EarlyStopping(rungs=(0.25, 0.5), others=2, dominating=2)
STUDY = make_study(early_stopping=RULE)


class Method:
    def __init__(self, function):
        self.remote = function


class Handle:
    """As Ray's handle of an actor: every method has a `remote`."""

    def __init__(self, progress_actor):
        self._progress_actor = progress_actor

    def __getattr__(self, name):
        return Method(getattr(self._progress_actor, name))


class TabulatedSuite:
    """An output's text holds quality and retention."""

    parts, requests = ("made-up",), (Request("q", None),)

    def part(self, share):
        assert share == RULE.segments
        return self

    def outputs_of(self, part, outputs):
        return outputs

    def score(self, outputs, base, resamples, seed):
        assert base == ["base"]
        if outputs[0].text == "broken":
            raise EvaluationError("no metric")
        quality, retention = map(float, outputs[0].text.split())
        found = {"quality": make_score(quality, 0.0196), "retention": make_score(retention, 0.0196)}
        return SuiteResult(found, {}, {}, {"spanish": "nothing to keep"})


@pytest.fixture(autouse=True)
def no_ray(monkeypatch):
    monkeypatch.setattr(pytest.importorskip("ray"), "get", lambda ref: ref)
    monkeypatch.setattr("mtray.search.early_stopping.rung_evaluation.INTERVAL", 0.01)


@pytest.fixture
def progress_actor():
    """With two good trials at both rungs."""
    progress_actor = ProgressActor()
    good = {n: Estimate(value=0.9, error=0.01) for n in ("quality", "retention")}
    progress_actor.know({rung: {n: Point(n, good) for n in (1, 2)} for rung in (0, 1)})
    return Handle(progress_actor)


@pytest.fixture
def rung_evaluator(tmp_path):
    def make(progress_actor, job=None, study=STUDY, base=lambda: ["base"]):
        job = job or Job(7, "search", Recipe(parallel_size=64), 1)
        return RungEvaluator(
            job, study, progress_actor, TabulatedSuite(), base, RungFiles(tmp_path)
        )

    return make


def ask(progress_actor, text, rung=1, number=7, should_stop=lambda: False):
    question = RungQuestion(RungPosition(rung, 8 * (rung + 1), 32), [Output(text, -1.0, 1)], 1.5)
    return ask_whether_to_stop(progress_actor, number, question, should_stop)


def test_a_hopeless_trial_is_told_to_end_at_the_second_rung(rung_evaluator, progress_actor):
    with rung_evaluator(progress_actor) as found:
        assert ask(progress_actor, "0.3 0.3", rung=0) is False
        assert ask(progress_actor, "0.3 0.3", rung=1) is True
    first, second = found.curve
    assert (first.rung, first.step, first.steps) == (0, 8, 32)
    assert "first rung" in first.decision and first.dominated_by == (1, 2)
    assert second.decision.startswith("rung 2 (after 50% of the steps): quality 0.300 has place 3")
    assert second.objectives["quality"].value == 0.3
    assert second.objectives["quality"].error == pytest.approx(0.01, rel=0.001)
    assert second.seconds >= 1.5
    assert second.left_out == ("spanish",)


def test_a_good_trial_goes_on_and_is_compared_with_from_then_on(rung_evaluator, progress_actor):
    with rung_evaluator(progress_actor) as found:
        assert ask(progress_actor, "0.95 0.95") is False
    assert [r.rung for r in found.curve] == [1]
    known = progress_actor.others.remote(1, 99)
    assert sorted(p.number for p in known) == [1, 2, 7]
    assert next(p for p in known if p.number == 7).objectives == found.curve[0].objectives
    assert [p.number for p in progress_actor.others.remote(1, 1)] == [2, 7]


RECIPE = Recipe(parallel_size=64)
KEPT = [Job(7, "parallel_only", RECIPE, 1), Job(7, "search", RECIPE, 2, replicate=1, of=3)]


@pytest.mark.parametrize("job", KEPT, ids=["baseline", "replicate"])
def test_baselines_and_replicates_are_measured_and_go_on(rung_evaluator, progress_actor, job):
    with rung_evaluator(progress_actor, job) as found:
        assert ask(progress_actor, "0.1 0.1") is False
    assert found.curve[0].objectives["quality"].value == 0.1
    assert "never ended" in found.curve[0].decision


def test_what_cannot_be_measured_ends_nothing_and_is_noted(rung_evaluator, progress_actor):
    with rung_evaluator(progress_actor) as found:
        assert ask(progress_actor, "not a number at all", rung=0) is False
        assert ask(progress_actor, "broken") is False
    assert [r.objectives for r in found.curve] == [{}, {}]
    assert found.curve[1].decision == "not measured: EvaluationError: no metric"
    assert len(progress_actor.others.remote(1, 99)) == 2


def test_before_the_base_model_is_measured_nobody_waits_and_nothing_is_lost(
    rung_evaluator, progress_actor
):
    there = []
    with rung_evaluator(progress_actor, base=lambda: there[0] if there else None) as found:
        assert ask(progress_actor, "0.3 0.3", rung=0) is False
        assert ask(progress_actor, "0.3 0.3", rung=1) is False
        assert found.curve == ()
    there.append(["base"])
    found.finish()
    assert [r.objectives["quality"].value for r in found.curve] == [0.3, 0.3]
    assert found.curve[1].decision.startswith("continued, since it was measured too late: rung 2")


def test_without_rungs_and_for_the_base_model_nothing_runs(rung_evaluator, progress_actor):
    base = Job(-1, "base", Recipe(parallel_size=0), 1)
    for found in (
        rung_evaluator(progress_actor, study=make_study()),
        rung_evaluator(progress_actor, base),
    ):
        with found:
            assert not found._thread.is_alive()
        assert found.curve == ()


def test_an_error_of_the_trial_is_not_kept_waiting(rung_evaluator, progress_actor):
    with pytest.raises(ValueError, match="of the trial"), rung_evaluator(progress_actor):
        raise ValueError("of the trial")


def test_a_worker_that_is_asked_to_stop_does_and_one_that_hears_nothing_goes_on(
    progress_actor, monkeypatch
):
    start = time.monotonic()
    with pytest.raises(TrialStopped):
        ask(progress_actor, "0.3 0.3", should_stop=lambda: True)
    monkeypatch.setattr(boards, "ANSWER_SECONDS", 0.05)
    assert ask(progress_actor, "0.3 0.3") is False
    assert time.monotonic() - start < 30


class Restarting(Handle):
    """The actor's process dies with the first question, and Ray starts an empty one."""

    died = False

    def __getattr__(self, name):
        import ray

        def call(*arguments):
            found = getattr(self._progress_actor, name)(*arguments)
            if name == "question" and found is not None and not self.died:
                self.died, self._progress_actor = True, ProgressActor()
                raise ray.exceptions.ActorUnavailableError("restarting", b"0" * 16)
            if name == "answered" and self.died and not self.said:
                self.said = True
                raise ray.exceptions.ActorUnavailableError("restarting", b"0" * 16)
            return found

        return Method(call)

    said = False


def test_a_question_to_an_actor_that_is_started_again_is_asked_again(rung_evaluator):
    """And no trial is stopped, nor does it wait ten minutes."""
    start, fresh = time.monotonic(), Restarting(ProgressActor())
    with rung_evaluator(fresh) as found:
        assert ask(fresh, "0.3 0.3", rung=1) is False
    assert fresh.died and fresh.said and len(found.curve) == 1
    assert time.monotonic() - start < 60


def test_without_the_actor_the_trial_is_stopped(progress_actor, monkeypatch):
    """It is on the driver's machine, which is gone then."""
    import ray

    def gone(*_):
        raise ray.exceptions.RayActorError

    monkeypatch.setattr(ray, "get", gone)
    with pytest.raises(TrialStopped):
        ask(progress_actor, "0.3 0.3")


def test_an_answer_to_an_earlier_question_is_not_taken_for_this_one(progress_actor, monkeypatch):
    """A trial that is run again under its number asks at the same rung again."""
    monkeypatch.setattr(boards, "ANSWER_SECONDS", 0.05)
    progress_actor.answer.remote(7, 1, True)
    progress_actor.answer.remote(8, 1, True)
    assert ask(progress_actor, "0.3 0.3") is False


def test_a_trial_that_was_lost_knows_its_rungs_again(rung_evaluator, progress_actor, tmp_path):
    """Another process, and after a new start of the sweep another progress actor."""
    with rung_evaluator(progress_actor) as before:
        ask(progress_actor, "0.6 0.6", rung=0)
    fresh = Handle(ProgressActor())
    with rung_evaluator(fresh) as found:
        assert found.curve == before.curve != ()
        assert [p.number for p in fresh.others.remote(0, 99)] == [7]
        ask(fresh, "0.95 0.95", rung=1)
    assert [r.objectives["quality"].value for r in found.curve] == [0.6, 0.95]
    with rung_evaluator(progress_actor) as anew:  # begun anew, it is at the first rung again
        ask(progress_actor, "0.7 0.7", rung=0)
        assert [r.objectives["quality"].value for r in anew.curve] == [0.7]
    delete_scratch(tmp_path)
    assert not any(tmp_path.iterdir())


def test_what_was_asked_and_not_measured_is_measured_later(
    rung_evaluator, progress_actor, tmp_path
):
    with pytest.raises(KeyError), rung_evaluator(progress_actor, base=lambda: None):
        ask(progress_actor, "0.3 0.3", rung=0)
        raise KeyError("the process is gone")
    with rung_evaluator(progress_actor) as found:
        assert found.curve == ()
    found.finish()
    assert [(r.rung, r.objectives["quality"].value) for r in found.curve] == [(0, 0.3)]
    (tmp_path / "rungs" / "0.measured.json").write_text("{")
    assert RungFiles(tmp_path).curve() == {}, "a damaged file is as good as none"
