"""What people bring as a model's folder: used, with a note where something of it is not, or refused
by `check` with what to do: the rows of `model_folders.FOLDERS`."""

import json
import re
import shutil
from collections import Counter
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
from model_folders import (
    FOLDERS,
    QWEN,
    R1,
    SILENT,
    WEIGHTS,
    adapter_config_left_over,
    saved,
    settings,
    without_last_embeddings,
)  # fmt: skip
from records_factory import make_study
from safetensors.torch import load_file
from tiny_models import byte_level

from mtray.data.chat import chat_form, chat_prompt
from mtray.data.special_token_notes import special_token_notes
from mtray.data.special_tokens import count_in, special_token_line, special_token_pattern
from mtray.data.store import build_store, build_table
from mtray.data.tokenization import encode_examples
from mtray.errors import MtrayError
from mtray.evaluation.inference.engine import run_requests
from mtray.evaluation.inference.requests import Request
from mtray.model_paths import resolve_model
from mtray.schema import Evaluation, QualitySet, Source
from mtray.training.base_model import copied
from mtray.training.export import save_model
from mtray.training.model_checks import check_looked_up, check_model_fits
from mtray.training.models import load_model, load_tokenizer


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    saved(folder)
    return folder


def made(whole, tmp_path, change):
    folder = shutil.copytree(whole, tmp_path / "model")
    change(folder)
    return folder


@pytest.mark.parametrize("kind", FOLDERS)
def test_what_people_bring(whole, tmp_path, kind):
    row = FOLDERS[kind]
    folder = made(whole, tmp_path, row.change)
    study = make_study(model=str(folder), **row.study)
    if row.error:
        with pytest.raises(MtrayError, match=row.error) as error:
            check_model_fits(study)
        assert str(folder) in str(error.value) and "\n" not in str(error.value)
        return
    notes = check_model_fits(study)
    assert len(notes) == bool(row.note)
    assert all(re.search(row.note, note) for note in notes)
    model, tokenizer = load_model(str(folder)), load_tokenizer(str(folder))
    ((ids, _),) = encode_examples(tokenizer, [("a bad", "cab")])
    assert model(torch.tensor([ids])).logits.isfinite().all()


def test_the_whole_weights_beside_a_left_over_adapter_config(whole, tmp_path):
    """transformers would load `owner/base` from the hub instead."""
    folder = made(whole, tmp_path, adapter_config_left_over)
    got, expected = load_model(str(folder)).state_dict(), load_file(whole / WEIGHTS)
    assert all(torch.equal(got[name].cpu(), expected[name]) for name in expected)


def answers(model, tokenizer, beams):
    asked = [Request(text, None, 8) for text in ("a bad cab", "dad", "fed a bee: beef. ef")]
    return run_requests(model, tokenizer, asked, beams=beams)


STEERING = {
    "repetition_penalty": 5.0, "min_new_tokens": 8, "no_repeat_ngram_size": 1, "temperature": 0.1,
    "do_sample": True, "suppress_tokens": list(range(5, 30)), "forced_eos_token_id": 4,
    "bad_words_ids": [[31], [32]], "exponential_decay_length_penalty": [1, 9.0],
    "length_penalty": -5.0, "num_return_sequences": 1, "renormalize_logits": True,
}  # fmt: skip


@pytest.mark.parametrize("beams", [1, 3])
def test_settings_of_a_folder_do_not_steer_evaluation(whole, tmp_path, beams):
    folder = made(whole, tmp_path, settings(**STEERING))
    tokenizer = load_tokenizer(str(whole))
    expected = answers(load_model(str(whole)), tokenizer, beams)
    assert answers(load_model(str(folder)), tokenizer, beams) == expected
    if beams == 1:
        return
    # transformers' own reading of the same folder: the test above can fail
    from transformers import AutoModelForCausalLM

    steered = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa")
    assert answers(steered, tokenizer, beams) != expected


def in_config(folder):
    """As models of before 2023 have them."""
    (folder / "generation_config.json").unlink()
    file = folder / "config.json"
    held = {"temperature": 0.5, "length_penalty": 2.0, "num_beams": 1}
    file.write_text(json.dumps(json.loads(file.read_text()) | held))


INVALID = {
    "generation_config.json": (settings(temperature=0.6, do_sample=False), {"temperature": 0.6}),
    "config.json": (in_config, {"temperature": 0.5, "length_penalty": 2.0}),
}


@pytest.mark.parametrize("where", INVALID)
def test_settings_that_transformers_refuses_to_write_are_exported(whole, tmp_path, where):
    change, expected = INVALID[where]
    folder = made(whole, tmp_path, change)
    model = copied(load_model(str(folder)).cpu())
    assert save_model(model, load_tokenizer(str(folder)), tmp_path / "out", False) == "model"
    written = json.loads((tmp_path / "out" / "generation_config.json").read_text())
    assert expected.items() <= written.items()
    again = load_model(str(tmp_path / "out")).state_dict()
    assert all(torch.equal(again[name].cpu(), w) for name, w in model.state_dict().items())


@pytest.mark.parametrize("beams", [1, 2])
def test_a_pad_token_without_an_embedding_is_never_looked_up(whole, tmp_path, beams):
    folder = made(whole, tmp_path, without_last_embeddings("pad"))
    model, tokenizer = load_model(str(folder)), load_tokenizer(str(folder))
    assert tokenizer.pad_token_id >= model.config.vocab_size
    expected = answers(model, byte_level(pad=False), beams)
    assert answers(model, tokenizer, beams) == expected


def test_a_text_that_spells_a_token_without_an_embedding(whole, tmp_path):
    folder = made(whole, tmp_path, without_last_embeddings("pad"))
    study, tokenizer = make_study(model=str(folder)), load_tokenizer(str(folder))
    fine, spelt = (build_table([("a", t)], tokenizer, 64) for t in ("bad cab", "bad [PAD] cab"))
    check_looked_up(study, tokenizer, {"p": fine}, ["a cab"])
    with pytest.raises(MtrayError, match=r"source 'p' has a text with '\[PAD\]'"):
        check_looked_up(study, tokenizer, {"p": spelt}, ["a cab"])
    with pytest.raises(MtrayError, match=r"the evaluation has a text with '\[PAD\]'"):
        check_looked_up(study, tokenizer, {"p": fine}, ["a [PAD] cab"])


def test_thoughts_are_closed_in_prompts_alone():
    """Worked out by hand from the two templates."""
    tokenizer = byte_level()
    tokenizer.chat_template = QWEN
    begin, empty = "<|im_start|>", "<think>\n\n</think>\n\n"
    assert chat_prompt(tokenizer, "q", [("a", "b")]) == (
        f"{begin}user\na<|im_end|>\n{begin}assistant\nb<|im_end|>\n"
        f"{begin}user\nq<|im_end|>\n{begin}assistant\n{empty}"
    )
    tokenizer.chat_template = R1
    assert chat_prompt(tokenizer, "q", [("a", "b")]) == f"[U]a[A]b</s>[U]q[A]{empty}"
    form = chat_form(tokenizer)
    assert (form.turn, form.lead, form.tail) == (f"[A]{empty}", "", "</s>")
    # a word of a text or a key of a message switches nothing
    tokenizer.chat_template = SILENT.replace(
        "[assistant]", "{{ messages[0].thinking }}thinking [assistant]"
    )
    assert chat_form(tokenizer).thought == ""


ROWS = {  # texts of a row: which special tokens they hold
    ("a cab", "dad"): set(),
    ("a </s> cab </s>", "dad"): {"</s>"},
    ("<s>a", "</s>"): {"<s>", "</s>"},
    ("< /s>", "</S>"): set(),
    (None, ""): set(),
}


def test_special_tokens_in_texts_are_counted():
    pattern, counts = special_token_pattern(byte_level()), Counter()
    for texts, expected in ROWS.items():
        own = Counter()
        count_in(pattern, texts, own)
        assert own == Counter({f"special_tokens.{t}": 1 for t in expected}) + Counter(
            {"special_tokens": 1} if expected else {}
        )
        counts += own
    assert special_token_line(counts, "rows").startswith(
        "2 rows hold special tokens as text (</s> 2, <s> 1), which the tokenizer reads as such"
    )
    assert special_token_line(Counter(rows=3), "rows") is None


def test_special_tokens_of_a_study_are_noted(tmp_path, monkeypatch):
    monkeypatch.setenv("MTRAY_CACHE", str(tmp_path / "cache"))
    (tmp_path / "p.tsv").write_text("en\tuk\na cab\tbad\na </s> b\tdad\n")
    (tmp_path / "dev.tsv").write_text("en\tuk\na cab<s>\tbad\n<s> b\tdad\nc\td\n")
    source = Source(
        name="pairs", kind="parallel", path=str(tmp_path / "p.tsv"), languages=("en", "uk")
    )
    quality = QualitySet(direction="en-uk", path=str(tmp_path / "dev.tsv"))
    evaluation = Evaluation(comet="none", quality=(quality,), abilities={})
    study, tokenizer = make_study(sources=(source,), evaluation=evaluation), byte_level()
    said = []
    store = build_store(study, tokenizer, say=said.append)
    assert any("1 rows hold special tokens as text (</s> 1)" in line for line in said)
    source_note, evaluation_note = special_token_notes(study, tokenizer, store)
    assert source_note.startswith("source pairs: 1 rows hold special tokens as text (</s> 1)")
    assert evaluation_note.startswith("evaluation: 2 texts hold special tokens as text (<s> 2)")


LISTED = {
    "pickle": (["config.json", "pytorch_model.bin"], "pytorch_model.bin is a pickle"),
    "adapter": (["adapter_config.json", "adapter_model.safetensors"], "is an adapter"),
    "whole": (["config.json", "model.safetensors"], ""),
}


@pytest.mark.parametrize("kind", LISTED)
def test_what_the_hub_lists(kind, monkeypatch):
    files, error = LISTED[kind]
    found = SimpleNamespace(siblings=[SimpleNamespace(rfilename=name) for name in files])
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", lambda *_, **__: found)
    if not error:
        assert resolve_model("owner/model") == "owner/model"
        return
    with pytest.raises(MtrayError, match=error):
        resolve_model("owner/model")
