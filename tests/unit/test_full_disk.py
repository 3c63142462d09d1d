"""A full disk, whoever writes: it is named, and nothing half-written is left."""

import errno
import os
import pickle
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer, models

from mtray import file_locks, full_disk
from mtray.cli_errors import report_errors
from mtray.data.readers.parquet import read_parquet
from mtray.data.readers.sources import open_stream
from mtray.data.token_files import get_store
from mtray.data.training_prompts import _pool
from mtray.embedded.row_tables import write_rows
from mtray.evaluation.inference.requests import Output, Request
from mtray.evaluation.output_files import write_outputs
from mtray.files import write_atomically
from mtray.full_disk import FullDisk, free_text, is_full, naming, size_text
from mtray.search.ledger.trial_failures import classify
from mtray.training.checkpoints import Checkpoints
from mtray.training.export import whole_folder
from mtray.training.trainable_weights import save_trainable
from mtray.training.worker import ProcessGroup

NO_SPACE = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
QUOTA = OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))
BY_RUST = SafetensorError(
    "Error while serializing: I/O error: No space left on device (os error 28)"
)
ARROW = OSError(errno.ENOSPC, "Error writing bytes to file. Detail: [errno 28] No space left ...")


@pytest.fixture(autouse=True)
def small_disk(monkeypatch):
    """5 MB are free."""
    found = SimpleNamespace(f_files=9, f_favail=9, f_bavail=5_000, f_frsize=1000)
    monkeypatch.setattr(full_disk.os, "statvfs", lambda path: found)
    return found


@pytest.mark.parametrize(
    "error, full",
    [
        (NO_SPACE, True),
        (QUOTA, True),
        (ARROW, True),
        (BY_RUST, True),
        (SafetensorError("I/O error: Disk quota exceeded (os error 122)"), True),
        (SafetensorError("I/O error: Permission denied (os error 13)"), False),
        (OSError(errno.EIO, "No space left on device"), False),
        (RuntimeError("No space left on device (os error 28)"), False),
    ],
)
def test_a_full_disk_is_recognised_whoever_raises_it(error, full):
    assert is_full(error) == full
    assert (classify(error) == "disk_full") == full


NAMED = {
    "without a name": (NO_SPACE, "{place}: no space left there (5.0 MB free, and more is needed)"),
    "of arrow": (ARROW, "{place}: no space left there (5.0 MB free, and more is needed)"),
    "of safetensors": (BY_RUST, "{place}: no space left there (5.0 MB free, and more is needed)"),
    "quota": (QUOTA, "{place}: no space left there (the quota is used up, and more is needed)"),
    "of the partial": (
        OSError(errno.ENOSPC, "full", "{place}.tmp"),
        "{place}: no space left there (5.0 MB free, and more is needed)",
    ),
    "of another place": (OSError(errno.ENOSPC, "full", "/else/x"), "/else/x: no space left there"),
    "known": (FullDisk(errno.ENOSPC, "no room (1 MB)", "/else"), "/else: no room (1 MB)"),
}


@pytest.mark.parametrize("case", NAMED)
def test_the_message_names_the_place_and_what_is_free(case, tmp_path, capsys):
    error, expected = NAMED[case]
    place = tmp_path / "new" / "a"
    if error.__class__ is OSError and error.filename == "{place}.tmp":
        error = OSError(error.errno, error.strerror, f"{place}.tmp")
    with report_errors() as outcome, naming(place, place.with_name("a.tmp")):
        raise error
    said = capsys.readouterr().err
    again = "free some space and run the same command again"
    assert said == f"error: {expected.format(place=place)}; {again}\n"
    assert outcome.code == 2


@pytest.mark.parametrize("error", [KeyError("x"), OSError(errno.EIO, "broken")])
def test_other_errors_stay_what_they_are(error, tmp_path):
    with pytest.raises(type(error)) as caught, naming(tmp_path):
        raise error
    assert caught.value is error


def test_what_will_be_deleted_counts_as_free(tmp_path, small_disk):
    partial = tmp_path / "partial"
    (partial / "folder").mkdir(parents=True)
    (partial / "folder" / "a").write_bytes(b"0" * 2_500_000)
    assert free_text(tmp_path / "not" / "there", partial) == "7.5 MB free"
    assert free_text(tmp_path, partial / "folder" / "a") == "7.5 MB free"
    assert free_text(tmp_path, partial / "gone") == "5.0 MB free"
    small_disk.f_favail = 0
    assert free_text(tmp_path) == "no inode free, so no further file"
    sizes = {0: "0 kB", 40_960: "41 kB", 26_010_000: "26.0 MB", 25e9: "25.0 GB"}
    assert {size: size_text(size) for size in sizes} == sizes


def test_the_error_travels_between_processes():
    sent = pickle.loads(pickle.dumps(FullDisk(errno.ENOSPC, "no room", "/a")))
    assert (type(sent), sent.errno, sent.strerror, sent.filename) == (FullDisk, 28, "no room", "/a")


def _exported(folder):
    with whole_folder(folder / "model") as partial:
        (partial / "config.json").write_text("{}")
        from safetensors.torch import save_file

        save_file({}, partial / "model.safetensors")


class Engine:
    def state(self):
        return {"a": torch.zeros(3)}


def test_a_tokenizer_that_meets_a_full_disk(tmp_path):
    """Its files are written by Rust, which raises a plain Exception."""
    with pytest.raises(FullDisk, match="no space left there"), whole_folder(tmp_path / "model"):
        Tokenizer(models.BPE()).save("/dev/full")
    assert not list(tmp_path.iterdir())


def _checkpoint(folder):
    folder.mkdir()
    Checkpoints(folder, "key").save(Engine(), ProcessGroup(), 3, {})


def _outputs(folder):
    write_outputs(
        folder / "x.parquet", ["a"], [Request("q", None)], [Output("text", None, 1, False)]
    )


# what writes into a folder, and what raises when its file system is full
WRITERS = {
    "file": (lambda folder: write_atomically(folder / "a", b"x"), "os.fsync", NO_SPACE),
    "outputs": (_outputs, "pyarrow.parquet.write_table", ARROW),
    "weights": (
        lambda folder: save_trainable(torch.nn.Linear(2, 2), folder / "weights"),
        "safetensors.torch.save_file",
        BY_RUST,
    ),
    "exported model": (_exported, "safetensors.torch.save_file", BY_RUST),
    "checkpoint": (_checkpoint, "safetensors.torch.save_file", BY_RUST),
}


def entries(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*"))


@pytest.mark.parametrize("writer", WRITERS)
def test_whoever_writes_names_the_place_and_leaves_nothing(writer, tmp_path, monkeypatch):
    write, name, error = WRITERS[writer]

    def full(*given, **_):
        paths = [p for p in given if isinstance(p, Path) and p.parent.is_dir()]
        for path in paths:
            path.write_bytes(b"half")
        raise error

    with monkeypatch.context() as patch, pytest.raises(FullDisk) as caught:
        patch.setattr(name, full)
        write(tmp_path / "new")
    assert str(caught.value.filename).startswith(str(tmp_path / "new"))
    assert ".tmp" not in caught.value.filename and "partial" not in caught.value.filename
    assert "no space left there" in caught.value.strerror
    assert entries(tmp_path) in ([], ["new"])
    if writer == "checkpoint":
        (tmp_path / "new").rmdir()
    write(tmp_path / "new")
    assert entries(tmp_path) != []


def test_the_lock_of_a_run_is_named_once(tmp_path, monkeypatch):
    """What a file's buffer still holds would be written again when it is closed."""

    def full(*_):
        raise NO_SPACE

    with monkeypatch.context() as patch, pytest.raises(FullDisk) as caught:
        patch.setattr(file_locks.os, "write", full)
        with file_locks.held_alone(tmp_path / ".lock", str, "and is needed"):
            pass
    assert caught.value.filename == str(tmp_path / ".lock")
    assert not (tmp_path / ".lock").read_bytes()
    with file_locks.held_alone(tmp_path / ".lock", str, "and is needed"):
        assert (tmp_path / ".lock").read_text() == f"process {os.getpid()}"


def test_a_table_of_rows_names_its_file(tmp_path, monkeypatch):
    def full(*_, **__):
        raise ARROW

    monkeypatch.setattr("pyarrow.parquet.write_table", full)
    with pytest.raises(FullDisk) as caught:
        write_rows([{"a": "b"}], tmp_path / "rows.parquet")
    assert caught.value.filename == str(tmp_path / "rows.parquet")


class FullFile:
    """A temporary file whose disk is full."""

    def __init__(self, *_, **__):
        self._file = open(os.devnull, "w")  # noqa: SIM115

    def write(self, _):
        raise NO_SPACE

    def fileno(self):
        return self._file.fileno()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()


def _shots(_):
    _pool(iter([{"source": "a", "target": "b"}]), "key")


def _parquet(folder):
    import gzip

    pq.write_table(pa.table({"a": ["x"]}), folder / "a.parquet")
    packed = folder / "a.parquet.gz"
    packed.write_bytes(gzip.compress((folder / "a.parquet").read_bytes()))
    with open_stream(packed) as file:
        list(read_parquet(file, ["a"]))


TEMPORARY = {
    "shots": (_shots, "the rows of a source with shots"),
    "parquet": (_parquet, "{folder}/a.parquet.gz, unpacked"),
}


@pytest.mark.parametrize("case", TEMPORARY)
def test_the_folder_of_temporary_files_is_named(case, tmp_path, monkeypatch):
    """Not that of the stores, nor the file that is read."""
    read, what = TEMPORARY[case]
    read(tmp_path)
    monkeypatch.setattr("tempfile.TemporaryFile", FullFile)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    with pytest.raises(FullDisk) as caught:
        get_store({"a": 1}, lambda writer: read(tmp_path), tmp_path / "store")
    assert caught.value.filename == str(tmp_path / "temporary")
    said = f"no space left there for {what.format(folder=tmp_path)} (5.0 MB free; "
    assert caught.value.strerror == f"{said}TMPDIR may name another folder)"
