"""Drafts that are settled together, and what fits."""

import pytest
from test_chat import chatting
from tiny_models import byte_level, metaspace

from mtray.data import length_fitting
from mtray.data.length_fitting import Example, fitted_examples
from mtray.data.tokenization import encode_examples
from mtray.data.tokenization import fitting as fits


def countdown(number):
    """Asks for `number`, `number` - 1, ... and takes the first that fits; 0 without asking."""
    while number and not (yield Example("", str(number))):
        number -= 1
    return Example("p", str(number))


@pytest.mark.parametrize("chunk", [2, 100])
def test_every_draft_is_told_of_its_own(monkeypatch, chunk):
    monkeypatch.setattr(length_fitting, "CHUNK", chunk)
    asked = []

    def at_most_three(examples):
        asked.append([example.target for example in examples])
        return [int(example.target) <= 3 for example in examples]

    found = list(fitted_examples(map(countdown, [5, 0, 2, 4]), at_most_three))
    assert found == [("p", "3"), ("p", "0"), ("p", "2"), ("p", "3")]
    if chunk == 100:
        assert asked == [["5", "2", "4"], ["4", "3"], ["3"]], "together, and no more than needed"
    else:
        assert asked == [["5"], ["4"], ["3"], ["2", "4"], ["3"]]
    assert list(fitted_examples([], at_most_three)) == []


@pytest.mark.parametrize("make", [byte_level, metaspace, chatting])
def test_what_fits_is_what_encoding_makes(make):
    tokenizer = make()
    pairs = [("a bad cab ->" * (n % 5), "abba dad " * n + "bee") for n in range(1, 40)]
    pairs += [(f"<s>[user]\n{p}[end]\n[assistant]\n", t) for p, t in pairs[:9]]
    lengths = [len(ids) for ids, _ in encode_examples(tokenizer, pairs)]
    assert max(lengths) > 50 > 20 > min(lengths)
    for limit in range(min(lengths) - 1, max(lengths) + 2):
        assert fits(tokenizer, pairs, limit) == [length <= limit for length in lengths]
    assert fits(tokenizer, [], 9) == []
