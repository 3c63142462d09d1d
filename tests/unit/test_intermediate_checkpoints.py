"""Intermediate checkpoints as points: the weights of a training that stops there, bit for bit, its
costs and its data, evaluated once however often the training is interrupted."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from records_factory import make_study
from test_loop import with_dropout
from tiny_models import TEXTS, byte_level, examples_of, llama

from mtray.data.draw_comparison import compared
from mtray.data.store import build_table
from mtray.errors import TrialStopped
from mtray.evaluation.inference.requests import Request
from mtray.schema import Mix, Recipe, Source, SourceShare, Training
from mtray.training.checkpoints import Checkpoints, kept_step
from mtray.training.engine import TorchEngine
from mtray.training.loop import CheckpointSchedule, RungSchedule, Tuning, finetune
from mtray.training.schedule import batches, step_after, trained_rows
from mtray.training.worker import ProcessGroup, Worker
from mtray.trial.distributed_evaluation import decision_of_rank_0
from mtray.trial.intermediate_checkpoints import mix_until
from mtray.trial.job import Job, RungPlan, RunOptions
from mtray.trial.run import run_trial

CONSTANT = Training(batch_examples=8, epochs=4, warmup=0.1, schedule="constant", precision="fp32")
REQUESTS = [Request(p, None, 12) for p in ("a bad cab ->", "dad ->", "fed a bee ->")]
SHARES = (0.25, 0.6)


@pytest.fixture(scope="module")
def tokenizer():
    return byte_level()


@pytest.fixture(scope="module")
def examples(tokenizer):
    return examples_of(tokenizer, TEXTS * 4)


def flat(module):
    return torch.cat([p.detach().flatten().clone() for p in module.parameters()])


NONE = CheckpointSchedule()


def train(model, examples, points=NONE, stop_after=1.0, checkpoints=None, **worker):
    """8 steps where nothing else is said."""
    torch.manual_seed(7)
    engine, record = finetune(
        lambda m: TorchEngine(m, CONSTANT, "fp32"),
        model,
        examples,
        Tuning(CONSTANT, "fp32", 3e-3, seed=1, stop_after=stop_after),
        rungs=RungSchedule(points=points),
        checkpoints=checkpoints,
        worker=Worker(**worker),
    )
    return engine.module, record


def adapted(tokenizer):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=4, lora_dropout=0.2, target_modules=["q_proj"])
    torch.manual_seed(2)
    return peft.get_peft_model(llama(tokenizer), config)


def timeless(record):
    return record.model_copy(update={"tokens_per_second": 0.0})


@pytest.mark.parametrize("make", [llama, with_dropout, adapted])
def test_a_point_is_a_training_that_stops_there_and_changes_nothing(tokenizer, examples, make):
    seen = {}

    def take(share, module, record):
        assert module.training
        seen[share] = flat(module), record

    whole, record = train(make(tokenizer), examples, CheckpointSchedule((*SHARES, 1.0), take))
    plain, expected = train(make(tokenizer), examples)
    assert torch.equal(flat(whole), flat(plain)) and timeless(record) == timeless(expected)
    assert [found.steps for _, found in seen.values()] == [2, 5, 8]
    for share, (weights, found) in seen.items():
        stopped, until = train(make(tokenizer), examples, stop_after=share)
        assert torch.equal(flat(stopped), weights), share
        assert timeless(until) == timeless(found), share
        assert found.loss[-1][0] == found.steps, "the last step is an entry"
    assert timeless(seen[1.0][1]) == timeless(record) and record.steps == 8


def test_a_decayed_rate_would_give_other_weights_than_a_smaller_plan(tokenizer, examples):
    """Why other schedules are refused: half of the steps of a plan, and a plan of half the steps
    (one epoch of two), differ as soon as the rate falls."""
    ends = {}
    for schedule in ("constant", "cosine"):
        for epochs, share in ((4, 0.5), (2, 1.0)):
            training = CONSTANT.model_copy(
                update={"schedule": schedule, "epochs": epochs, "warmup": 0.0}
            )
            engine, _ = finetune(
                lambda m, training=training: TorchEngine(m, training, "fp32"), llama(tokenizer),
                examples, Tuning(training, "fp32", 3e-3, seed=1, stop_after=share),
            )  # fmt: skip
            ends[schedule, epochs] = flat(engine.module)
    assert torch.equal(ends["constant", 4], ends["constant", 2])
    assert not torch.allclose(ends["cosine", 4], ends["cosine", 2], atol=1e-3)


@pytest.mark.parametrize("share, steps, step", [
    (0.25, 8, 2), (0.25, 9, 3), (1.0, 7, 7), (0.07, 100, 7), (0.01, 3, 1), (0.9, 1, 1),
])  # fmt: skip
def test_the_step_of_a_share(share, steps, step):
    assert step_after(share, steps) == step


@pytest.mark.parametrize("interrupted", ["before", "while", "after"])
def test_an_interrupted_training_takes_every_point_once(tokenizer, examples, tmp_path, interrupted):
    """Stopped at step 5, where the second point is, or around it; each is a training anew."""
    plain, expected = train(llama(tokenizer), examples, stop_after=0.6)
    taken, steps, found = [], [0], {}

    def take(share, module, record):
        if share == 0.6 and interrupted == "while" and not stopped:
            stopped.append(share)
            raise TrialStopped
        taken.append(share)
        found[share] = flat(module), record

    stopped = []
    limit = {"before": 4, "while": 99, "after": 6}[interrupted]
    points = CheckpointSchedule(SHARES, take, lambda share: share in taken)

    def should_stop():
        steps[0] += 1
        return steps[0] > limit

    with pytest.raises(TrialStopped):
        train(llama(tokenizer), examples, points, 1.0, Checkpoints(tmp_path, "key"),
              should_stop=should_stop)  # fmt: skip
    assert kept_step(tmp_path) == {"before": 4, "while": 5, "after": 6}[interrupted]
    assert taken == ([0.25, 0.6] if interrupted == "after" else [0.25])
    train(llama(tokenizer), examples, points, 1.0, Checkpoints(tmp_path, "key"))
    assert taken == [0.25, 0.6]
    weights, record = found[0.6]
    assert torch.equal(weights, flat(plain)) and record.loss == expected.loss


SOURCES = (
    Source(name="pairs", kind="parallel", path="p.tsv", languages=("en", "es")),
    Source(name="lines", kind="mono", path="l.txt", languages=("es",)),
)


@pytest.fixture
def trial(tokenizer, tmp_path):
    """Run a trial of a tiny model: 16 pairs and 8 lines, six steps of 8 in two epochs."""
    llama(tokenizer).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    training = CONSTANT.model_copy(update={"epochs": 2})
    study = make_study(model=str(tmp_path / "base"), sources=SOURCES, training=training)
    pairs = [pair for pair in TEXTS if pair[0]] * 6
    store = {
        "pairs": build_table(pairs, tokenizer, 64),
        "lines": build_table([("", "bad dad fed")] * 8, tokenizer, 64),
    }

    def go(shares=(), how=RunOptions("torch"), worker=Worker(), requests=REQUESTS, **recipe):
        changed = study.evaluation.model_copy(update={"intermediate_checkpoints": shares})
        own = study.model_copy(update={"evaluation": changed})
        fields = {"parallel_size": 16, "mono_ratio": 0.5, "learning_rate": 3e-3, **recipe}
        job = Job(3, "search", Recipe(**fields), 1)
        return run_trial(job, own, store, requests, how, worker)

    return go


def texts(outputs):
    return [(o.text, o.log_likelihood, o.tokens) for o in outputs]


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_a_trial_and_its_points_are_those_trained_alone(trial, method, alpha):
    """Answers, data and record; also of a recipe that goes part of the way back."""
    recipe = {"method": method, "reversion_alpha": alpha, "learning_rate": 1e-2}
    whole, plain = trial((0.5, 0.25), **recipe), trial(**recipe)
    assert texts(whole.outputs) == texts(plain.outputs)
    assert (whole.mix, timeless(whole.training)) == (plain.mix, timeless(plain.training))
    assert [point.stop_after for point in whole.intermediate] == [0.25, 0.5]
    assert plain.intermediate == ()
    for point in whole.intermediate:
        alone = trial(stop_after=point.stop_after, **recipe)
        assert texts(point.outputs) == texts(alone.outputs) != texts(whole.outputs)
        assert point.mix == alone.mix
        assert timeless(point.training) == timeless(alone.training)
        assert 0 < alone.training.movement["block 0"] < whole.training.movement["block 0"]
        assert compared(point.mix, plain.mix).difference is None, "a rerun draws the whole mix"


def test_seconds_of_a_point_are_those_until_there(trial, monkeypatch):
    """A clock that only steps and answers move: 1 s a step, 5 s for all answers."""
    now = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    step = TorchEngine.step

    def slow(self, rate):
        now[0] += 1
        step(self, rate)

    monkeypatch.setattr(TorchEngine, "step", slow)
    answered = "mtray.trial.run.evaluate_distributed"
    monkeypatch.setattr(answered, lambda *_: now.__setitem__(0, now[0] + 5) or [])
    plan = RungPlan((0.3,), REQUESTS, lambda reached, outputs, seconds: False)
    found = trial((0.3, 0.6), how=RunOptions("torch", rungs=plan))
    spent = [{k: v for k, v in p.seconds.items() if v} for p in found.intermediate]
    assert spent == [{"training": 2, "generation": 5}, {"training": 4, "generation": 5}]
    assert {k: v for k, v in found.seconds.items() if v} == {
        "training": 6, "rungs": 5, "intermediate": 10, "generation": 5,
    }  # fmt: skip


def test_a_trial_that_a_rung_ends_has_no_later_point(trial):
    plan = RungPlan((0.3,), REQUESTS, lambda reached, outputs, seconds: True)
    found = trial((0.3, 0.6), how=RunOptions("torch", rungs=plan))
    assert found.pruned and found.intermediate == ()


def test_a_rung_whose_answer_did_not_come_before_the_stop_is_asked_about_again(trial, tmp_path):
    answers, asked = [TrialStopped(), True], []

    def ask(reached, outputs, seconds):
        asked.append((reached.step, len(outputs)))
        answer = answers.pop(0)
        if isinstance(answer, TrialStopped):
            raise answer
        return answer

    how = RunOptions("torch", rungs=RungPlan((0.3,), REQUESTS, ask), keep_in=tmp_path / "trial")
    with pytest.raises(TrialStopped):
        trial(how=how)
    assert trial(how=how).pruned and asked == [(2, len(REQUESTS))] * 2


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("answer", [True, False, None])
def test_all_workers_leave_where_rank_0_is_stopped_while_it_waits(rank, answer):
    """None: it is stopped. Worker 1 asks nobody, and agrees as often."""
    agreed = []

    def agree(flag):
        agreed.append(flag)
        return answer is None

    def ask():
        assert rank == 0
        if answer is None:
            raise TrialStopped
        return answer

    group = ProcessGroup(rank, 2, agree=agree)
    if answer is None:
        with pytest.raises(TrialStopped):
            decision_of_rank_0(ask, group)
    else:
        assert decision_of_rank_0(ask, group) is (answer and not rank)
    assert agreed == [answer is None and not rank]


def test_what_a_checkpoint_keeps_of_points_is_what_they_were(trial, tmp_path):
    """Stopped after the first point; the whole trial says the same as one that was not."""
    expected = trial((0.3, 0.6))
    asked = []

    def should_stop():
        asked.append(None)
        return "evaluating after 30% of the steps" in told and told[-1] == "training"

    told = []
    worker = Worker(progress=lambda f: told.append(f.get("state", told and told[-1])))
    how = RunOptions("torch", keep_in=tmp_path / "trial")
    with pytest.raises(TrialStopped):
        trial((0.3, 0.6), how, replace(worker, should_stop=should_stop))
    assert kept_step(tmp_path / "trial") == 2
    told.clear()
    found = trial((0.3, 0.6), how, worker)
    assert "evaluating after 60% of the steps" in told
    assert "evaluating after 30% of the steps" not in told
    assert found.training.resumed == (2,)
    for point, whole in zip(found.intermediate, expected.intermediate, strict=True):
        assert (point.outputs, point.mix) == (whole.outputs, whole.mix)
        assert point.training.loss == whole.training.loss
    assert found.outputs == expected.outputs


def test_an_evaluation_that_is_stopped_keeps_the_training(trial, tmp_path):
    """No step is trained twice, though no checkpoint was due."""
    expected, told = trial(()), []
    worker = Worker(
        progress=lambda f: told.append(f.get("state", told and told[-1])),
        should_stop=lambda: bool(told) and told[-1] == "evaluating",
    )
    how = RunOptions("torch", keep_in=tmp_path / "trial")
    with pytest.raises(TrialStopped):
        trial((), how, worker)
    steps = expected.training.steps
    assert kept_step(tmp_path / "trial") == steps
    found = trial((), how)
    assert found.training.resumed == (steps,) and found.outputs == expected.outputs
    assert found.training.loss == expected.training.loss


def test_weights_of_points_are_kept_by_the_first_worker_alone(trial):
    kept = []

    def keep(share, module):
        kept.append((share, module.training))

    trial((0.3, 0.6), RunOptions("torch", keep=keep))
    assert kept == [(0.3, True), (0.6, True)]
    second = ProcessGroup(1, 2, total=lambda value: value, gather=lambda part: [])
    found = trial((0.3,), RunOptions("torch", keep=keep), Worker(second))
    assert len(kept) == 2 and found.intermediate[0].outputs == []


def share_of(name, kind, count):
    return SourceShare(
        source=name, kind=kind, requested=count, realised=count, available=9, tokens=10 * count,
        repeats=count / 9,
    )  # fmt: skip


def test_what_was_seen_by_hand():
    """Three pairs of 10, 11 and 12 tokens and two lines of 3 and 4; two a step, two epochs: 3 + 3
    steps. After half of them all were seen once, before that not."""
    mix = Mix(shares=(share_of("a", "parallel", 3), share_of("b", "mono", 0),
                      share_of("c", "mono", 2)))  # fmt: skip
    lengths = [10, 11, 12, 3, 4]
    examples = [(np.zeros(n, np.int32), 0) for n in lengths]
    training = CONSTANT.model_copy(update={"batch_examples": 2, "epochs": 2})
    steps = [rows.tolist() for rows in batches(np.array(lengths), training, 5)]
    assert list(map(len, steps)) == [2, 2, 1, 2, 2, 1]
    first = sorted(steps[0])
    for share, rows in ((1 / 6, first), (0.5, [0, 1, 2, 3, 4]), (0.9, [0, 1, 2, 3, 4])):
        seen = np.unique(trained_rows(np.array(lengths), training, 5, share))
        assert seen.tolist() == rows
        found = mix_until(mix, examples, training, 5, share)
        counts = [sum(row < 3 for row in rows), 0, sum(row >= 3 for row in rows)]
        assert [s.seen for s in found.shares] == counts == [s.examples for s in found.shares]
        assert found.tokens == sum(lengths[row] for row in rows)
        assert found.examples == len(rows)
        assert [s.realised for s in found.shares] == [3, 0, 2], "what a rerun draws again"


def test_the_first_steps_are_a_fair_draw_of_the_mix():
    """A quarter of the steps of 400 trainings: of 60 pairs and 20 lines 15 and 5 on average, with
    the variance of a draw without putting back, 20 * 3/4 * 1/4 * 60/79 = 2.85."""
    lengths = np.full(80, 7)
    training = CONSTANT.model_copy(update={"batch_examples": 4, "epochs": 1})
    seen = (np.unique(trained_rows(lengths, training, seed, 0.25)) for seed in range(400))
    pairs = [(rows < 60).sum() for rows in seen]
    assert np.mean(pairs) == pytest.approx(15, abs=3 * (2.85 / 400) ** 0.5)
    assert np.var(pairs) == pytest.approx(2.85, rel=0.25)
