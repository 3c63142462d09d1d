"""What people bring as Parquet, see `brought_files`."""

import pyarrow as pa
from brought_factory import Brought, parquet, texts

WORDS = ("x", "é", "")
DICTIONARY = pa.array(["x", "é", None]).dictionary_encode()
STRINGS = [
    *(
        Brought(f"{kind}", "a.parquet", parquet(["x", "é", None], kind), rows=texts(*WORDS))
        for kind in (pa.string(), pa.large_string(), pa.string_view())
    ),
    *(
        Brought(f"{kind}", "a.parquet", parquet(DICTIONARY, kind), rows=texts(*WORDS))
        for kind in (
            pa.dictionary(pa.int8(), pa.string()),
            pa.dictionary(pa.int32(), pa.large_string()),
        )
    ),
    Brought(
        "a structure of views",
        "a.parquet",
        parquet([{"de": "a"}], pa.struct([("de", pa.string_view())]), "translation"),
        ("de",),
        texts("a"),
    ),
    Brought("bytes", "a.parquet", parquet([b"x"]), message="'text' holds binary, expected text"),
]

# a million times a value of 1 MiB, in 3 kB
REPEATED = pa.DictionaryArray.from_arrays(
    pa.array([0], pa.int32()).take(pa.array([0] * 1_000_000)), pa.array(["x" * (1 << 20)])
)
TOO_FAR = r"bytes expand to [\d,]+; refused: the limit is 250 times as many"
BOMBS = [
    Brought(
        "rows that repeat a long value",
        "a.parquet",
        parquet(REPEATED, compression="zstd"),
        message=TOO_FAR,
    ),
    Brought(
        "rows that repeat it within a structure",
        "a.parquet",
        parquet(pa.StructArray.from_arrays([REPEATED], ["text"]), name="translation"),
        message=TOO_FAR,
    ),
    Brought(
        "rows that repeat it within a list",
        "a.parquet",
        parquet(pa.ListArray.from_arrays(pa.array([0, 1_000_000], pa.int32()), REPEATED)),
        ("text.0",),
        message=TOO_FAR,
    ),
    Brought(
        "words that repeat",
        "a.parquet",
        parquet(pa.array(["ja"] * 3000).dictionary_encode()),
        rows=texts("ja") * 3000,
    ),
]
