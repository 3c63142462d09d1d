"""What we take of sacrebleu beyond its interface is still there, and what is done without it."""

from pathlib import Path

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF

from mtray.compat.sacrebleu import (
    cache_folder,
    downloads,
    piece_model,
    score_of_sums,
    segment_statistics,
)

REFERENCES = ["The cat sat on the mat.", "Hello, world!", "one two three four five", "so"]
HYPOTHESES = ["The cat sat on a mat.", "Hello, you!", "five four three", ""]
PRIVATE = ("_extract_corpus_statistics", "_compute_score_from_stats")


class PublicBLEU(BLEU):
    """As of a release without the private methods."""

    def __getattribute__(self, name):
        if name in PRIVATE and not object.__getattribute__(self, "__dict__").get("inside"):
            raise AttributeError(name)
        return super().__getattribute__(name)

    def corpus_score(self, *args, **options):
        self.inside = True
        try:
            return super().corpus_score(*args, **options)
        finally:
            del self.inside


class PublicCHRF(CHRF):
    def __getattribute__(self, name):
        if name in PRIVATE:
            raise AttributeError(name)
        return super().__getattribute__(name)


@pytest.mark.parametrize("metric", [BLEU(), BLEU(tokenize="char"), CHRF(), CHRF(word_order=2)])
def test_sums_of_segments_give_the_corpus_score(metric):
    stats = np.array(segment_statistics(metric, HYPOTHESES, REFERENCES), dtype=float)
    assert len(stats) == len(HYPOTHESES)
    found = score_of_sums(metric, stats.sum(axis=0).tolist())
    assert found == metric.corpus_score(HYPOTHESES, [REFERENCES]).score > 0


def test_the_statistics_of_bleu_by_hand():
    """Lengths, then matches of 1 to 4 tokens, then all of 1 to 4: "a b c" against "a b d e"."""
    assert segment_statistics(BLEU(), ["a b c"], ["a b d e"]) == [[3, 4, 2, 1, 0, 0, 3, 2, 1, 0]]


@pytest.mark.parametrize("options", [{}, {"tokenize": "char"}, {"smooth_method": "floor"}])
def test_without_the_private_methods_bleu_is_the_same(options):
    plain, public = BLEU(**options), PublicBLEU(**options)
    assert all(hasattr(plain, name) and not hasattr(public, name) for name in PRIVATE)
    stats = segment_statistics(plain, HYPOTHESES, REFERENCES)
    assert segment_statistics(public, HYPOTHESES, REFERENCES) == stats
    for rows in ([0, 1, 2, 3], [2, 2], [3]):
        sums = np.array(stats, dtype=float)[rows].sum(axis=0).tolist()
        assert score_of_sums(public, sums) == score_of_sums(plain, sums)


@pytest.mark.parametrize(
    "act",
    [
        lambda metric: segment_statistics(metric, HYPOTHESES, REFERENCES),
        lambda metric: score_of_sums(metric, [1.0] * 18),
    ],
)
def test_without_them_chrf_is_an_error_and_no_number(act):
    act(CHRF())
    with pytest.raises(AttributeError, match="_"):
        act(PublicCHRF())


def test_the_places_of_a_test_set():
    from sacrebleu import SACREBLEU_DIR
    from sacrebleu.dataset import DATASETS

    dataset = DATASETS["wmt22"]
    home = Path(SACREBLEU_DIR) / "wmt22"
    assert cache_folder(dataset) == home
    (url,) = dataset.data
    assert downloads(dataset) == {url: home / "raw" / f"wmt22.{Path(url).name}"}


def test_the_places_without_the_private_names():
    from types import SimpleNamespace

    from sacrebleu import SACREBLEU_DIR

    bare = SimpleNamespace(name="wmt22", data=["http://127.0.0.1/a.tar.gz"])
    assert cache_folder(bare) == Path(SACREBLEU_DIR) / "wmt22"
    assert downloads(bare) == {}


@pytest.mark.parametrize("tokenizer", ["flores101", "flores200"])
def test_the_place_of_a_model_of_pieces(tokenizer):
    file, url = piece_model(tokenizer)
    assert file.parent.name == "models"
    assert url.startswith("http") and url.endswith(f"/{file.name}")
