"""Records on disk: whole or absent, and a damaged one is named."""

import pytest
from records_factory import make_baselines, make_record, make_run

from mtray.errors import RunError
from mtray.report.records import read_record, read_records, write_json, write_record
from mtray.run_files import result_path, trial_dir


def test_folders(tmp_path):
    assert trial_dir(tmp_path, -1) == tmp_path / "trials" / "base"
    assert trial_dir(tmp_path, 7) == tmp_path / "trials" / "0007"
    assert trial_dir(tmp_path, 12345).name == "12345"
    with pytest.raises(ValueError, match="-2"):
        trial_dir(tmp_path, -2)


def test_what_is_written_is_read(tmp_path):
    records = make_run(5)
    for record in reversed(records):
        write_record(tmp_path, record)
    found = read_records(tmp_path)
    assert list(found.sound()) == sorted(records, key=lambda r: r.number)
    assert not list(tmp_path.rglob("*.tmp"))


def test_a_new_run_has_no_records(tmp_path):
    assert read_records(tmp_path).sound() == ()
    with pytest.raises(RunError, match="no such run folder"):
        read_records(tmp_path / "absent")


DAMAGES = {
    "cut short": lambda text: text[: len(text) // 2],
    "empty": lambda text: "",
    "not JSON": lambda text: "Traceback",
    "unknown key": lambda text: text.replace('"seed"', '"sead"'),
    "not a number": lambda text: text.replace('"value": 0.6', '"value": NaN'),
    "another trial's": lambda text: text.replace('"number": 3', '"number": 4'),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_a_damaged_record_is_named_and_the_others_are_read(tmp_path, damage):
    write_record(tmp_path, make_record(2))
    path = write_record(tmp_path, make_record(3))
    text = path.read_text()
    assert damage(text) != text
    path.write_text(damage(text))
    with pytest.raises(RunError, match=r"0003/result\.json"):
        read_record(path)
    found = read_records(tmp_path)
    assert [r.number for r in found.records] == [2]
    assert [d.path for d in found.damaged] == [path]
    with pytest.raises(RunError, match=r"0003/result\.json.*start the sweep again"):
        found.sound()


def test_json_has_no_nan(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert not list(tmp_path.iterdir())


def test_base_has_its_own_folder(tmp_path):
    path = write_record(tmp_path, make_baselines()[0])
    assert path == result_path(tmp_path, -1)
    assert read_record(path).role == "base"
