"""Every family trains and answers with the scores of transformers' plain attention (eager),
whichever transformers chooses."""

import json
import re
from contextlib import nullcontext

import pytest
import torch
from attention_families import (
    CAP,
    FAMILIES,
    TOKENIZER,
    attention_used,
    auto_class,
    choose_sdpa,
    made,
)
from records_factory import make_study
from tiny_models import examples_of

from mtray.compat.transformers import MARK
from mtray.data.encoder_decoder import is_encoder_decoder
from mtray.data.tokenization import encode_examples, prompt_ids
from mtray.errors import ConfigError
from mtray.evaluation.inference.engine import run_requests
from mtray.evaluation.inference.generation import blank_line_ids, newline_ids
from mtray.evaluation.inference.requests import Request
from mtray.schema import Recipe, Training
from mtray.search_space.space import Space
from mtray.training import attention
from mtray.training.engine import TorchEngine
from mtray.training.losses import form_for, loss_of
from mtray.training.model_checks import check_model_fits
from mtray.training.models import empty_model, load_model
from mtray.training.packing import packed_attention
from mtray.training.recipe_checks import check_recipes
from mtray.trial.base_model import load_base_model

# of several lengths, so that most are padded; all but one longer than the window
PROMPTS = [f"English: {'a bad cab ' * n}dad\nSpanish:" for n in (1, 4, 2, 7)] + ["a"]
NEW = 12
EXAMPLES = examples_of(TOKENIZER, [(p, "abba bee") for p in PROMPTS] + [("", "bad dad fed")])
DECODERS = [name for name, family in FAMILIES.items() if not family.config.is_encoder_decoder]
CAPPED = [name for name, family in FAMILIES.items() if family.left_out == CAP]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Every family, saved as people bring it."""
    found = {}
    for name, family in FAMILIES.items():
        found[name] = tmp_path_factory.mktemp("model")
        made(family).save_pretrained(found[name])
        TOKENIZER.save_pretrained(found[name])
    return found


@pytest.fixture(params=["own choice", "sdpa chosen"])
def chosen(request, monkeypatch):
    if request.param == "sdpa chosen":
        choose_sdpa(monkeypatch)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_attention_is_one_that_leaves_nothing_out(name, folders):
    family, path = FAMILIES[name], str(folders[name])
    model, empty = load_model(path), empty_model(path)
    for got in (model, empty):
        assert attention.attention_of(got.config) == attention_used(family)
        assert bool(attention.attention_note(got)) == (name in CAPPED)
    assert_as_eager(model, family)


def assert_as_eager(model, family):
    wanted, (given, *_) = made(family, "eager"), attention._inputs(model)
    with torch.no_grad():
        got, expected = model(**given).logits, wanted(**given).logits
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("name", CAPPED)
def test_a_known_setting_needs_no_comparison(name, chosen):
    model = made(FAMILIES[name])
    attention.honour_settings(model)
    assert attention.attention_of(model.config) == "eager"
    assert attention.attention_note(model) == f"eager, since sdpa leaves out {CAP}"
    assert_as_eager(model, FAMILIES[name])


@pytest.mark.parametrize("name", FAMILIES)
def test_a_comparison_alone_finds_what_is_left_out(name, monkeypatch):
    """Whatever the setting's name is. torch's attention refuses the soft cap in transformers 5."""
    monkeypatch.setattr(attention, "LEFT_OUT", ())
    choose_sdpa(monkeypatch)
    model, left_out = made(FAMILIES[name]), bool(FAMILIES[name].left_out)
    assert attention.attention_of(model.config) == "sdpa"
    attention.honour_settings(model)
    attention.compare_with_eager(model)
    assert attention.attention_of(model.config) == ("eager" if left_out else "sdpa")
    note = attention.attention_note(model)
    found = re.match("eager, since sdpa (gives other scores|fails: .*softcap)", note)
    assert bool(found) == left_out and bool(note) == left_out
    assert_as_eager(model, FAMILIES[name])


def eager_greedy(model, prompt):
    """Without cache and padding, one answer at a time; and its log-likelihood."""
    stops = {TOKENIZER.eos_token_id, *newline_ids(TOKENIZER)}
    ids, new, total = prompt_ids(TOKENIZER, prompt), [], 0.0
    while len(new) < NEW and not stops & set(new):
        scores = model(torch.tensor([[*ids, *new]])).logits[0, -1]
        allowed = scores.clone()
        allowed[[] if new else blank_line_ids(TOKENIZER)] = -torch.inf
        new.append(int(allowed.argmax()))
        total += float(scores.log_softmax(0)[new[-1]])
    return TOKENIZER.decode([*new], skip_special_tokens=True).split("\n")[0].strip(), total


@pytest.mark.parametrize("name", DECODERS)
@torch.no_grad()
def test_answers_are_those_of_eager(name, folders):
    """Padded on the left, and from the cache."""
    outputs = run_requests(
        load_model(str(folders[name])), TOKENIZER, [Request(p, None, NEW) for p in PROMPTS]
    )
    eager = made(FAMILIES[name], "eager")
    for prompt, output in zip(PROMPTS, outputs, strict=True):
        text, total = eager_greedy(eager, prompt)
        assert output.text == text
        assert output.log_likelihood == pytest.approx(total, abs=1e-3)


@pytest.mark.parametrize("name", DECODERS)
@torch.no_grad()
def test_likelihoods_are_those_of_eager(name, folders):
    """Targets that share a prompt, and others that do not."""
    asked = [(p, t) for p in PROMPTS for t in ("abba", "bee bad", "cab dad fed")]
    found = run_requests(
        load_model(str(folders[name])), TOKENIZER, [Request(p, t, 0) for p, t in asked]
    )
    eager = made(FAMILIES[name], "eager")
    encoded = encode_examples(TOKENIZER, asked, with_end=False)
    for output, (ids, start) in zip(found, encoded, strict=True):
        scores = eager(torch.tensor([ids])).logits[0].log_softmax(-1)
        total = sum(float(scores[i - 1, ids[i]]) for i in range(start, len(ids)))
        assert output.log_likelihood == pytest.approx(total, abs=1e-3)


def loss_and_gradients(model, form):
    engine = TorchEngine(model, Training(), "fp32")
    with packed_attention(model) if form == "packed" else nullcontext():
        loss = loss_of(engine, EXAMPLES, form)
        loss.backward()
    return float(loss.detach()), {n: p.grad for n, p in model.named_parameters()}


@pytest.mark.parametrize("name", FAMILIES)
def test_training_is_that_of_eager(name, folders):
    """Packed where the attention is torch's own."""
    model = load_model(str(folders[name]))
    form = form_for(model, EXAMPLES, Training())
    assert (form == "packed") == (attention_used(FAMILIES[name]) == "sdpa")
    found, gradients = loss_and_gradients(model, form)
    padded = "pairs" if is_encoder_decoder(model) else "padded"
    expected, wanted = loss_and_gradients(made(FAMILIES[name], "eager"), padded)
    assert found == pytest.approx(expected, rel=1e-5)
    for key, gradient in gradients.items():
        if gradient is not None:  # of experts that no token chose
            torch.testing.assert_close(gradient, wanted[key], rtol=2e-3, atol=2e-3, msg=key)


@pytest.mark.parametrize("packing", ["auto", "on"])
@pytest.mark.parametrize("name", CAPPED)
def test_check_says_so_and_the_record_too(name, packing, folders, chosen):
    study = make_study(model=str(folders[name]), training={"packing": packing})
    why = f"eager, since sdpa leaves out {CAP}"
    notes = check_model_fits(study)
    assert notes == [f"the model's attention is {why}; its micro-batches are not packed"]
    assert load_base_model(study, Recipe(parallel_size=0), 1).notes == {"attention": why}


def test_a_class_without_sdpa_is_said_not_to_be_packed(folders):
    study = make_study(model=str(folders["gpt-oss, sinks"]))
    why = "its attention is eager, not torch's own (sdpa)"
    assert check_model_fits(study) == [f"the model's micro-batches are padded, not packed: {why}"]
    assert load_base_model(study, Recipe(parallel_size=0), 1).notes == {}


@pytest.mark.parametrize("name", [*CAPPED, "gpt-oss, sinks"])
def test_packing_is_refused_with_eager(name, folders):
    study = make_study(model=str(folders[name]), training={"packing": "on"})
    with pytest.raises(ConfigError, match=r"packing is on, but .* cannot use packed rows"):
        check_recipes(study, Space(parameters={}, fixed={"parallel_size": 10}))


def test_nothing_is_said_of_others(folders):
    study = make_study(model=str(folders["llama"]))
    assert check_model_fits(study) == []
    assert load_base_model(study, Recipe(parallel_size=0), 1).notes == {}


@pytest.mark.parametrize("name", CAPPED)
def test_an_exported_model_leaves_the_choice_to_others(name, folders, tmp_path, chosen):
    """Its config is the one that transformers alone would write."""
    ours, plain = tmp_path / "ours", tmp_path / "plain"
    load_model(str(folders[name])).save_pretrained(ours)
    kind = auto_class(FAMILIES[name])
    kind.from_pretrained(folders[name], dtype=torch.float32).save_pretrained(plain)
    saved = (ours / "config.json").read_text()
    assert "attn_impl" not in saved and MARK not in saved
    assert json.loads(saved) == json.loads((plain / "config.json").read_text())


def test_a_model_without_the_other_attention_is_left_as_it_is():
    class Own(type(made(FAMILIES["llama"]))):
        def forward(self, *args, **inputs):
            if attention.attention_of(self.config) == "eager":
                raise NotImplementedError
            return super().forward(*args, **inputs)

    model = Own(made(FAMILIES["llama"]).config).train()
    attention.compare_with_eager(model)
    assert attention.attention_of(model.config) == "sdpa" and model.training
    assert attention.attention_note(model) == ""


def test_one_whose_attention_fails_computes_with_the_other():
    class Own(type(made(FAMILIES["llama"]))):
        def forward(self, *args, **inputs):
            if attention.attention_of(self.config) != "eager":
                raise ValueError("no such\nmask")
            return super().forward(*args, **inputs)

    model = Own(made(FAMILIES["llama"]).config).train()
    attention.compare_with_eager(model)
    assert attention.attention_of(model.config) == "eager" and model.training
    assert attention.attention_note(model) == "eager, since sdpa fails: no such mask"


def test_one_that_does_not_accept_the_rows_is_left_as_it_is():
    class Own(type(made(FAMILIES["llama"]))):
        def forward(self, *args, **inputs):
            raise TypeError

    model = Own(made(FAMILIES["llama"]).config)
    attention.compare_with_eager(model)
    assert attention.attention_of(model.config) == "sdpa"
    assert attention.attention_note(model) == ""


def test_scores_that_are_no_numbers_are_no_agreement():
    model = made(FAMILIES["llama"])
    torch.nn.init.constant_(model.lm_head.weight, float("nan"))
    attention.compare_with_eager(model)
    assert attention.attention_note(model) == (
        "eager, since sdpa gives other scores (by nan of the largest)"
    )
