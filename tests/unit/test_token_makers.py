"""The tokens of a shard's examples."""

import numpy as np
import pytest
from tiny_models import byte_level

from mtray.data import token_makers
from mtray.data.token_makers import encoded
from mtray.data.tokenization import encode_examples

PAIRS = [(f"{'b' * (i % 4)}", f"{'ab' * (i % 7)} {i}") for i in range(300)]
LIMIT = 9


@pytest.mark.parametrize("count", [0, 1, 300])
@pytest.mark.parametrize("at_once", [1, 7, 150, 299, 1000])
def test_they_do_not_depend_on_how_many_are_encoded_at_a_time(count, at_once, monkeypatch):
    monkeypatch.setattr(token_makers, "AT_ONCE", at_once)
    tokenizer = byte_level()
    ids, lengths, loss_from = encoded(PAIRS[:count], tokenizer, LIMIT)
    one_by_one = [encode_examples(tokenizer, [pair])[0] for pair in PAIRS[:count]]
    fitting = [(row, start) if len(row) <= LIMIT else ([], 0) for row, start in one_by_one]
    assert ids.tolist() == [token for row, _ in fitting for token in row]
    assert lengths.tolist() == [len(row) for row, _ in fitting]
    assert loss_from.tolist() == [start for _, start in fitting]
    assert (ids.dtype, lengths.dtype, loss_from.dtype) == (np.int32, np.int64, np.int32)
    assert count < 300 or 0 in lengths.tolist()
