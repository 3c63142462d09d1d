"""Hugging Face data sets: folders and names, without a network."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mtray.data.readers import hub
from mtray.data.readers.options import ReadOptions
from mtray.data.readers.remarks import Remarks
from mtray.data.readers.sources import all_rows, source_rows, stream_columns
from mtray.errors import ConfigError, DataError
from mtray.schema import Source

ROWS = [{"translation": {"de": f"{i} Ja", "en": f"{i} yes"}, "id": i} for i in range(2500)]
COLUMNS = ["de", "translation.en"]


def rows(path, columns=COLUMNS, **how):
    return list(stream_columns(str(path), columns, ReadOptions(**how)))


@pytest.fixture
def saved(tmp_path):
    from datasets import Dataset, DatasetDict

    train = Dataset.from_list(ROWS)
    train.save_to_disk(str(tmp_path / "one"))
    DatasetDict({"train": train, "test": train.select([7, 3])}).save_to_disk(str(tmp_path / "two"))
    return tmp_path


def test_saved_to_disk(saved):
    found = rows(saved / "one")
    assert len(found) == 2500
    assert found[2100] == {"de": "2100 Ja", "translation.en": "2100 yes"}
    assert rows(saved / "two", split="test")[0]["de"] == "7 Ja"
    assert rows(saved / "one", ["id"], labels=("id",))[3] == {"id": "3"}
    with pytest.raises(DataError, match=r"two: which `split`\? There are train, test"):
        rows(saved / "two")
    with pytest.raises(DataError, match="one: row 1: no text under 'fr'; keys there: translation"):
        rows(saved / "one", ["fr"])
    with pytest.raises(DataError, match="one: row 1: no text under 'id' but int"):
        rows(saved / "one", ["id"])
    with pytest.raises(ConfigError, match="`revision` is only for data sets on the hub"):
        rows(saved / "one", revision="main")


def test_line_breaks_are_as_in_every_format(tmp_path):
    from datasets import Dataset

    Dataset.from_list([{"text": "\na\r\n\nb\n"}]).save_to_disk(str(tmp_path / "set"))
    assert rows(tmp_path / "set", ["text"]) == [{"text": "a\n\nb"}]


def test_saved_to_disk_and_damaged(saved):
    (file,) = (saved / "one").glob("*.arrow")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 3])
    with pytest.raises(DataError, match="one: not readable"):
        rows(saved / "one")
    (saved / "one" / "state.json").write_text("{")
    with pytest.raises(DataError, match="one: not readable"):
        rows(saved / "one")


def test_a_folder_of_parquet_files(tmp_path):
    folder = tmp_path / "set" / "de-en"
    folder.mkdir(parents=True)
    parts = {"train-00000-of-00002": ROWS[:5], "train-00001-of-00002": ROWS[5:7], "test": ROWS[:1]}
    for name, part in parts.items():
        pq.write_table(pa.Table.from_pylist(part), folder / f"{name}.parquet")
    found = rows(tmp_path / "set", config="de-en", split="train")
    assert [row["de"] for row in found] == [f"{i} Ja" for i in range(7)]
    assert len(rows(folder, split="test")) == 1
    with pytest.raises(DataError, match=r"which `split`\? There are test, train"):
        rows(folder)
    with pytest.raises(DataError, match=r"which `split`\? There are test, train"):
        rows(folder, split="validation")
    with pytest.raises(DataError, match=r"no such folder \(named by the source's `config`\)"):
        rows(tmp_path / "set", config="fr-en")
    (folder / "test.parquet").unlink()
    assert len(rows(folder)) == 7


def test_a_name_is_streamed(tmp_path):
    """`datasets` takes the path of a folder for a name, so this is its whole way."""
    text = "".join(json.dumps(row) + "\n" for row in ROWS)
    (tmp_path / "train.jsonl").write_text(text)
    found = rows(f"hf:{tmp_path}")
    assert len(found) == 2500
    assert found[-1] == {"de": "2499 Ja", "translation.en": "2499 yes"}
    with pytest.raises(DataError, match=r"`hf:.*: not readable: ValueError: .*validation"):
        rows(f"hf:{tmp_path}", split="validation")


def test_a_column_that_a_name_has_not(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"text": "x", "n": 1}\n')
    assert rows(f"hf:{tmp_path}", ["text"]) == [{"text": "x"}]
    with pytest.raises(DataError, match=r"`hf:.*: no column 'fr'; columns there: text, n"):
        rows(f"hf:{tmp_path}", ["text", "fr"])


def test_code_of_a_data_set_is_never_run(tmp_path):
    mark = tmp_path / "was-run"
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "set.py").write_text(f"open({str(mark)!r}, 'w')\n")
    with pytest.raises(DataError, match=r"`hf:.*: not readable"):
        rows(f"hf:{tmp_path / 'set'}")
    assert not mark.exists()


def test_a_hub_that_cannot_be_reached(monkeypatch):
    monkeypatch.setattr(hub, "why_unreachable", lambda _: "ConnectionError")
    source = Source(name="x", kind="mono", languages=("de",), path="hf:nobody/nothing")
    message = (
        r"`hf:nobody/nothing`: not in the cache, and .* cannot be reached: ConnectionError; .*"
        r"`hf download --repo-type dataset nobody/nothing`"
    )
    with pytest.raises(DataError, match=message):
        next(source_rows(source))


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """No network, and caches of the hub in a folder of their own."""
    monkeypatch.setattr(hub, "why_offline", lambda: "no network")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "prepared"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path


def prepare(folder, config, commit, texts, split="train"):
    """A data set as `load_dataset` leaves it in its cache, in one shard or more."""
    from datasets import Dataset

    place = folder / "prepared" / "some___own_set" / config / "0.0.0" / commit
    for number, part in enumerate(texts):
        shard = f"-{number:05d}-of-{len(texts):05d}" if len(texts) > 1 else ""
        Dataset.from_list([{"text": text} for text in part]).save_to_disk(str(folder / "made"))
        (made,) = (folder / "made").glob("data-*.arrow")
        place.mkdir(parents=True, exist_ok=True)
        made.rename(place / f"own_set-{split}{shard}.arrow")
    (place / "dataset_info.json").write_text("{}")


def hub_rows(name="hf:some/OwnSet", **how):
    remarks = Remarks()
    found = list(stream_columns(name, ["text"], ReadOptions(**how), remarks))
    return [row["text"] for row in found], remarks.lines()


def test_a_prepared_set_is_read_offline(offline):
    prepare(offline, "de", "c0ffee", [["a"], ["b", "c"]])
    found, lines = hub_rows()
    assert found == ["a", "b", "c"]
    assert len(lines) == 1 and "read from the cache, " in lines[0] and "no network" in lines[0]
    prepare(offline, "fr", "beef", [["d"]])
    assert hub_rows(config="fr")[0] == ["d"]
    assert hub_rows(config="de", revision="c0ffee")[0] == ["a", "b", "c"]
    with pytest.raises(DataError, match=r"which `config`\? Cached are de, fr"):
        hub_rows()
    for absent in ({"config": "it"}, {"revision": "dead"}, {"config": "fr", "split": "test"}):
        with pytest.raises(DataError, match="not in the cache, and no network"):
            hub_rows(**absent)


def test_a_downloaded_set_is_read_offline(offline):
    home = offline / "hub" / "datasets--some--OwnSet"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("c0ffee")
    (home / "snapshots" / "c0ffee").mkdir(parents=True)
    (home / "snapshots" / "c0ffee" / "README.md").write_text("the card alone")
    with pytest.raises(DataError, match="not in the cache"):
        hub_rows()
    (home / "snapshots" / "c0ffee" / "train.jsonl").write_text('{"text": "a"}\n')
    found, lines = hub_rows()
    assert found == ["a"] and "c0ffee" in lines[0]


def test_a_missing_path_is_no_folder(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such file"):
        all_rows(str(tmp_path / "nowhere"), ["text"])
