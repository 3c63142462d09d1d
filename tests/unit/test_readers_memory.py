"""Files are read as a stream: what is held does not grow with the file."""

import gzip
import json
import subprocess
import sys
import tracemalloc

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtray.data.readers.sources import stream_columns

SENTENCE = "Die Zeile {} hat nichts, was sie von den anderen unterschiede, nur ihre Nummer."
LINES = 40_000  # about 3 MB; what is held is a few pieces of 64 kB
MOST = 1 << 20


def write(folder, kind):
    sentences = [SENTENCE.format(i) for i in range(LINES)]
    path = folder / f"a.{kind}"
    if kind == "txt.gz":
        path.write_bytes(gzip.compress("\n".join(sentences).encode(), 1))
    elif kind == "tsv":
        path.write_text("text\tb\n" + "".join(f"{s}\tx\n" for s in sentences))
    elif kind == "csv":
        path.write_text("text,b\n" + "".join(f'"{s}",x\n' for s in sentences))
    elif kind == "jsonl":
        path.write_text("".join(json.dumps({"text": s}) + "\n" for s in sentences))
    elif kind == "json":
        path.write_text(json.dumps([{"text": s} for s in sentences]))
    elif kind == "tmx":
        units = (f'<tu><tuv xml:lang="text"><seg>{s}</seg></tuv></tu>' for s in sentences)
        path.write_text(f"<tmx>{''.join(units)}</tmx>")
    elif kind == "sgm":
        segments = (f'<seg id="{i}">{s}</seg>\n' for i, s in enumerate(sentences))
        path.write_text(f'<srcset><doc docid="a">\n{"".join(segments)}</doc></srcset>')
    elif kind == "xml":
        docs = (
            f'<doc id="{i}"><src lang="text"><seg id="1">{s}</seg></src></doc>'
            for i, s in enumerate(sentences)
        )
        path.write_text(f"<dataset>{''.join(docs)}</dataset>")
    return path


@pytest.mark.parametrize("kind", ["txt.gz", "tsv", "csv", "jsonl", "json", "tmx", "sgm", "xml"])
def test_what_is_held_does_not_grow(tmp_path, kind):
    path = write(tmp_path, kind)
    assert kind == "txt.gz" or path.stat().st_size > 2.9 * MOST
    tracemalloc.start()
    try:
        count = sum(1 for _ in stream_columns(str(path), ["text"]))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == LINES
    assert peak < MOST


WATCHED = """
import re, sys
from pathlib import Path
from mtray.data.readers.sources import stream_columns

def peak():
    # `getrusage` would begin with what the process that started this one held
    return int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) >> 10

few, many = sys.argv[1:]
list(stream_columns(few, ["text"]))
before = peak()
print(sum(1 for _ in stream_columns(many, ["text"])), peak() - before)
"""


def test_parquet_is_read_a_few_rows_at_a_time(tmp_path):
    """Arrow's memory is not Python's, so this looks at a whole process."""
    paths = [str(tmp_path / f"{count}.parquet") for count in (2000, 600_000)]
    text = pa.compute.binary_join_element_wise(
        pa.array(range(600_000)).cast(pa.string()), SENTENCE, " "
    )
    for path, count in zip(paths, (2000, 600_000), strict=True):
        table = pa.table({"text": text[:count]})
        pq.write_table(table, path, row_group_size=300_000, use_dictionary=False)
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, *paths], capture_output=True, text=True, check=True
    )
    count, mebibytes = map(int, done.stdout.split())
    assert count == 600_000
    assert mebibytes < 50, "read whole it takes 155"


def test_a_reader_that_is_left_closes_its_file(tmp_path):
    path = write(tmp_path, "txt.gz")
    rows = stream_columns(str(path), ["text"])
    next(rows)
    rows.close()  # warnings about files that were left open are errors here
    with pytest.raises(StopIteration):
        next(rows)
