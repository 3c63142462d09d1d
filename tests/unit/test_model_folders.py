"""What people bring as a model's folder: used, with a note where something of it is not, or refused
by `check` with what to do. One row of `FOLDERS` for each kind."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
from records_factory import make_study
from safetensors.torch import load_file, save_file
from tiny_models import byte_level, llama, metaspace, other_models

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

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
ADAPTER = {"base_model_name_or_path": "owner/base", "peft_type": "LORA"}
QWEN = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
    "{% endif %}"
)
R1 = (
    "{% for m in messages %}{% if m['role'] == 'user' %}[U]{{ m['content'] }}{% else %}[A]"
    "{{ m['content'].split('</think>')[-1] }}</s>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}[A]<think>\n{% endif %}"
)
SILENT = (
    "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}[end]{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def saved(folder, model=None, tokenizer=None):
    tokenizer = tokenizer or byte_level()
    (model or llama(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def pointer(name):
    return lambda folder: (folder / name).write_text(POINTER)


def cut(folder):
    file = folder / WEIGHTS
    file.write_bytes(file.read_bytes()[:-1])


def in_shards(folder):
    """Two files with their index."""
    weights = load_file(folder / WEIGHTS)
    names = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    where = {key: names[i % 2] for i, key in enumerate(sorted(weights))}
    for name in names:
        held = {key: weights[key] for key in weights if where[key] == name}
        save_file(held, folder / name, {"format": "pt"})
    (folder / WEIGHTS).unlink()
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": where}))


def shards_without(*names):
    def damage(folder):
        in_shards(folder)
        for name in names:
            (folder / name).unlink()

    return damage


def index_without_map(folder):
    in_shards(folder)
    (folder / INDEX).write_text("{}")


def pickled(folder):
    (folder / WEIGHTS).rename(folder / "pytorch_model.bin")


def adapter_alone(folder):
    (folder / "adapter_config.json").write_text(json.dumps(ADAPTER))
    (folder / WEIGHTS).rename(folder / "adapter_model.safetensors")


def adapter_without_config(folder):
    adapter_alone(folder)
    (folder / "config.json").unlink()


def adapter_config_left_over(folder):
    (folder / "adapter_config.json").write_text(json.dumps(ADAPTER))


def adapter_beside_weights(folder):
    adapter_config_left_over(folder)
    shutil.copy(folder / WEIGHTS, folder / "adapter_model.safetensors")


def without_last_embeddings(tokens):
    """A model that was trained before so many of the tokenizer's tokens were added."""

    def damage(folder):
        tokenizer = byte_level(pad=False)
        model = llama(tokenizer)
        tokenizer.add_special_tokens({"pad_token": "[PAD]"} if tokens == "pad" else {})
        tokenizer.add_tokens(["cabbage"] if tokens == "word" else [])
        tokenizer.add_special_tokens({"eos_token": "[EOS]"} if tokens == "eos" else {})
        saved(folder, model, tokenizer)

    return damage


def of_kind(kind):
    return lambda folder: saved(folder, other_models(byte_level())[kind])


def short_llama(folder):
    saved(folder, llama(byte_level(), context=64))


def multimodal(folder):
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    text = {
        "vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
    }  # fmt: skip
    seen = {
        "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 3,
        "num_attention_heads": 2, "image_size": 28, "patch_size": 14,
    }  # fmt: skip
    config = Gemma3Config(text_config=text, vision_config=seen)
    saved(folder, Gemma3ForConditionalGeneration(config))


def text_part(folder):
    """As docs/howto/own-data.md says."""
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

    multimodal(folder)
    whole = AutoModelForImageTextToText.from_pretrained(folder)
    text = AutoModelForCausalLM.from_config(whole.config.text_config)
    text.model.load_state_dict(whole.model.language_model.state_dict())
    text.lm_head.load_state_dict(whole.lm_head.state_dict())
    shutil.rmtree(folder)
    saved(folder, text)


def settings(**keys):
    def change(folder):
        file = folder / "generation_config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | keys))

    return change


def chatting(template, make=byte_level):
    def change(folder):
        tokenizer = make()
        tokenizer.chat_template = template
        saved(folder, llama(tokenizer), tokenizer)

    return change


def sentencepiece(name, tokenizer_class, **keys):
    """A folder with nothing but a SentencePiece model as its tokenizer."""

    def change(folder):
        import sentencepiece

        corpus = folder / "corpus.txt"
        corpus.write_text("a bad cab\nabba dad\nfed a bee beef\n" * 9)
        sentencepiece.SentencePieceTrainer.train(
            input=str(corpus), model_prefix=str(folder / "sp"), vocab_size=16,
            pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2,
        )  # fmt: skip
        (folder / "sp.model").rename(folder / name)
        only_tokenizer(folder, name, tokenizer_class, **keys)

    return change


def word_pieces(folder):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "bad", "cab", "ab", "##ba"]
    (folder / "vocab.txt").write_text("\n".join(words))
    only_tokenizer(folder, "vocab.txt", "BertTokenizer", eos_token="[SEP]")


def only_tokenizer(folder, name, tokenizer_class, **keys):
    for file in ("tokenizer.json", "special_tokens_map.json", "sp.vocab", "corpus.txt"):
        (folder / file).unlink(missing_ok=True)
    config = {"tokenizer_class": tokenizer_class, **keys}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    assert (folder / name).is_file()


def text_in(name, text):
    return lambda folder: (folder / name).write_text(text)


@dataclass(frozen=True)
class Brought:
    """A kind of folder, made from a whole one, and what `check` does with it: the error, or the
    note, or nothing."""

    change: Callable[[Path], object]
    error: str = ""
    note: str = ""
    study: dict = field(default_factory=dict)


CUT = f"{WEIGHTS} is cut off"
CHAT = {"template": "chat"}
FOLDERS = {
    "whole": Brought(lambda folder: None),
    "weights are a pointer": Brought(pointer(WEIGHTS), f"{WEIGHTS} is a Git LFS pointer.*lfs pull"),
    "tokenizer is a pointer": Brought(
        pointer("tokenizer.json"), "tokenizer.json is a Git LFS pointer"
    ),
    "config is a pointer": Brought(pointer("config.json"), "config.json is a Git LFS pointer"),
    "config cut off": Brought(text_in("config.json", '{"a": 1,'), "config.json is no JSON"),
    "config of another kind": Brought(text_in("config.json", "[]"), "holds a list, not an object"),
    "weights cut off": Brought(cut, f"{CUT}: [0-9,]+ of [0-9,]+ bytes are there; copy or download"),
    "weights empty": Brought(text_in(WEIGHTS, ""), f"{CUT}: 0 bytes"),
    "weights of another kind": Brought(text_in(WEIGHTS, "<html>" * 9), f"{CUT}"),
    "header of another kind": Brought(
        text_in(WEIGHTS, "\2\0\0\0\0\0\0\0[]"), "is no safetensors file"
    ),
    "shards": Brought(in_shards),
    "shard missing": Brought(
        shards_without("model-00002-of-00002.safetensors"),
        r"1 of 2 files that .* lists are missing: model-00002-of-00002\.safetensors; copy or",
    ),
    "index missing": Brought(shards_without(INDEX), "is a shard, and .*index.json.* is missing"),
    "index empty": Brought(index_without_map, "has no `weight_map`"),
    "pickle": Brought(pickled, r"\(pytorch_model\.bin is a pickle and is not loaded; convert it"),
    "adapter": Brought(adapter_alone, "is an adapter of 'owner/base' .*merge_and_unload"),
    "adapter without config": Brought(adapter_without_config, "is an adapter of 'owner/base'"),
    "adapter beside weights": Brought(adapter_beside_weights, "whole weights and an adapter of"),
    "adapter config left over": Brought(
        adapter_config_left_over, note="adapter_config.json without an adapter, which is ignored"
    ),
    "pad token outside": Brought(
        without_last_embeddings("pad"), note=r"1 special tokens .* no embedding.*: \[PAD\] \(id"
    ),
    "word outside": Brought(
        without_last_embeddings("word"), "1 tokens .* no embedding, such as 'cabbage' .*resize"
    ),
    "end token outside": Brought(without_last_embeddings("eos"), r"such as '\[EOS\]'"),
    "learned positions": Brought(
        of_kind("learned positions"),
        "training.max_length is 300, and .* has positions for 256 tokens only; set .*256",
        study={"training": {"max_length": 300}},
    ),
    "learned positions, enough": Brought(
        of_kind("learned positions"), study={"training": {"max_length": 256}}
    ),
    "rotary positions": Brought(short_llama, study={"training": {"max_length": 300}}),
    "multimodal": Brought(multimodal, r"more than a text model .*text_config, vision_config"),
    "text part of a multimodal model": Brought(text_part),
    "settings that sample": Brought(
        settings(temperature=0.6, do_sample=True),
        note=r"generation_config.json \(do_sample, temperature\) does not affect evaluation",
    ),
    "switch for thoughts": Brought(
        chatting(QWEN), note=r"thoughts: they are off \(enable_thinking: false\)", study=CHAT
    ),
    "open thought": Brought(
        chatting(R1), note="opens one, which is closed at once, empty", study=CHAT
    ),
    "thoughts without chat": Brought(chatting(QWEN)),
    "template without begin token": Brought(
        chatting(SILENT, metaspace), note="puts <s> before texts and its chat template does not",
        study=CHAT,
    ),
    "spiece.model": Brought(sentencepiece("spiece.model", "T5Tokenizer", extra_ids=0)),
    "sentencepiece.bpe.model": Brought(sentencepiece("sentencepiece.bpe.model", "XGLMTokenizer")),
    "vocab.txt": Brought(word_pieces),
    "no tokenizer": Brought(
        lambda folder: (folder / "tokenizer.json").unlink(), "no tokenizer .*spiece.model"
    ),
}  # fmt: skip


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
    build_store(study, tokenizer, say=said.append)
    assert any("1 rows hold special tokens as text (</s> 1)" in line for line in said)
    source_note, evaluation_note = special_token_notes(study, tokenizer)
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
