"""The engine against transformers' own `generate` and against log-likelihoods computed directly."""

import inspect
import random

import pytest
import torch
from tiny_models import byte_level, llama, metaspace, other_models

from mtray.data.tokenization import continuation_ids, encode_examples, prompt_ids
from mtray.errors import DataError, EvaluationError, TrialStopped
from mtray.evaluation.inference import generation
from mtray.evaluation.inference.batching import Settings
from mtray.evaluation.inference.engine import answer_part, joined, run_requests
from mtray.evaluation.inference.generation import blank_line_ids, newline_ids
from mtray.evaluation.inference.likelihood import Choices, grouped
from mtray.evaluation.inference.requests import Request

TOKENIZERS = {
    "byte level": byte_level,
    "no pad": lambda: byte_level(pad=False),
    "no begin": lambda: byte_level(bos=False),
    "sentencepiece": metaspace,
}


def prompts(count, seed=0):
    rng = random.Random(seed)
    words = ["a", "bad", "cab", "abba", "dad", "fed", "bee"]
    return [
        "English: " + " ".join(rng.choices(words, k=rng.randint(1, 9))) + "\nSpanish:"
        for _ in range(count)
    ]


def by_transformers(model, tokenizer, prompt, new, stop_ids):
    """One prompt at a time, so without padding; the new ids."""
    ids = torch.tensor([prompt_ids(tokenizer, prompt)])
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, do_sample=False,
        eos_token_id=stop_ids, pad_token_id=0,
        begin_suppress_tokens=[i for i in blank_line_ids(tokenizer) if i in stop_ids],
    )  # fmt: skip
    return out[0, ids.shape[1] :].tolist()


def direct_log_likelihood(model, ids, start):
    with torch.no_grad():
        scores = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return sum(scores[i - 1, ids[i]].item() for i in range(start, len(ids)))


def check_against_transformers(model, tokenizer):
    requests = [Request(p, None, 24) for p in prompts(40)]
    outputs = run_requests(model, tokenizer, requests, max_tokens_per_batch=600)
    stops = [tokenizer.eos_token_id, *newline_ids(tokenizer)]
    assert len(stops) >= 2
    for request, output in zip(requests, outputs, strict=True):
        ids = by_transformers(model, tokenizer, request.prompt, 24, stops)
        stopped = ids[-1] in stops
        assert output.truncated == (not stopped)
        assert output.tokens == len(ids) - stopped
        text = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert output.text == text.split("\n")[0].strip()
        whole = prompt_ids(tokenizer, request.prompt) + ids
        direct = direct_log_likelihood(model, whole, len(whole) - len(ids))
        assert output.log_likelihood == pytest.approx(direct, abs=1e-3)
    # the test means something only when some rows end early and some late
    assert len({o.tokens for o in outputs}) > 1


@pytest.mark.parametrize("make", TOKENIZERS.values(), ids=TOKENIZERS)
@pytest.mark.parametrize("own_loop", [True, False], ids=["own loop", "left to generate"])
def test_generates_what_transformers_does(make, own_loop, monkeypatch):
    tokenizer = make()
    model = llama(tokenizer)
    assert generation.supports_own_loop(model)
    if not own_loop:
        monkeypatch.setattr(generation, "supports_own_loop", lambda model: False)
    check_against_transformers(model, tokenizer)


@pytest.mark.parametrize("name", ["learned positions", "sliding window", "alibi"])
def test_other_families_generate_what_transformers_does(name):
    tokenizer = byte_level()
    model = other_models(tokenizer)[name]
    assert generation.supports_own_loop(model) == (name != "alibi")
    check_against_transformers(model, tokenizer)


@pytest.mark.parametrize("name", ["llama", "sentencepiece", "learned positions", "alibi"])
def test_beam_search_is_transformers_own_without_padding(name):
    """Of one sentence at a time, as in a loop over a file."""
    tokenizer = metaspace() if name == "sentencepiece" else byte_level()
    made = other_models(tokenizer)
    model = made.get(name) or llama(tokenizer, seed=5)  # one that ends its answers
    # a model whose settings would change the answers, were they not all given
    model.generation_config.repetition_penalty = 1.3
    requests = [Request(p, None, n) for p in prompts(12) for n in (5, 20)]
    outputs = run_requests(model, tokenizer, requests, beams=4, max_tokens_per_batch=1200)
    stops = [tokenizer.eos_token_id, *newline_ids(tokenizer)]
    greedy = run_requests(model, tokenizer, requests)
    assert [o.text for o in greedy] != [o.text for o in outputs], "else nothing is tested"
    lengths = set()
    for request, output in zip(requests, outputs, strict=True):
        prompt = prompt_ids(tokenizer, request.prompt)
        found = model.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            max_new_tokens=request.max_new_tokens, num_beams=4, do_sample=False,
            early_stopping=True, repetition_penalty=1.0, eos_token_id=stops, pad_token_id=0,
            begin_suppress_tokens=blank_line_ids(tokenizer),
        )[0, len(prompt) :].tolist()  # fmt: skip
        stopped = found[-1] in stops
        text = tokenizer.decode(found, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert output.text == text.split("\n")[0].strip()
        assert (output.tokens, output.truncated) == (len(found) - stopped, not stopped)
        direct = direct_log_likelihood(model, prompt + found, len(prompt))
        assert output.log_likelihood == pytest.approx(direct, abs=1e-3)
        lengths.add(len(found))
    assert name == "alibi" or len(lengths) > 2


@pytest.mark.parametrize("own_loop", [True, False], ids=["shared", "plain"])
@pytest.mark.parametrize("limit", [60, 8192], ids=["small batches", "large batches"])
def test_targets_of_one_prompt_are_as_likely_as_each_alone(own_loop, limit, monkeypatch):
    tokenizer = byte_level()
    model = llama(tokenizer)
    options = ["abba", "bad dad", "a bee: beef. ef", "c"]
    asked = [Request(p, t, 1) for p in prompts(9) for t in options[: 2 + len(p) % 3]]
    if not own_loop:
        monkeypatch.setattr(
            "mtray.evaluation.inference.likelihood.supports_own_loop", lambda model: False
        )
    seen = []
    forward = type(model).forward

    def count(self, input_ids=None, **inputs):
        seen.append(input_ids.numel())
        return forward(self, input_ids, **inputs)

    count.__signature__ = inspect.signature(forward)
    monkeypatch.setattr(type(model), "forward", count)
    outputs = run_requests(model, tokenizer, asked, max_tokens_per_batch=limit)
    computed = sum(seen)
    for request, output in zip(asked, outputs, strict=True):
        ids, start = continuation_ids(tokenizer, request.prompt, request.target, with_end=False)
        assert output.log_likelihood == pytest.approx(
            direct_log_likelihood(model, ids, start), abs=1e-3
        )
        assert (output.text, output.tokens) == (request.target, len(ids) - start)
    whole = sum(
        len(continuation_ids(tokenizer, r.prompt, r.target, with_end=False)[0]) for r in asked
    )
    if limit > 60:
        assert (computed < 0.75 * whole) == own_loop


def test_only_targets_with_much_in_common_share():
    many = [(i, [5, 6, 7, 8, 20 + i], 4) for i in range(3)]  # 15 tokens plainly, 7 shared
    two = [(i, [5, *range(30 + i, 40 + i)], 1) for i in (3, 4)]  # 22 plainly, 21 shared
    alone = [(5, [9, 9, 9], 2)]
    shared, rest = grouped([*many, *two, *alone])
    assert shared == [Choices([5, 6, 7, 8], [(0, [20]), (1, [21]), (2, [22])])]
    assert rest == [*two, *alone]


def test_each_request_has_its_own_limit():
    tokenizer = byte_level()
    model = llama(tokenizer)
    requests = [Request(p, None, n) for p in prompts(6) for n in (1, 7, 24)]
    outputs = run_requests(model, tokenizer, requests)
    for request, output in zip(requests, outputs, strict=True):
        assert output.tokens <= request.max_new_tokens
    for short, long in zip(outputs[::3], outputs[2::3], strict=True):
        assert long.text.startswith(short.text)


@pytest.mark.parametrize("make", TOKENIZERS.values(), ids=TOKENIZERS)
def test_log_likelihoods_are_those_computed_directly(make):
    tokenizer = make()
    model = llama(tokenizer)
    requests = [Request(p, "abba cab", 1) for p in prompts(12)]
    requests += [Request("", p[:n], 1) for n, p in enumerate(prompts(12), 9)]
    outputs = run_requests(model, tokenizer, requests, max_tokens_per_batch=200)
    for request, output in zip(requests, outputs, strict=True):
        ids, start = continuation_ids(tokenizer, request.prompt, request.target, with_end=False)
        if start == 0:  # no begin token: the end token stands before the text
            ids, start = [tokenizer.eos_token_id, *ids], 1
        assert output.tokens == len(ids) - start
        assert output.text == request.target
        assert output.log_likelihood == pytest.approx(
            direct_log_likelihood(model, ids, start), abs=1e-3
        )


def test_order_and_batches_and_repetition_change_nothing():
    tokenizer = byte_level()
    model = llama(tokenizer)
    requests = [Request(p, t, 16) for p in prompts(15) for t in (None, "bad dad")]
    expected = dict(zip(requests, run_requests(model, tokenizer, requests), strict=True))
    shuffled = requests + requests[:10]
    random.Random(1).shuffle(shuffled)
    found = run_requests(model, tokenizer, shuffled, max_tokens_per_batch=70)
    for request, output in zip(shuffled, found, strict=True):
        assert output.text == expected[request].text
        assert output.log_likelihood == pytest.approx(expected[request].log_likelihood, abs=1e-3)


def test_progress_counts_identical_requests_once_and_training_mode_is_kept():
    tokenizer = byte_level()
    model = llama(tokenizer).train()
    seen = []
    requests = [Request(p, None, 4) for p in prompts(5)] * 2
    run_requests(
        model, tokenizer, requests, progress=lambda done, total: seen.append((done, total))
    )
    count = len(set(requests))
    assert seen[-1] == (count, count)
    assert model.training


@pytest.mark.parametrize("world", [2, 3])
def test_several_workers_answer_as_one(world):
    """Bit for bit where there are batches enough to share out."""
    tokenizer = byte_level()
    model = llama(tokenizer)
    requests = [Request(p, t, 16) for p in prompts(40) for t in (None, "bad dad", "cab")]
    for limit, same_batches in ((70, True), (100_000, False)):
        expected = run_requests(model, tokenizer, requests, max_tokens_per_batch=limit)
        settings, counts = Settings(model, tokenizer, limit), {}
        parts = [
            answer_part(
                settings, requests, (rank, world),
                progress=lambda *told, rank=rank, into=counts: into.update({rank: told}),
            )
            for rank in range(world)
        ]  # fmt: skip
        assert len(set().union(*parts)) == sum(map(len, parts)), "nothing is answered twice"
        assert min(map(len, parts)) > 0.4 * len(set(requests)) / world
        assert {of for _, of in counts.values()} == {len(set(requests))}
        assert [done for done, _ in counts.values()] == [len(part) for part in parts]
        found = joined(requests, parts)
        assert [o.text for o in found] == [o.text for o in expected]
        assert (found == expected) or not same_batches
        with pytest.raises(EvaluationError, match="answered by no worker"):
            joined(requests, parts[1:])


def test_no_requests_no_outputs():
    tokenizer = byte_level()
    assert run_requests(llama(tokenizer), tokenizer, []) == []


def test_stops_when_asked():
    tokenizer = byte_level()
    requests = [Request(p, None, 4) for p in prompts(5)]
    with pytest.raises(TrialStopped):
        run_requests(llama(tokenizer), tokenizer, requests, should_stop=lambda: True)


@pytest.mark.parametrize("request_", [Request("a", None, 2), Request("a", "bad", 2)])
def test_a_model_that_is_not_finite_has_no_outputs(request_):
    tokenizer = byte_level()
    model = llama(tokenizer)
    torch.nn.init.constant_(model.lm_head.weight, float("nan"))
    with pytest.raises(EvaluationError, match="log-likelihood"):
        run_requests(model, tokenizer, [request_])


def test_a_request_longer_than_the_model_is_refused():
    tokenizer = byte_level()
    with pytest.raises(EvaluationError, match="longer than the model's 16"):
        run_requests(llama(tokenizer, context=16), tokenizer, [Request("a bad cab", None, 16)])


@pytest.mark.parametrize("make", TOKENIZERS.values(), ids=TOKENIZERS)
def test_a_prompt_begins_once_and_is_a_prefix_of_its_example(make):
    tokenizer = make()
    for prompt, target in [(p, "abba cab.") for p in prompts(10)] + [
        ("", "bad dad"),
        ("a ->", "a"),
    ]:
        head = prompt_ids(tokenizer, prompt)
        ids, start = continuation_ids(tokenizer, prompt, target)
        assert ids[:start] == head
        assert ids[-1] == tokenizer.eos_token_id
        assert ids.count(tokenizer.bos_token_id) == (tokenizer.bos_token_id is not None)
        if tokenizer.bos_token_id is not None:
            assert ids[0] == tokenizer.bos_token_id
        text = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert text == (f"{prompt} {target}" if prompt else target)


def test_a_target_has_one_space_where_a_token_straddles_its_start():
    """`b▁c` is one token here, so the whole text's ids do not begin with the prompt's."""
    from tokenizers import Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {t: i for i, t in enumerate(["<unk>", "</s>", "▁", "a", "b", "c", "▁c", "b▁c"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("▁", "c"), ("b", "▁c")], unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>"
    )
    ids, start = continuation_ids(wrapped, "ab", "c", with_end=False)
    assert wrapped.convert_ids_to_tokens(ids) == ["▁", "a", "b", "▁c"]
    assert start == 3


def test_no_boundary_at_all_is_an_error(monkeypatch):
    tokenizer = byte_level()
    monkeypatch.setattr(
        "mtray.data.tokenization._encode", lambda t, texts: [[3 + len(x)] for x in texts]
    )
    with pytest.raises(DataError, match="boundary"):
        encode_examples(tokenizer, [("ab", "c")])


def test_answers_of_one_line_and_of_several():
    """Beside each other; those of several lines end at the end token alone."""
    tokenizer = byte_level()
    model = llama(tokenizer)
    several = [Request(p, None, 24, one_line=False) for p in prompts(40)]
    lines = [Request(p, None, 24) for p in prompts(40)]
    found = run_requests(model, tokenizer, several + lines, max_tokens_per_batch=600)
    longer = 0
    for request, whole, line in zip(several, found[:40], found[40:], strict=True):
        ids = by_transformers(model, tokenizer, request.prompt, 24, [tokenizer.eos_token_id])
        text = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert whole.text == text.strip()
        assert whole.tokens >= line.tokens
        longer += "\n" in whole.text
    assert longer
