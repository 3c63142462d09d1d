"""MinHash signatures estimate Jaccard similarities that are counted here by sets."""

import random

import numpy as np

from mtray.data.near_duplicates import FIRST_SLOTS, NearDuplicates, signatures


def shingles(text):
    text = " ".join(text.lower().split()).ljust(5)
    return {text[i : i + 5] for i in range(len(text) - 4)}


def jaccard(a, b):
    return len(shingles(a) & shingles(b)) / len(shingles(a) | shingles(b))


def sentences(count, seed=1):
    rng = random.Random(seed)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyzäöü中文字", k=6)) for _ in range(3000)]
    return [" ".join(rng.choices(words, k=9)) for _ in range(count)]


def test_signatures_estimate_the_similarity_without_bias():
    rng, errors = random.Random(2), []
    for text in sentences(300):
        words = text.split()
        words[rng.randrange(9)] = "replaced"
        other = " ".join(words)
        a, b = signatures([text, other])
        equal = float((a == b).mean())
        errors.append((equal - 1 / 256) / (1 - 1 / 256) - jaccard(text, other))
    assert abs(np.mean(errors)) < 4 * 0.06 / 300**0.5
    assert np.std(errors) < 0.075  # sqrt(J (1 - J) / 64), at most 0.0625, and the bytes' own


def test_a_signature_is_of_its_text_alone():
    texts = ["", "a", "four", "fives", "A  Longer\tText", "a longer text", "x" * 5000]
    together = signatures(texts)
    assert together.shape == (7, 64)
    for text, found in zip(texts, together, strict=True):
        assert (signatures([text])[0] == found).all()
    assert (together[4] == together[5]).all()
    assert (together[1] != together[2]).any()
    assert signatures([]).shape == (0, 64)


def test_the_first_of_a_kind_stays_within_a_call_and_between_calls():
    first, second = sentences(2)
    near = NearDuplicates(0.8)
    assert near.add([first, first + ".", second]) == [False, True, False]
    assert near.add([second, "." + first]) == [True, True]
    assert len(near) == 2


def test_far_texts_stay_and_near_ones_go_also_once_the_tables_have_grown():
    texts = sentences(FIRST_SLOTS + 2000)
    near = NearDuplicates(0.8)
    flags = [flag for i in range(0, len(texts), 4096) for flag in near.add(texts[i : i + 4096])]
    assert not any(flags)
    changed = [text[:-1] + "#" for text in texts]  # one shingle of some 59 is another
    assert min(jaccard(a, b) for a, b in zip(texts[:500], changed[:500], strict=True)) > 0.9
    found = [flag for i in range(0, len(texts), 4096) for flag in near.add(changed[i : i + 4096])]
    assert np.mean(found) > 0.98
