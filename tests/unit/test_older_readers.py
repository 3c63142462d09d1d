"""What transformers 5 writes is read by programs with transformers 4: keys by their older names,
worked out from the configs that transformers 4.57 writes for the same models."""

import json

import pytest

from mtray.training.older_readers import write_for_older

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 16}
PLAIN = {"rope_theta": 5e5, "rope_type": "default"}
LINEAR = {"rope_type": "linear", "factor": 8.0}
NESTED = {"sliding_attention": PLAIN, "full_attention": LINEAR | {"rope_theta": 1e6}}
CONFIGS = {  # the config as it is written, and what is added
    "default": ({"rope_parameters": PLAIN}, {"rope_theta": 5e5}),
    "scaled": (
        {"rope_parameters": LLAMA3 | {"rope_theta": 3e5}},
        {"rope_theta": 3e5, "rope_scaling": LLAMA3},
    ),
    "part of a head": (
        {"rope_parameters": PLAIN | {"partial_rotary_factor": 0.25}},
        {"rope_theta": 5e5, "partial_rotary_factor": 0.25},
    ),
    "Gemma 3": (
        {"rope_parameters": NESTED},
        {"rope_theta": 1e6, "rope_scaling": LINEAR, "rope_local_base_freq": 5e5},
    ),
    "own key": ({"rope_parameters": PLAIN, "rope_theta": 1.0}, {}),
    "a kind of 5 alone": (
        {"rope_parameters": {"full_attention": {"rope_type": "proportional", "rope_theta": 1e6}}},
        {},
    ),
    "by transformers 4": ({"rope_theta": 1e4, "rope_scaling": None}, {}),
    "no rotary positions": ({"rope_parameters": None}, {}),
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_positions(kind, tmp_path):
    before, added = CONFIGS[kind]
    (tmp_path / "config.json").write_text(json.dumps(before))
    write_for_older(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text()) == before | added


TOKENIZERS = [
    ({"tokenizer_class": "TokenizersBackend"}, {"tokenizer_class": "PreTrainedTokenizerFast"}),
    ({"tokenizer_class": "GemmaTokenizer"}, {"tokenizer_class": "GemmaTokenizer"}),
    ({"extra_special_tokens": ["<x>"]}, {"additional_special_tokens": ["<x>"]}),
    ({"extra_special_tokens": {"image": "<x>"}}, {"extra_special_tokens": {"image": "<x>"}}),
]


@pytest.mark.parametrize("before, after", TOKENIZERS)
def test_tokenizers(before, after, tmp_path):
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(before))
    write_for_older(tmp_path)
    assert json.loads((tmp_path / "tokenizer_config.json").read_text()) == after
