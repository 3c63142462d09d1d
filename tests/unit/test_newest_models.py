"""Families that only transformers 5 has, with tiny random weights: checked, trained, evaluated,
exported, and read by plain transformers."""

import pytest
import torch
import transformers
from records_factory import make_study
from tiny_models import NEWEST, TEXTS, byte_level, examples_of, newest

from mtray.data.tokenization import continuation_ids, prompt_ids
from mtray.errors import ConfigError
from mtray.evaluation.inference.engine import run_requests
from mtray.evaluation.inference.requests import Request
from mtray.schema import Recipe, Training
from mtray.training.adapters import prepare
from mtray.training.engine import TorchEngine
from mtray.training.export import save_model
from mtray.training.freezing import transformer_blocks
from mtray.training.loop import Tuning, finetune
from mtray.training.model_checks import check_model_fits
from mtray.training.models import block_count, load_model, load_tokenizer
from mtray.training.packing import check_packing

pytestmark = pytest.mark.skipif(
    int(transformers.__version__.split(".")[0]) < 5, reason="transformers 4 has none of them"
)
# whose layers carry a state from token to token
RECURRENT = {"Qwen 3.5", "Qwen 3.5 MoE"}
PROMPTS = [prompt for prompt, _ in TEXTS if prompt]


def trained(model, tokenizer, method, packing="auto"):
    training = Training(batch_examples=8, epochs=40, schedule="constant", packing=packing)
    recipe = Recipe(parallel_size=1, method=method)
    engine, record = finetune(
        lambda m: TorchEngine(m, training, "fp32"),
        prepare(model, recipe, training, 1).model,
        examples_of(tokenizer, TEXTS * 8),
        Tuning(training, "fp32", 1e-2 if method == "lora" else 3e-3, seed=1),
    )
    return engine.module.eval(), record


def alone(model, ids, start):
    with torch.no_grad():
        scores = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return sum(float(scores[i - 1, ids[i]]) for i in range(start, len(ids)))


@pytest.mark.parametrize("method", ["full", "lora"])
@pytest.mark.parametrize("name", NEWEST)
def test_from_check_to_plain_transformers(name, method, tmp_path):
    tokenizer = byte_level()
    newest(name, tokenizer).save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    base = str(tmp_path / "base")
    notes = check_model_fits(make_study(model=base))
    assert len(notes) == (name in RECURRENT)
    assert all(note.startswith("the model's micro-batches are padded") for note in notes)
    model, tokenizer = load_model(base).cpu(), load_tokenizer(base)
    assert block_count(base) == len(transformer_blocks(model))

    model, record = trained(model, tokenizer, method)
    assert record.packed == (name not in RECURRENT)
    assert record.loss[-1][1] < 0.5 < record.loss[0][1]

    asked = [Request(p, None, 12) for p in PROMPTS]
    asked += [Request(p, t, 1) for p in PROMPTS for t in ("abba", "bad dad fed", "cab")]
    found = run_requests(model, tokenizer, asked)
    assert save_model(model, tokenizer, tmp_path / "out", merge=True) == "model"

    plain = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    split = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    for request, output in zip(asked, found, strict=True):
        if request.target is not None:
            ids, start = continuation_ids(split, request.prompt, request.target, with_end=False)
            assert output.log_likelihood == pytest.approx(alone(plain, ids, start), abs=2e-3)
            continue
        ids = torch.tensor([prompt_ids(split, request.prompt)])
        made = plain.generate(ids, max_new_tokens=12, do_sample=False)[0, ids.shape[1] :]
        text = split.decode(made, skip_special_tokens=True)
        assert output.text == text.split("\n")[0].strip()


@pytest.mark.parametrize("name", sorted(RECURRENT))
def test_packing_is_refused_where_a_state_would_pass_an_examples_end(name):
    with pytest.raises(ConfigError, match=r"packing is on, .* carry a state .*; allowed: auto"):
        check_packing(newest(name, byte_level()))


@pytest.mark.parametrize("name", sorted(set(NEWEST) - RECURRENT))
def test_packed_and_padded_rows_train_alike(name):
    tokenizer = byte_level()
    curves = [
        [loss for _, loss in trained(newest(name, tokenizer), tokenizer, "full", packing)[1].loss]
        for packing in ("on", "off")
    ]
    assert curves[0][:5] == pytest.approx(curves[1][:5], rel=1e-3)
