"""DES between mixes and evaluation, with vectors worked out by hand and a tiny encoder."""

import numpy as np
import pytest
from records_factory import make_mix
from tiny_models import byte_level

from mtray.data.store import build_table
from mtray.errors import ModelError
from mtray.evaluation.inference.requests import Request
from mtray.evaluation.source_similarity import (
    MOST,
    EmbeddingMeans,
    instructions,
    load_encoder,
    mean_embeddings,
    prompts_by_part,
)
from mtray.schema import Mix, Recipe


def test_a_mix_is_the_mean_of_its_sources_by_their_examples():
    sources = {"parallel": np.array([1.0, 0.0]), "mono": np.array([0.0, 1.0])}
    means = EmbeddingMeans(sources, {"east": np.array([2.0, 0.0]), "north": np.array([0.0, 3.0])})
    found = means.des(make_mix(Recipe(parallel_size=300, mono_ratio=4 / 3)))  # 300 and 400
    assert found == pytest.approx({"east": 0.6, "north": 0.8})
    assert means.des(make_mix(Recipe(parallel_size=300))) == pytest.approx({"east": 1, "north": 0})
    assert means.des(Mix()) == {}


def test_instructions_are_what_stands_before_the_loss():
    tokenizer = byte_level()
    table = build_table([("dad ->", "bee"), ("", "bad dad fed")], tokenizer, 64)
    found = sorted(instructions(table, tokenizer))
    assert found == ["bad dad fed", "dad ->"]


def test_everything_is_embedded_once_and_averaged():
    tokenizer, asked = byte_level(), []

    def embed(texts):
        asked.append(list(texts))
        return np.array([[len(text), 1.0] for text in texts])

    store = {"pairs": build_table([("dad ->", "bee")] * 3, tokenizer, 64)}
    requests = [Request("abc", None), Request("abcde", None), Request("", "perplexed")]
    parts = prompts_by_part(["a", "a", "b"], requests)
    assert parts == {"a": ["abc", "abcde"], "b": ["perplexed"]}
    means = mean_embeddings(embed, store, tokenizer, parts)
    assert means.sources["pairs"].tolist() == [6.0, 1.0]
    assert means.parts["a"].tolist() == [4.0, 1.0] and means.parts["b"].tolist() == [9.0, 1.0]
    assert len(asked) == 3


def test_of_a_long_part_a_sample_is_embedded():
    """A part in the order of its file, whose first texts are of one document."""
    asked = []

    def embed(texts):
        asked.append(list(texts))
        return np.array([[1.0] for _ in texts])

    texts = [f"text {i}" for i in range(2 * MOST)]
    mean_embeddings(embed, {}, byte_level(), {"a": texts})
    assert len(asked[0]) == MOST and set(asked[0]) < set(texts)
    assert MOST / 4 < sum(text in texts[:MOST] for text in asked[0]) < 3 * MOST / 4


def test_an_encoder_from_a_folder(tmp_path):
    """A text's row does not depend on what it is batched with."""
    import torch
    from transformers import BertConfig, BertModel

    tokenizer = byte_level()
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    BertModel(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    embed = load_encoder(str(tmp_path))
    texts = ["a bad cab", "dad", "fed a bee: beef"] * 12
    rows = embed(texts)
    assert rows.shape == (36, 16)
    np.testing.assert_allclose(rows[:3], embed(texts[:1] + texts[1:3]), atol=1e-6)
    np.testing.assert_allclose(rows[1], embed(["dad"])[0], atol=1e-6)
    (tmp_path / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(ModelError, match=r"`evaluation.embedder`: .*model.safetensors is cut off"):
        load_encoder(str(tmp_path))
