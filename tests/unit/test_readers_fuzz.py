"""Whatever bytes a file holds, it ends as rows of text or as an error that names it."""

import random

import pytest
from test_readers_round_trip import COMPRESSIONS, FORMATS

from mtray.data.readers.sources import stream_columns
from mtray.errors import DataError

ROWS = [{"en": f'Line {i} € & <x> "q"', "uk": f"Рядок {i}, так"} for i in range(20)]


def damaged(rng, content):
    """Bytes changed, left out, put in, or cut off."""
    made = bytearray(content)
    for _ in range(rng.choice([1, 1, 3])):
        at = rng.randrange(len(made) + 1)
        what = rng.randrange(4)
        if what == 0:
            made[at : at + 1] = rng.randbytes(1)
        elif what == 1:
            del made[at : at + rng.choice([1, 5, 60])]
        elif what == 2:
            made[at:at] = rng.randbytes(4)
        elif rng.random() < 0.3:
            del made[at:]
    return bytes(made)


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("name", FORMATS)
def test_damage_never_ends_in_another_error(tmp_path, name, compression):
    rng = random.Random(f"{name}{compression}")
    content, pack = FORMATS[name][1](ROWS), COMPRESSIONS[compression]
    refused = 0
    for _ in range(40):
        inner, outer = rng.choice([(damaged, None), (None, damaged)])
        packed = pack(inner(rng, content) if inner else content)
        path = tmp_path / f"a{rng.choice([f'.{name}', ''])}{rng.choice([compression, ''])}"
        path.write_bytes(outer(rng, packed) if outer else packed)
        columns = rng.choice([["en", "uk"], ["uk"], ["translation.en"], ["#1"]])
        try:
            for row in stream_columns(str(path), columns):
                assert list(row) == columns
                assert all(isinstance(text, str) for text in row.values())
        except DataError as error:
            assert str(path) in str(error)
            refused += 1
    assert refused
