"""What we take of transformers beyond its interface is still there."""

import importlib.util
import json
import logging
import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
from attention_families import FAMILIES, choose_sdpa, made
from tiny_models import byte_level, llama, metaspace
from transformers import (
    FalconConfig,
    FalconForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
)

from mtray.compat.transformers import (
    CACHE_ARGUMENTS,
    MARK,
    MODEL_LOGGER,
    REGEX_WARNING,
    TOKENIZER_LOGGERS,
    attention_of,
    auto_tokenizer,
    cache_argument,
    checkpoint_activations,
    misplaced_settings,
    set_attention,
    takes_plain_cache,
    without_false_alarm,
    without_progress_bars,
)


@pytest.mark.parametrize("name", ["sdpa", "eager"])
def test_the_attention_that_was_set_is_read(name):
    model = llama(byte_level())
    model.set_attn_implementation(name)
    assert attention_of(model.config) == attention_of(model.config.get_text_config()) == name


def test_without_the_attribute_no_attention_is_known():
    assert attention_of(object()) == "" == attention_of(PretrainedConfig())


def attentions(model):
    parts = [part for part in model.modules() if isinstance(part, PreTrainedModel)]
    return {attention_of(part.config) for part in parts}


@pytest.mark.parametrize("name", ["t5gemma, soft cap", "gemma 3, window"])
def test_every_part_follows_each_time(name, monkeypatch):
    choose_sdpa(monkeypatch)
    model = made(FAMILIES[name])
    for attention in ("eager", "sdpa", "eager", "sdpa"):
        assert set_attention(model, attention)
        assert attentions(model) == {attention}
        assert MARK not in str(model.config.to_dict())


def test_a_model_without_a_choice_is_said_to_have_none(caplog):
    config = FalconConfig(**SMALL, num_attention_heads=2, bos_token_id=0, eos_token_id=1)
    model = FalconForCausalLM(config)
    assert attention_of(model.config) == "sdpa"
    assert set_attention(model, "eager") is False and set_attention(model, "sdpa") is True
    assert attentions(model) == {"sdpa"} and not caplog.records
    model.set_attn_implementation("eager")
    assert [r.name for r in caplog.records] == [MODEL_LOGGER], "else the warning is shown"


def test_one_that_is_unknown_is_refused():
    model = made(FAMILIES["llama"])
    with pytest.raises(ValueError, match="nonesuch"):
        set_attention(model, "nonesuch")
    assert attentions(model) == {"sdpa"}


SMALL = {"vocab_size": 8, "hidden_size": 8, "num_hidden_layers": 1}


@pytest.mark.parametrize(
    "make, plain",
    [
        (lambda: LlamaForCausalLM(
            LlamaConfig(**SMALL, intermediate_size=8, num_attention_heads=2)), True),
        (lambda: MambaForCausalLM(MambaConfig(**SMALL)), False),
        (object, True),
    ],
)  # fmt: skip
def test_a_state_space_model_takes_no_plain_cache(make, plain):
    assert takes_plain_cache(make()) is plain


def test_the_attributes_that_tell_are_there():
    assert LlamaForCausalLM._is_stateful is False and MambaForCausalLM._is_stateful is True
    assert LlamaForCausalLM._supports_default_dynamic_cache() is True


@pytest.mark.parametrize("logger_name", TOKENIZER_LOGGERS)
@pytest.mark.parametrize("family, shown", [("llama", False), ("mistral", True)])
def test_the_warning_is_shown_where_it_is_true(tmp_path, caplog, family, shown, logger_name):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family}))
    logger = logging.getLogger(logger_name)
    with without_false_alarm(str(tmp_path)):
        logger.warning(f"loaded with an {REGEX_WARNING}: see")
        logger.warning("anything else")
    logger.warning(f"{REGEX_WARNING}, outside")
    told = [record.getMessage() for record in caplog.records]
    assert told == [f"loaded with an {REGEX_WARNING}: see"] * shown + [
        "anything else",
        f"{REGEX_WARNING}, outside",
    ]


def test_the_warning_has_those_words_and_that_logger():
    """Read in the source: to make it come needs a tokenizer of 100,000 tokens."""
    found = [spec for name in TOKENIZER_LOGGERS if (spec := importlib.util.find_spec(name))]
    sources = [Path(str(spec.origin)).read_text() for spec in found]
    assert any(REGEX_WARNING in source for source in sources)


def test_the_cache_is_taken_by_the_name_that_the_version_has():
    model = llama(byte_level())
    assert cache_argument(model) in CACHE_ARGUMENTS
    for name in CACHE_ARGUMENTS:
        scope = {}
        exec(f"def forward(input_ids, {name}=None): pass", scope)
        assert cache_argument(SimpleNamespace(forward=scope["forward"])) == name
    assert cache_argument(SimpleNamespace(forward=lambda input_ids: None)) == ""


def test_no_bar_is_drawn_for_weights(tmp_path, capfd):
    llama(byte_level()).save_pretrained(tmp_path)
    without_progress_bars()
    capfd.readouterr()
    LlamaForCausalLM.from_pretrained(tmp_path)
    assert "%|" not in capfd.readouterr().err


@pytest.mark.parametrize("reentrant", [True, False])
def test_activations_are_checkpointed_without_a_warning(reentrant):
    model = llama(byte_level())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checkpoint_activations(model, reentrant)
    assert model.model.gradient_checkpointing
    assert model.model._gradient_checkpointing_func.keywords == {"use_reentrant": reentrant}


def test_settings_of_generation_in_a_config():
    config = LlamaConfig(**SMALL, num_attention_heads=2)
    config.temperature = 0.5  # transformers 5 drops it where it is read
    assert misplaced_settings(config).items() >= {"temperature": 0.5}.items()
    assert "temperature" not in misplaced_settings(LlamaConfig(**SMALL, num_attention_heads=2))


CLASSES = ["PreTrainedTokenizer", "LlamaTokenizer", "GemmaTokenizer", "T5Tokenizer"]
TYPES = ["llama", "qwen2", "gemma2"]  # transformers 5 has a class of tokenizers for the last two
TEXT = "a bad  cab\n abba. Dad's 12 fed"


@pytest.mark.parametrize("model_type", TYPES)
@pytest.mark.parametrize("declared", CLASSES)
@pytest.mark.parametrize("make", [byte_level, metaspace], ids=["bytes", "space"])
def test_texts_are_split_as_the_file_says(tmp_path, make, declared, model_type):
    """Whatever class the folder names, and whatever class the type of its model has."""
    tokenizer = make()
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    file = tmp_path / "tokenizer_config.json"
    names = {"tokenizer_class": f"{declared}Fast"}
    file.write_text(json.dumps(json.loads(file.read_text()) | names))
    found = auto_tokenizer(str(tmp_path), False)
    expected = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    assert found(TEXT, add_special_tokens=False)["input_ids"] == expected
    assert found.decode(expected) == tokenizer.decode(expected)
    specials = (found.bos_token, found.eos_token)
    assert specials == (tokenizer.bos_token, tokenizer.eos_token)
