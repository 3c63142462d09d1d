"""One loaded base model for many trials."""

import psutil
import pytest
import torch
from tiny_models import byte_level, llama, t5

from mtray.compat.transformers import checkpoint_activations
from mtray.paths import BASE_MODEL
from mtray.training import base_model
from mtray.training.base_model import BaseModels, copied

NAME = str(BASE_MODEL)


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def checkpoints(model):
    return any(getattr(part, "gradient_checkpointing", False) for part in model.modules())


def spoil(model):
    """What a trial may do to its model."""
    for parameter in model.parameters():
        parameter.data.add_(1.0)
        parameter.requires_grad_(False)
    model.config.use_cache = not model.config.use_cache
    model.register_forward_hook(lambda *_: pytest.fail("a hook of an earlier trial"))
    checkpoint_activations(model, reentrant=False)


def test_every_trial_gets_the_untouched_model():
    models = BaseModels(keep=True)
    first = models.model(NAME)
    expected, config = weights(first), first.config.to_dict()
    assert same(expected, weights(BaseModels().model(NAME))), "the same bits as from its files"
    ids = torch.tensor([[5, 6, 7]])
    logits = first(input_ids=ids).logits
    spoil(first)
    assert checkpoints(first)
    second = models.model(NAME)
    assert second is not first and same(expected, weights(second))
    assert all(p.requires_grad for p in second.parameters())
    assert second.config.to_dict() == config and not checkpoints(second)
    assert torch.equal(second(input_ids=ids).logits, logits)


def shared_names(model):
    """The groups of names that one parameter has."""
    names = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).append(name)
    return {tuple(group) for group in names.values() if len(group) > 1}


@pytest.mark.parametrize("make", [llama, t5])
def test_tied_weights_of_a_copy_are_tied_and_its_own(make):
    model = make(byte_level())
    if make is llama:
        model.config.tie_word_embeddings = True
        model.tie_weights()
    own = copied(model)
    assert shared_names(own) == shared_names(model) != set()
    theirs = {p.data_ptr() for p in (*model.parameters(), *model.buffers()) if p.numel()}
    assert not theirs & {p.data_ptr() for p in (*own.parameters(), *own.buffers())}


@pytest.mark.parametrize(
    "keep, workers, loads", [(True, 1, 1), (True, 3, 1), (True, 4, 2), (False, 1, 2)]
)
def test_a_model_is_read_once_where_there_is_room_to_keep_it(monkeypatch, keep, workers, loads):
    """Of a machine that holds ten of them three may be kept, one by each worker."""
    found, size = [], sum(4 * p.numel() for p in BaseModels().model(NAME).parameters())
    monkeypatch.setattr(base_model, "main_memory", lambda: 10 * size)
    load = base_model.load_model
    monkeypatch.setattr(base_model, "load_model", lambda *a: found.append(a) or load(*a))
    models = BaseModels(keep, workers)
    if loads == 1:
        models.read(NAME)
    assert models.model(NAME) is not models.model(NAME)
    assert len(found) == loads


@pytest.mark.parametrize("limit", [4096, None])
def test_the_memory_of_a_container_is_its_limit(monkeypatch, limit):
    monkeypatch.setattr(base_model, "memory_limit", lambda: limit)
    assert base_model.main_memory() == (limit or psutil.virtual_memory().total)


def test_nothing_is_read_ahead_that_is_not_kept(monkeypatch):
    monkeypatch.setattr(base_model, "load_model", lambda *_: pytest.fail("it is read"))
    BaseModels().read(NAME)


def test_quantized_weights_are_read_anew(monkeypatch):
    found = []
    monkeypatch.setattr(base_model, "load_model", lambda *a: found.append(a) or a)
    models = BaseModels(keep=True)
    assert models.model("m", False, True) == models.model("m", False, True) == ("m", False, True)
    assert len(found) == 2


def test_a_tokenizer_is_read_once_and_nobody_elses():
    models = BaseModels(keep=True)
    first = models.tokenizer(NAME)
    first.padding_side, first.model_max_length = "right", 3
    second = models.tokenizer(NAME)
    assert (second.padding_side, second.model_max_length) == ("left", 512)
    assert second("Hello.")["input_ids"] == BaseModels().tokenizer(NAME)("Hello.")["input_ids"]
