"""KL(base || tuned) on the new task: by hand, against a plain computation, and through a trial."""

from types import SimpleNamespace

import pytest
import torch
from records_factory import make_study
from test_adapters import LORA
from tiny_models import TEXTS, byte_level, examples_of, llama, metaspace, t5

from mtray.data.encoder_decoder import source_ids
from mtray.data.store import build_table
from mtray.data.tokenization import continuation_ids, prompt_ids
from mtray.evaluation import divergence
from mtray.evaluation.divergence import (
    base_distributions,
    divergence_requests,
    forward_kl,
    kl,
)
from mtray.evaluation.inference.batching import Settings
from mtray.evaluation.inference.engine import run_requests
from mtray.evaluation.inference.requests import Output, Request
from mtray.schema import Evaluation, Recipe, Training, TrainingRecord, moved_by
from mtray.training.adapters import prepare
from mtray.training.engine import TorchEngine
from mtray.training.loop import Tuning, finetune
from mtray.training.models import load_tokenizer
from mtray.training.reversion import InitialWeights
from mtray.trial.divergence import Divergence, divergence_plan
from mtray.trial.job import DivergencePlan, Job, RunOptions
from mtray.trial.run import run_trial

PROMPTS = [Request(p, None, 12) for p in ("a bad cab ->", "dad ->", "fed a bee: beef ->")]
# the second is empty, as an answer may be
ANSWERS = [Output(text, 0.0, 1) for text in ("abba bad", "", "cab")]
MODELS = {
    "decoder": lambda: (byte_level(), llama),
    "no begin token": lambda: (byte_level(bos=False), llama),
    "spaces": lambda: (metaspace(), llama),
    "encoder-decoder": lambda: (byte_level(bos=False), t5),
}


@pytest.mark.parametrize(
    "p, q, expected",
    [
        ([0.5, 0.5], [0.25, 0.75], 0.143841),  # .5 ln 2 + .5 ln (2/3)
        ([0.25, 0.75], [0.5, 0.5], 0.130812),  # the other direction: .25 ln .5 + .75 ln 1.5
        ([1.0, 0.0], [0.5, 0.5], 0.693147),  # what is never said adds nothing
        ([0.0, 1.0], [0.0, 1.0], 0.0),
        ([1.0, 0.0], [0.0, 1.0], float("inf")),
    ],
)
def test_a_divergence_by_hand(p, q, expected):
    p, q = (torch.tensor([row], dtype=torch.float64).log() for row in (p, q))
    assert kl(p, q).tolist() == pytest.approx([expected], abs=1e-6)


def changed(model, by=0.05):
    """The model with all weights a little off."""
    torch.manual_seed(5)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(by * torch.randn_like(weight))
    return model


def plain(base, tuned, tokenizer):
    """The mean over all tokens, each text alone and the distributions written out."""
    values = []
    for request, answer in zip(PROMPTS, ANSWERS, strict=True):
        prompt = prompt_ids(tokenizer, request.prompt)
        ids = continuation_ids(tokenizer, request.prompt, answer.text, with_end=False)[0]
        ids = ids if answer.text else prompt
        logs = []
        for model in (base, tuned):
            with torch.no_grad():
                if model.config.is_encoder_decoder:
                    start = [model.config.decoder_start_token_id]
                    found = model(
                        input_ids=torch.tensor([source_ids(model.config, prompt)]),
                        decoder_input_ids=torch.tensor([start + ids[len(prompt) :]]),
                    ).logits[0]
                else:
                    found = model(torch.tensor([ids])).logits[0, len(prompt) - 1 :]
            logs.append(found.double().log_softmax(dim=1))
        values += (logs[0].exp() * (logs[0] - logs[1])).sum(dim=1).tolist()
    return sum(values) / len(values)


@pytest.mark.parametrize("max_tokens", [1, 4096], ids=["alone", "padded"])
@pytest.mark.parametrize("name", MODELS)
def test_it_is_what_a_plain_computation_finds(name, max_tokens):
    tokenizer, make = MODELS[name]()
    base, tuned = make(tokenizer), changed(make(tokenizer))
    found = base_distributions(Settings(base, tokenizer, max_tokens), PROMPTS, ANSWERS)
    assert forward_kl(Settings(base, tokenizer, max_tokens), found) == 0.0
    settings = Settings(tuned, tokenizer, max_tokens)
    expected = plain(base, tuned, tokenizer)
    assert expected > 0.01
    assert forward_kl(settings, found) == pytest.approx(expected, rel=1e-4)


def test_of_a_large_vocabulary_the_likeliest_are_compared_and_the_others_as_one(monkeypatch):
    tokenizer = byte_level()
    base, tuned = llama(tokenizer), changed(llama(tokenizer))
    values = []
    monkeypatch.setattr(divergence, "WHOLE", len(tokenizer) - 1)
    for likeliest in (1, 4, 16, len(tokenizer) - 1):
        monkeypatch.setattr(divergence, "LIKELIEST", likeliest)
        found = base_distributions(Settings(base, tokenizer), PROMPTS, ANSWERS)
        assert {logs.shape[1] for logs in found.logs} == {likeliest + 1}
        assert forward_kl(Settings(base, tokenizer), found) == 0.0
        values.append(forward_kl(Settings(tuned, tokenizer), found))
    whole = plain(base, tuned, tokenizer)
    assert values == sorted(values) and values[-1] == pytest.approx(whole, rel=1e-4)
    assert values[0] < values[1] < whole


def test_an_answer_that_reads_as_more_tokens_than_it_was_allowed_is_cut():
    tokenizer = byte_level()
    settings, lengths = Settings(llama(tokenizer), tokenizer), {}
    for allowed in (2, 12):
        requests = [Request(r.prompt, None, allowed) for r in PROMPTS]
        found = base_distributions(settings, requests, ANSWERS)
        lengths[allowed] = sorted(len(logs) for logs in found.logs)
    # with the place after the answer; the longest has three tokens
    assert lengths == {2: [1, 2, 3], 12: [1, 2, 4]}


@pytest.fixture(scope="module", params=["full", "lora"])
def tuned(request):
    """Origin and tuned model; block 0 of the first is frozen."""
    recipe = LORA if request.param == "lora" else Recipe(parallel_size=1, frozen_layers=1)
    tokenizer, origin, training = (
        byte_level(),
        InitialWeights(),
        Training(batch_examples=8, epochs=2),
    )

    def build(marked):
        origin.take(marked)
        return TorchEngine(marked, training, "fp32")

    torch.manual_seed(0)
    prepared = prepare(llama(tokenizer), recipe, training, 1)
    engine, _ = finetune(
        build, prepared.model, examples_of(tokenizer, TEXTS * 4),
        Tuning(training, "fp32", 1e-2, seed=1),
    )  # fmt: skip
    return origin, engine.module, tokenizer


def test_it_grows_with_alpha_from_0(tuned):
    origin, model, tokenizer = tuned
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    plan = DivergencePlan(PROMPTS, lambda: ANSWERS)
    compared = Divergence(plan, Settings(model, tokenizer), origin)
    values = [compared.at(alpha) for alpha in (0, 0.25, 0.5, 0.75, 1)]
    assert values[0] == 0.0 and values == sorted(values) and values[1] > 0
    # the second order of a small change: a quarter of the way is about a sixteenth
    assert values[1] / values[-1] < 1 / 8
    expected = plain(llama(tokenizer), model, tokenizer)
    assert values[-1] == pytest.approx(expected, rel=1e-3)
    for name, weight in model.named_parameters():
        assert torch.equal(weight, before[name]), f"{name} is what it was, bit for bit"


def test_without_the_base_models_answers_the_trial_makes_them(tuned):
    origin, model, tokenizer = tuned
    made = run_requests(llama(tokenizer), tokenizer, PROMPTS)
    found = [
        Divergence(DivergencePlan(PROMPTS, answers), Settings(model, tokenizer), origin).at(1)
        for answers in (lambda: made, lambda: None)
    ]
    assert found[0] > 0 and found[1] == pytest.approx(found[0], rel=1e-4)


def test_the_number_format_of_the_answers_is_not_that_of_the_comparison(tuned):
    """Products in bf16 would add as much as a light training does."""
    origin, model, tokenizer = tuned
    plan = DivergencePlan(PROMPTS, lambda: ANSWERS)
    settings = Settings(model, tokenizer, autocast=torch.bfloat16)
    found = Divergence(plan, settings, origin).at(0.5)
    assert found == Divergence(plan, Settings(model, tokenizer), origin).at(0.5)


def suite_of(*counts):
    """A suite of directions with so many prompts each, and one request of an ability."""
    directions = [
        SimpleNamespace(requests=[Request(f"{d} {i}", None) for i in range(count)])
        for d, count in enumerate(counts)
    ]
    quality = [request for direction in directions for request in direction.requests]
    return SimpleNamespace(directions=directions, requests=[*quality, Request("x", "y")])


@pytest.mark.parametrize(
    "counts, most, expected",
    [
        ((3,), 64, ["0 0", "0 1", "0 2"]),
        ((4, 4), 4, ["0 0", "0 2", "1 0", "1 2"]),
        ((6, 2), 4, ["0 0", "0 2", "0 4", "1 0"]),
    ],
)
def test_prompts_are_spread_over_all_directions(counts, most, expected):
    assert [r.prompt for r in divergence_requests(suite_of(*counts), most)] == expected


def study_of(prompts):
    study = make_study(training=Training(max_steps=2, batch_examples=2))
    changes = {"divergence": {"prompts": prompts}, "reversion": (0.25,), "max_new_tokens": 6}
    evaluation = study.evaluation.model_dump() | changes
    return study.model_copy(update={"evaluation": Evaluation.model_validate(evaluation)})


def test_a_plan_has_the_base_models_answers_of_its_own_prompts():
    suite, outputs = suite_of(4, 4), []
    plan = divergence_plan(study_of(4), suite, lambda: outputs or None)
    assert plan.answers() is None
    outputs += [Output(f"answer to {r.prompt}", 0.0, 1) for r in suite.requests]
    assert [o.text for o in plan.answers()] == [f"answer to {r.prompt}" for r in plan.requests]
    assert divergence_plan(study_of(0), suite, lambda: outputs) is None


@pytest.mark.parametrize("found", [-1, 1.5, True, "many"])
def test_a_wrong_number_of_prompts_is_an_error(found):
    with pytest.raises(ValueError, match=r"divergence\.prompts"):
        study_of(found)


def trial(alpha=1.0, **how):
    """A trial of the embedded model on a few steps."""
    pairs = [("English: Hi.\nUkrainian:", " Привіт."), ("English: No.\nUkrainian:", " Ні.")]
    table = build_table(pairs, load_tokenizer("embedded"), 32)
    requests = [Request(prompt, None, 6) for prompt, _ in pairs]
    recipe = Recipe(parallel_size=2, learning_rate=1e-3, reversion_alpha=alpha)
    job = Job(0, "search", recipe, 1)
    if how.pop("measured", True):
        how["divergence"] = DivergencePlan(requests, lambda: None)
    return run_trial(job, study_of(2), {"pairs": table}, requests, RunOptions("torch", **how))


def test_a_trial_and_its_other_alphas_have_their_own():
    whole, half = trial(), trial(alpha=0.5)
    (quarter,) = whole.reverted
    values = (quarter.forward_kl, half.training.forward_kl, whole.training.forward_kl)
    assert 0 < values[0] < values[1] < values[2]
    assert half.reverted[0].forward_kl == pytest.approx(values[0], rel=1e-4)
    assert whole.seconds["divergence"] > 0 and "divergence" not in whole.notes


def test_a_trial_without_a_plan_records_none():
    found = trial(measured=False)
    assert found.training.forward_kl is None and found.reverted[0].forward_kl is None
    assert "divergence" not in found.seconds


def test_what_is_not_finite_is_not_recorded_and_said(monkeypatch):
    monkeypatch.setattr("mtray.trial.divergence.forward_kl", lambda settings, base: float("inf"))
    found = trial()
    assert found.training.forward_kl is None
    assert found.notes["divergence"] == "not recorded: inf at alpha 0.25"


RECORD = {
    "steps": 3, "tokens": 600, "tokens_per_second": 9.0, "trainable_parameters": 2,
    "total_parameters": 4, "accumulated_learning_rate": 0.02, "precision": "fp32", "loss": (),
}  # fmt: skip


def test_records_of_earlier_versions_have_none_and_a_share_of_the_way_has_not_that_share():
    assert TrainingRecord(**RECORD).forward_kl is None
    found = TrainingRecord(**RECORD, forward_kl=0.5, mean_difference=2.0)
    assert moved_by(found, 0.5).mean_difference == 1 and moved_by(found, 0.5).forward_kl is None
