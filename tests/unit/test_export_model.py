"""A model's folder: it loads by transformers alone, says what it is, and is there whole or not."""

import pytest
import torch
from records_factory import make_record, make_study
from tiny_models import byte_level, llama, metaspace

from mtray.commands.model_usage import usage_lines
from mtray.errors import ConfigError
from mtray.evaluation.inference.engine import run_requests
from mtray.evaluation.inference.requests import Output, Request
from mtray.lineage import study_hash
from mtray.report.model_card import model_card
from mtray.schema import Recipe, Training
from mtray.training.export import check_empty, save_model, whole_folder

IDS = torch.tensor([[5, 6, 7, 8, 9, 10]])


@pytest.fixture(scope="module")
def tokenizer():
    return byte_level()


def logits(model):
    with torch.no_grad():
        return model.eval()(IDS).logits


def adapted(tokenizer):
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(r=4, target_modules=["q_proj", "up_proj"], init_lora_weights=False)
    torch.manual_seed(1)
    return peft.get_peft_model(llama(tokenizer), config)


def test_a_model_loads_by_transformers_alone(tokenizer, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = llama(tokenizer, seed=4)
    assert save_model(model, tokenizer, tmp_path, merge=False) == "model"
    names = {file.name for file in tmp_path.iterdir()}
    assert names >= {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"}
    assert not any(name.endswith((".bin", ".pt")) for name in names)
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert torch.equal(logits(again), logits(model))
    text = "a bad cab"
    assert AutoTokenizer.from_pretrained(tmp_path)(text) == tokenizer(text)


def test_an_adapter_alone_and_merged(tokenizer, tmp_path):
    from transformers import AutoModelForCausalLM

    model = adapted(tokenizer)
    expected, base = logits(model), logits(llama(tokenizer))
    assert not torch.allclose(expected, base, atol=1e-2)
    assert save_model(model, tokenizer, tmp_path / "adapter", merge=False) == "adapter"
    assert not (tmp_path / "adapter" / "model.safetensors").exists()
    peft = pytest.importorskip("peft")
    again = peft.PeftModel.from_pretrained(llama(tokenizer), tmp_path / "adapter")
    torch.testing.assert_close(logits(again), expected)
    assert save_model(model, tokenizer, tmp_path / "whole", merge=True) == "model"
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "whole")
    torch.testing.assert_close(logits(merged), expected, rtol=1e-4, atol=1e-4)


def test_a_folder_is_there_whole_or_not_at_all(tmp_path):
    out = tmp_path / "new" / "model"
    with pytest.raises(KeyError), whole_folder(out) as folder:
        (folder / "config.json").write_text("{}")
        raise KeyError
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == [] and not out.exists()
    out.mkdir()
    with whole_folder(out) as folder:
        assert folder.parent == out.parent
        (folder / "config.json").write_text("{}")
    assert [p.name for p in out.iterdir()] == ["config.json"]
    assert [p.name for p in out.parent.iterdir()] == ["model"]


def test_what_is_there_is_not_overwritten(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "model.safetensors").write_text("kept")
    with pytest.raises(ConfigError, match="full: not empty"):
        check_empty(tmp_path / "full")
    with pytest.raises(ConfigError, match="is a file"):
        check_empty(tmp_path / "full" / "model.safetensors")
    check_empty(tmp_path / "new" / "deep")


def test_the_card_says_what_it_is_and_what_it_scored():
    study = make_study(model="some/model")
    record = make_record(7, 0.61, 0.83, recipe=Recipe(parallel_size=2000, reversion_alpha=0.5))
    card = model_card(record, study, "my-run", "adapter", "It gives 3 of 4 ...")
    assert card.startswith("---\nbase_model: some/model\nlibrary_name: peft\n")
    assert "| `reversion_alpha` | 0.5 |" in card and "| `parallel_size` | 2000 |" in card
    assert "| `quality` | 0.610 [0.600, 0.620] |" in card
    assert study_hash(study) in card and "run `my-run`" in card and "It gives 3 of 4" in card
    assert "| parallel | 2,000 | not given |" in card
    assert "library_name: transformers" in model_card(record, study, "r", "model", "")
    assert study_hash(study) != study_hash(make_study(model="other"))


@pytest.mark.parametrize(
    ("tokenizer", "call"),
    [
        (byte_level(), "'<s>' + prompt, add_special_tokens=False"),
        (byte_level(bos=False), "tokenizer(prompt, return_tensors"),
        (metaspace(adds_bos=True), "tokenizer(prompt, return_tensors"),
        (metaspace(adds_bos=False), "'<s>' + prompt, add_special_tokens=False"),
    ],
    ids=["begin token by hand", "none", "its own begin token", "not its own"],
)
@pytest.mark.parametrize("one_line", [True, False])
def test_the_card_s_code_asks_as_the_trial_was_asked(
    tokenizer, call, one_line, tmp_path, monkeypatch, capsys
):
    model = llama(tokenizer, seed=4)
    save_model(model, tokenizer, tmp_path / "out", merge=False)
    request = Request("a bad cab ->", None, 12, one_line=one_line)
    usage = "\n".join(usage_lines(request, tokenizer, "model", "out"))
    assert call in usage
    monkeypatch.chdir(tmp_path)
    exec(usage.split("```python\n")[1].split("```")[0], {})
    assert capsys.readouterr().out.strip() == run_requests(model, tokenizer, [request])[0].text


def test_a_card_has_the_training_s_settings():
    training = Training(epochs=2, batch_examples=8, schedule="linear", warmup=0.1, max_steps=50)
    study = make_study(training=training)
    card = model_card(make_record(2), study, "r", "model", "", ["## Use", "", "ask", ""])
    assert "## Use\n\nask\n\n## Training\n" in card
    assert "Epochs 2, at most 50 steps; batches of 8 examples; AdamW with weight decay 0" in card
    assert "linear schedule after a warm-up over 10% of the steps" in card


def test_answers_are_compared_word_for_word():
    exports = pytest.importorskip("mtray.commands.export_model")
    before = [Output(text, None, 1) for text in ("a", "b", "c")]
    now = [Output(text, -1.0, 1) for text in ("a", "x", "c")]
    assert exports.agreement(before, now).startswith("It gives 2 of 3 of the trial's answers")
    assert exports.agreement([], []) == ""
