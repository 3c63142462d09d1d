"""Sampling: which token a random number chooses, and that a text depends on its seed alone."""

import math
from collections import Counter

import pytest
import torch
from tiny_models import byte_level, llama, other_models

from mtray.data.tokenization import prompt_ids
from mtray.evaluation.inference.batching import Settings
from mtray.evaluation.inference.engine import run_requests
from mtray.evaluation.inference.nucleus_sampling import Sampling, sample, sampled_tokens
from mtray.evaluation.inference.requests import Request

HALF, THIRD, FIFTH = 7, 2, 5  # where the chances .5, .3 and .2 stand


def token(draw, temperature=1.0, top_p=1.0):
    logits = torch.full((1, 9), -math.inf)
    for place, chance in ((HALF, 0.5), (THIRD, 0.3), (FIFTH, 0.2)):
        logits[0, place] = math.log(chance) + 3
    return sampled_tokens(logits, torch.tensor([draw]), temperature, top_p).item()


@pytest.mark.parametrize(
    ("draw", "options", "chosen"),
    [
        (0.0, {}, HALF), (0.499, {}, HALF), (0.501, {}, THIRD), (0.799, {}, THIRD),
        (0.801, {}, FIFTH), (1 - 1e-12, {}, FIFTH),
        # the likeliest alone has the half
        (0.999, {"top_p": 0.5}, HALF), (0.999, {"top_p": 0.01}, HALF),
        # 5/8 and 3/8 of the first two
        (0.624, {"top_p": 0.6}, HALF), (0.626, {"top_p": 0.6}, THIRD),
        (0.999, {"top_p": 0.79}, THIRD), (0.999, {"top_p": 0.81}, FIFTH),
        # squared: .25, .09, .04, of .38
        (0.657, {"temperature": 0.5}, HALF), (0.659, {"temperature": 0.5}, THIRD),
        (0.894, {"temperature": 0.5}, THIRD), (0.896, {"temperature": 0.5}, FIFTH),
    ],
)  # fmt: skip
def test_a_random_number_chooses(draw, options, chosen):
    assert token(draw, **options) == chosen


@pytest.mark.parametrize("top_p", [1.0, 0.9, 0.2])
@pytest.mark.parametrize("flatness", [0.1, 1.0, 30.0])
def test_sorting_the_likeliest_alone_chooses_as_sorting_all(monkeypatch, top_p, flatness):
    numbers = torch.Generator().manual_seed(1)
    logits = torch.randn(200, 50, generator=numbers, dtype=torch.double) / flatness
    draws = torch.rand(200, generator=numbers, dtype=torch.double)
    found = sampled_tokens(logits, draws, 0.7, top_p)
    monkeypatch.setattr("mtray.evaluation.inference.nucleus_sampling.LIKELY", 5)
    assert sampled_tokens(logits, draws, 0.7, top_p).equal(found)
    assert len(set(found.tolist())) > 5


@pytest.fixture(scope="module")
def settings():
    tokenizer = byte_level()
    return Settings(llama(tokenizer), tokenizer, 256)


def start(settings, text="a bad"):
    return prompt_ids(settings.tokenizer, text)


def test_a_text_hangs_on_its_seed_and_number(settings):
    sampling = Sampling(12, seed=3)
    texts = sample(settings, start(settings), 30, sampling)
    told = []
    for tokens in (1, 64, 10_000):
        one = Settings(settings.model, settings.tokenizer, tokens)
        assert sample(one, start(settings), 30, sampling, lambda *x: told.append(x)) == texts
    assert told[29] == (30, 30) and told[-1] == (30, 30)
    assert sample(settings, start(settings), 10, sampling) == texts[:10]
    assert len(set(texts)) > 20
    assert sample(settings, start(settings), 30, Sampling(12, seed=4)) != texts


def test_tokens_come_as_often_as_the_model_says(settings):
    ids = start(settings)
    with torch.no_grad():
        chances = settings.model(torch.tensor([ids])).logits[0, -1].double().softmax(0)
    found = sample(settings, ids, 2000, Sampling(1, seed=1))
    special = set(settings.tokenizer.all_special_ids)
    expected = Counter()
    for index, chance in enumerate(chances.tolist()):
        text = "" if index in special else settings.tokenizer.decode([index]).strip()
        expected[text] += 2000 * chance
    counts = Counter(text for text, _ in found)
    likely = [text for text, number in expected.items() if number > 20]
    assert len(likely) > 3
    for text in likely:  # four standard deviations
        assert abs(counts[text] - expected[text]) < 4 * expected[text] ** 0.5, text


def test_greedy_is_the_limit_of_little_chance(settings):
    (first, second) = sample(settings, start(settings), 2, Sampling(8, top_p=1e-9))
    assert first == second
    request = Request("a bad", None, 8, one_line=False)
    (output,) = run_requests(settings.model, settings.tokenizer, [request])
    assert first.text == output.text


def test_a_text_says_whether_it_ended(settings):
    model, tokenizer = llama(settings.tokenizer), settings.tokenizer
    ids = start(settings)
    with torch.no_grad():
        state = model.model(torch.tensor([ids])).last_hidden_state[0, -1]
        model.lm_head.weight[tokenizer.eos_token_id] = 100 * state / state.norm()
    assert sample(Settings(model, tokenizer), ids, 3, Sampling(4)) == [("", True)] * 3
    assert {ended for _, ended in sample(settings, ids, 40, Sampling(2))} == {False}


@pytest.mark.parametrize("name", ["learned positions", "alibi"])
def test_other_models(name):
    tokenizer = byte_level()
    settings = Settings(other_models(tokenizer)[name], tokenizer)
    assert len(set(sample(settings, start(settings), 20, Sampling(6)))) > 10
