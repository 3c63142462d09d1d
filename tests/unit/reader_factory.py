"""Files for the tests of readers: written, packed, and expected to be refused."""

import bz2
import gzip
import io
import lzma
import re
import zipfile
from functools import partial

import pyarrow as pa
import pytest

from mtray.data.readers.options import ReadOptions
from mtray.data.readers.sources import stream_columns
from mtray.errors import DataError


def zstd(data):
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def zipped(data, name="a.txt"):
    return archive({name: data})


def archive(members, links=()):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            if name in links:
                info.external_attr = 0o120777 << 16
            made.writestr(info, data)
    return stream.getvalue()


# `printf 'hello hello\nwelt\n' | zstd`: a block as it is, and a check sum
ZSTD = b"(\xb5/\xfd\x04X\x89\x00\x00hello hello\nwelt\n\xc3\xbe \xb4"
PACK = {
    "gz": gzip.compress,
    "bz2": partial(bz2.compress, compresslevel=1),
    "xz": lzma.compress,
    "zst": zstd,
    "zip": zipped,
}


def put(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def refused(path, message, columns=("text",), **how):
    """The first place that a message names is the file's."""
    with pytest.raises(DataError, match=message) as error:
        list(stream_columns(path, list(columns), ReadOptions(**how)))
    name = path if isinstance(path, str) else next(iter(path.values()))
    assert re.match(rf"{re.escape(name)}[/\w.]*:", str(error.value))
