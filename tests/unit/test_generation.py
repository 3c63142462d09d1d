"""How answers begin, and what a token of them costs."""

from dataclasses import replace
from functools import wraps

import pytest
import torch
from tiny_models import byte_level, llama
from torch.utils._python_dispatch import TorchDispatchMode

from mtray.data.tokenization import prompt_ids
from mtray.evaluation.inference.engine import run_requests
from mtray.evaluation.inference.generation import blank_line_ids
from mtray.evaluation.inference.requests import Request

PROMPTS = [
    f"English: {words}\nSpanish:" for words in ("a bad cab", "dad", "fed a bee", "abba", "a")
]


def beginning_with_a_line_end(tokenizer):
    """A model whose most likely token is a line's end, at every place."""
    model = llama(tokenizer)
    (newline,) = tokenizer("\n", add_special_tokens=False)["input_ids"]
    logits = model.forward

    @wraps(logits)  # with its signature, which names the argument of the cache
    def forward(*args, **options):
        found = logits(*args, **options)
        found.logits[..., newline] = found.logits.max() + 1
        return found

    model.forward = forward
    return model, newline


@pytest.mark.parametrize("beams", [1, 2])
@pytest.mark.parametrize("own", [True, False])
def test_no_answer_of_one_line_begins_with_its_end(own, beams, monkeypatch):
    tokenizer = byte_level()
    model, newline = beginning_with_a_line_end(tokenizer)
    assert blank_line_ids(tokenizer) == [newline]
    monkeypatch.setattr("mtray.evaluation.inference.generation.supports_own_loop", lambda _: own)
    asked = [Request(p, None, 8) for p in PROMPTS]
    found = run_requests(model, tokenizer, asked, beams=beams)
    literal = [replace(request, may_begin_empty=True) for request in asked]
    assert {o.text for o in run_requests(model, tokenizer, literal, beams=beams)} == {""}
    for request, output in zip(asked, found, strict=True):
        first = model(torch.tensor([prompt_ids(tokenizer, request.prompt)])).logits[0, -1]
        first[newline] = -torch.inf
        assert output.tokens == 1, "the second token is the line's end"
        if beams == 1:
            assert output.text == tokenizer.decode([int(first.argmax())]).strip()


class Casts(TorchDispatchMode):
    """Counts how often each weight of a model is copied to another number format."""

    def __init__(self, model):
        super().__init__()
        self.counts = {weight.data_ptr(): 0 for weight in model.parameters()}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if "_to_copy" in str(function) and args[0].data_ptr() in self.counts:
            self.counts[args[0].data_ptr()] += 1
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("training", [True, False])
def test_weights_are_cast_once(training):
    """Not at every generated token; frozen ones too, which stay frozen; the answers stay."""
    tokenizer = byte_level()
    model = llama(tokenizer)
    moving = list(model.parameters())[::2]
    for weight in moving:
        weight.requires_grad_(False)
    model.train(training)
    before = [w.requires_grad for w in model.parameters()]
    asked = [Request(p, None, 12) for p in PROMPTS] + [Request("a", "b", 1)]
    with Casts(model) as cast:
        found = run_requests(
            model, tokenizer, asked, autocast=torch.bfloat16, max_tokens_per_batch=60
        )
    matrices = [name for name, w in model.named_parameters() if w.dim() == 2]
    assert sum(cast.counts.values()) == len(matrices) - 1, "all but the embedding, which is read"
    assert max(cast.counts.values()) == 1
    assert [w.requires_grad for w in model.parameters()] == before
    model.eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert found == run_requests(model, tokenizer, asked, max_tokens_per_batch=60)
