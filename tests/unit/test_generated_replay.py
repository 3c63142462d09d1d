"""Replay that the base model makes: generated once, kept, and read like any other source."""

import json
from functools import partial
from pathlib import Path

import pytest
from records_factory import make_study
from test_chat import chatting
from tiny_models import byte_level, llama

from mtray import generated_replay
from mtray.cli import main
from mtray.data.readers.sources import source_rows
from mtray.data.replay_files import StoredReplay, prompts_of
from mtray.data.training_prompts import build_renderer
from mtray.data.translation_prompts import PromptBuilder
from mtray.errors import ConfigError, DataError
from mtray.evaluation.inference.batching import Settings
from mtray.evaluation.inference.engine import run_requests
from mtray.evaluation.inference.nucleus_sampling import SampledText
from mtray.evaluation.inference.requests import Request
from mtray.paths import BASE_MODEL
from mtray.preparation import prepare
from mtray.schema import Generation, Recipe, Source
from mtray.search_space.space import Space
from mtray.training import models

PROMPTS = [
    "English: Good morning.\nSpanish:", "English: I am tired.\nUkrainian:",
    "Spanish: Estoy muy cansado.\nEnglish:",
]  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MTRAY_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def asked(tmp_path, prompts=PROMPTS, **keys):
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": p}) + "\n" for p in prompts))
    return Source(name="chat", kind="replay", path=str(path), replay="gr", **keys)


def study_of(source, **changes):
    return make_study(sources=(*make_study().sources, source), **changes)


def resolved(source, say=lambda _: None, force=False, **changes):
    return generated_replay.with_replay(study_of(source, **changes), say, force).sources[1]


def test_nothing_is_loaded_where_all_is_given():
    study = study_of(Source(name="r", kind="replay", path="r.jsonl"), model="no/such")
    assert generated_replay.with_replay(study) is study


def test_the_base_model_answers_once(tmp_path, monkeypatch, cache):
    told = []
    source = asked(tmp_path)
    given = resolved(source, told.append)
    rows = list(source_rows(given))
    tokenizer, model = models.load_tokenizer("embedded"), models.load_model("embedded")
    requests = [Request(p, None, 256, one_line=False) for p in PROMPTS]
    answers = [o.text for o in run_requests(model, tokenizer, requests)]
    assert {r["prompt"]: r["target"] for r in rows} == dict(zip(PROMPTS, answers, strict=True))
    assert all(answers) and "Good" not in answers[0]
    assert told[0].endswith("0 of 3 generated") or "3 of 3" in told[0]
    assert "generated, examples 3, cut_off 0, empty 0" in told[-1]
    assert given.path.startswith(str(cache / "replay"))
    assert list(build_renderer(given, make_study(), tokenizer).examples(rows)) == [
        (r["prompt"], r["target"]) for r in rows
    ]

    def fails(*_):
        raise AssertionError("the model is not needed")

    monkeypatch.setattr(models, "load_model", fails)
    assert resolved(source, told.append) == given and "kept, examples 3" in told[-1]
    assert resolved(source, seed=7) == given, "generated once, whatever is drawn of it"
    for other in (
        asked(tmp_path, generation=Generation(max_new_tokens=64)), asked(tmp_path, PROMPTS[:2]),
    ):  # fmt: skip
        with pytest.raises(AssertionError, match="not needed"):
            resolved(other)
    with pytest.raises(AssertionError, match="not needed"):
        resolved(asked(tmp_path), force=True)


@pytest.mark.parametrize("damage", ["cut", "other", "no manifest", "bad manifest"])
def test_what_is_damaged_is_made_again(tmp_path, damage):
    source = asked(tmp_path)
    given = resolved(source)
    kept = StoredReplay(generated_replay.inputs_of(source, study_of(source), prompts_of(source)))
    assert str(kept.path) == given.path and kept.manifest()["examples"] == 3
    whole = kept.path.read_bytes()
    if damage == "cut":
        kept.path.write_bytes(whole[:-5])
    elif damage == "other":
        kept.path.write_bytes(whole.replace(b"tired", b"weary"))
    elif damage == "no manifest":
        kept.manifest_path.unlink()
    else:
        kept.manifest_path.write_text("{")
    assert kept.manifest() is None
    assert resolved(source) == given and kept.path.read_bytes() == whole
    assert not [
        p for p in kept.path.parent.iterdir() if p.suffix not in (".json", ".jsonl", ".lock")
    ]


def test_answers_that_were_cut_off_are_left_out(tmp_path):
    told = []
    short = asked(tmp_path, generation=Generation(max_new_tokens=3))
    with pytest.raises(
        DataError, match=r"'chat': `replay: gr` generated no complete example \(.*cut_off 3"
    ):
        resolved(short, told.append)
    tokenizer = models.load_tokenizer("embedded")
    settings = Settings(models.load_model("embedded"), tokenizer)
    asking = [Request(p, None, 64) for p in PROMPTS]
    outputs = run_requests(settings.model, tokenizer, asking)
    lengths = {p: o.tokens for p, o in zip(PROMPTS, outputs, strict=True)}
    limit = sorted(lengths.values())[1] + 1  # a place for the end token
    made = generated_replay.answered(
        settings, PromptBuilder("labels"), PROMPTS, Generation(max_new_tokens=limit)
    )
    assert [p for p, _ in made.pairs] == [p for p in PROMPTS if lengths[p] < limit]
    assert made.counts["cut_off"] == sum(n >= limit for n in lengths.values())


def test_prompts_are_chosen_by_content(tmp_path):
    prompts = [f"prompt {i}" for i in range(50)]
    few = Generation(examples=8)
    chosen = prompts_of(asked(tmp_path, [*prompts, *prompts, " "], generation=few))
    assert len(set(chosen)) == 8 and set(chosen) <= set(prompts)
    assert prompts_of(asked(tmp_path, prompts[::-1], generation=few)) == chosen
    more = prompts_of(asked(tmp_path, prompts, generation=Generation(examples=20)))
    assert more[:8] == chosen
    assert sorted(prompts_of(asked(tmp_path, prompts))) == sorted(prompts)
    with pytest.raises(DataError, match="'chat': it has no prompt"):
        prompts_of(asked(tmp_path, [" "]))


def own(**keys):
    return Source(
        name="own", kind="replay", replay="self",
        generation=Generation(examples=12, max_new_tokens=60, **keys),
    )  # fmt: skip


def test_the_model_makes_up_texts_where_it_does_not_chat():
    told = []
    given = resolved(own(), told.append)
    texts = [f"{r['prompt']} {r['target']}" for r in source_rows(given)]
    assert 6 <= len(texts) <= 12 == int(told[-1].split("texts ")[1].split(",")[0])
    assert all(" " not in r["prompt"] for r in source_rows(given))
    # what the embedded model was pretrained on begins so, or is a sentence
    assert any(text.startswith(("English:", "Spanish:", "Ukrainian:")) for text in texts)
    assert [
        f"{r['prompt']} {r['target']}" for r in source_rows(resolved(own(), force=True))
    ] == texts
    cold = resolved(own(temperature=0.3))
    assert cold.path != given.path


def test_in_a_chat_the_model_writes_both_turns(monkeypatch):
    tokenizer = chatting()
    settings = Settings(llama(tokenizer), tokenizer)
    starts = []

    def made(settings, start, count, sampling, progress=None):
        starts.append(start)
        return [SampledText("a cab?", True), SampledText("dad", False), SampledText("bee?", True),
                SampledText("a cab?", True), SampledText("", True)]  # fmt: skip

    monkeypatch.setattr(generated_replay, "sample", made)
    asking = PromptBuilder("chat", tokenizer)
    found = generated_replay.made_up(settings, asking, own())
    assert starts == [tokenizer("<s>[user]\n", add_special_tokens=False)["input_ids"]]
    requests = [
        Request(f"<s>[user]\n{p}[end]\n[assistant]\n", None, 60, one_line=False)
        for p in ("a cab?", "bee?")
    ]
    outputs = run_requests(settings.model, tokenizer, requests)
    whole = [("a cab?", "bee?")[i] for i, o in enumerate(outputs) if o.text and not o.truncated]
    assert [p for p, _ in found.pairs] == whole
    counts = found.counts
    assert (counts["prompts"], counts["prompts_cut_off"], counts["prompts_twice"]) == (5, 1, 1)
    assert counts["examples"] + counts["cut_off"] + counts["empty"] == 2


def test_texts_become_pairs_that_give_the_texts_again():
    texts = ["English: Hi.\nSpanish: Hola.", "Word", "A b. C d", "Two words"]
    made = generated_replay._split([SampledText(texts[0], True), SampledText(texts[1], True),
                          SampledText(texts[2], False), SampledText(texts[3], False),
                          SampledText(texts[0], True)])  # fmt: skip
    assert made.pairs == [("English:", "Hi.\nSpanish: Hola."), ("A", "b.")]
    assert made.counts == {"examples": 2, "texts": 5, "cut_back": 2}


@pytest.mark.parametrize(
    ("text", "whole"),
    [("One. Two. Thr", "One. Two."), ("It is 3.5", ""), ("A line\nand ano", "A line"),
     ('He said "no." And', 'He said "no."'), ("One.", ""), ("", ""), ("Що? Так", "Що?")],
)  # fmt: skip
def test_a_text_that_was_cut_off_ends_with_its_last_whole_sentence(text, whole):
    assert generated_replay.whole_sentences(text) == whole


def test_a_model_is_known_by_its_files(tmp_path):
    identity = generated_replay.model_identity("embedded")
    assert identity == generated_replay.model_identity(str(BASE_MODEL))
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in BASE_MODEL.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    assert generated_replay.model_identity(str(copy)) == identity, "wherever it lies"
    (copy / "config.json").write_text((copy / "config.json").read_text() + "\n")
    assert generated_replay.model_identity(str(copy)) != identity


def test_a_source_that_was_not_generated_is_refused(tmp_path):
    with pytest.raises(
        ConfigError, match=r"'own': its replay is not generated yet; run .*generate"
    ):
        build_renderer(own(), make_study(), byte_level())


def test_a_cache_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MTRAY_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"replay cannot be stored .*MTRAY_CACHE"):
        resolved(asked(tmp_path))


def test_of_two_processes_one_generates(tmp_path):
    import threading

    source, told = asked(tmp_path), []
    threads = [threading.Thread(target=partial(resolved, source, told.append)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ends = sorted(line.split(": ")[1].split(",")[0] for line in told if "(" in line)
    assert ends == ["generated", "kept"]


def test_the_command_says_where_it_is_kept(tmp_path, capsys):
    (tmp_path / "dev.tsv").write_text("en\tuk\na\tb\n")
    (tmp_path / "prompts.jsonl").write_text(json.dumps({"prompt": PROMPTS[0]}) + "\n")
    study = tmp_path / "study.yaml"
    text = """
name: tiny
sources:
  - {name: pairs, kind: parallel, languages: [en, uk], path: dev.tsv}
  - {name: chat, kind: replay, path: prompts.jsonl, replay: gr}
evaluation: {comet: none, quality: [{direction: en-uk, path: dev.tsv}], abilities: {}}
"""
    study.write_text(text)
    assert main(["data", "generate", str(study)]) == 0
    out, err = capsys.readouterr()
    name, path = out.strip().split("\t")
    assert name == "chat" and json.loads(Path(path).read_text())["prompt"] == PROMPTS[0]
    assert "generated, examples 1" in err
    assert main(["data", "generate", str(study)]) == 0
    assert "kept, examples 1" in capsys.readouterr().err
    study.write_text(text.replace(", replay: gr", ""))
    assert main(["data", "generate", str(study)]) == 2
    assert "no source has `replay: gr`" in capsys.readouterr().err


def test_too_few_to_generate_are_told_before_any_is(monkeypatch):
    source = Source(name="own", kind="replay", replay="self", generation=Generation(examples=30))
    study = study_of(source)
    largest = Recipe(parallel_size=120, replay_fraction=0.2)
    generated_replay.check_generated(study, [largest])
    more = Recipe(parallel_size=121, replay_fraction=0.21)
    with pytest.raises(ConfigError, match=r"'own'.*`generation.examples` is 30.*asks for 32"):
        generated_replay.check_generated(study, [largest, more])
    monkeypatch.setattr(models, "load_model", lambda *_: pytest.fail("it was to be told before"))
    monkeypatch.setattr("mtray.evaluation.suite.build_suite", lambda *_: None)
    monkeypatch.setattr("mtray.evaluation.score_names.check_measured", lambda *_: None)
    space = Space(parameters={}, fixed={"parallel_size": 121, "replay_fraction": 0.21})
    with pytest.raises(ConfigError, match=r"`generation\.examples`"):
        prepare(study, space)
    repeating = study.training.model_copy(update={"allow_repeats": True})
    generated_replay.check_generated(study.model_copy(update={"training": repeating}), [more])


@pytest.mark.parametrize("cap, expected", [(50.0, "with attn_logit_softcapping 50"), (None, None)])
def test_what_was_generated_without_the_soft_cap_is_not_used(tmp_path, monkeypatch, cap, expected):
    """Models without one keep their key, and with it what was generated before."""
    from transformers import Gemma2Config

    config = Gemma2Config(attn_logit_softcapping=cap)
    monkeypatch.setattr(models, "load_config", lambda *_: config)
    source = asked(tmp_path)
    assert (
        generated_replay.inputs_of(source, study_of(source), PROMPTS).get("attention") == expected
    )
