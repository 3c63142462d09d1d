"""The copy of a run: always one that the run can go on from, whatever fails and whenever."""

import json
import random
import shutil

import pytest
from mirror_factory import (
    FailingBucket,
    Killed,
    MadeUpRun,
    check_consistent,
    content_of,
    copier,
    owner,
    restored,
)

from mtray.errors import RunError
from mtray.mirror import snapshot
from mtray.mirror.comparison import check_not_older, relation
from mtray.mirror.copier import Copier
from mtray.mirror.manifest import manifest_names, newest, parsed
from mtray.mirror.owner import Fenced
from mtray.mirror.snapshot import Unsteady, open_checkpoint, take_snapshot
from mtray.run_files import JOURNAL


@pytest.fixture
def bucket(tmp_path):
    (tmp_path / "store").mkdir()
    return FailingBucket(tmp_path / "store")


@pytest.fixture
def run(tmp_path):
    return MadeUpRun(tmp_path / "runs" / "a")


def both(copy):
    copy.records()
    copy.large()


def test_a_run_comes_back_as_it_was(bucket, run, tmp_path):
    for number in range(3):
        run.begin(number)
    run.end(0)
    run.keep(1, 10)
    (run.folder / "ray_train").mkdir()
    (run.folder / "ray_train" / "x").write_text("Ray's own")
    both(copier(bucket, run))
    found, said = restored(bucket, tmp_path / "b")
    wanted = content_of(run.folder)
    del wanted["ray_train/x"]
    assert content_of(found) == wanted
    assert said[0].startswith(f"mirror: restored {tmp_path / 'b'} from mock://p: 1 record, ")
    assert not list(tmp_path.glob(".*restoring*"))


def work(run, rng, copy):
    """What happens in a sweep, with copying after each event."""
    running, number = [], 0
    for step in range(14):
        event = rng.choice(["begin", "keep", "keep", "end", "copy"])
        if event == "begin" or not running:
            run.begin(number)
            running.append(number)
            number += 1
        elif event == "keep":
            run.keep(rng.choice(running), step + 1)
        elif event == "end":
            run.end(running.pop(rng.randrange(len(running))))
        copy()


@pytest.mark.parametrize("error", [OSError("down"), Killed()], ids=["fails", "killed"])
@pytest.mark.parametrize("seed", range(8))
def test_every_copy_is_consistent(bucket, run, tmp_path, seed, error):
    """A call fails, or the process is killed in it, at a random place, again and again."""
    rng = random.Random(seed)
    bucket.error = error
    state = {"copier": copier(bucket, run)}

    def copy():
        bucket.at, bucket.calls = rng.randrange(12), 0
        try:
            both(state["copier"])
        except OSError:
            pass
        except Killed:
            bucket.at = -1
            state["copier"] = copier(bucket, run)
        bucket.at = -1
        check_consistent(bucket, tmp_path / "b", run)

    work(run, rng, copy)
    both(state["copier"])
    assert state["copier"].verify()
    assert content_of(restored(bucket, tmp_path / "b")[0]) == content_of(run.folder)
    last = copier(bucket, run)  # removes what killed processes left
    for number in (100, 101):
        run.begin(number)
        both(last)
    names = manifest_names(bucket)
    assert len(names) == 2
    assert set(bucket.listed("files")) == {
        file.object for name in names for file in parsed(bucket.read(name)).files
    }


def test_nothing_is_written_if_nothing_is_new(bucket, run):
    run.begin(0)
    copy = copier(bucket, run)
    both(copy)
    assert not copy.due()
    before = bucket.calls
    both(copy)
    assert bucket.calls == before
    run.end(0)
    assert copy.due()


def test_large_files_come_after_the_records(bucket, run, monkeypatch, tmp_path):
    monkeypatch.setattr(snapshot, "LARGE", 1000)
    run.begin(0)
    run.end(0, weights=2000)
    copy = copier(bucket, run)
    copy.records()
    assert newest(bucket).ended == 1
    assert not any("weights" in file.path for file in newest(bucket).files)
    copy.large()
    assert content_of(restored(bucket, tmp_path / "b")[0]) == content_of(run.folder)
    copy.records()  # keeps them
    assert any("weights" in file.path for file in newest(bucket).files)
    (run.trial(0) / "weights.safetensors").unlink()  # it is on the front no more
    both(copy)
    both(copy)
    assert not any("weights" in file.path for file in newest(bucket).files)


def test_records_that_come_while_a_large_file_is_copied(bucket, run, monkeypatch):
    from mtray.mirror import copier as module

    monkeypatch.setattr(snapshot, "LARGE", 1000)
    monkeypatch.setattr(module, "LARGE", 1000)
    monkeypatch.setattr(module, "BETWEEN", 0.0)
    run.begin(0)
    run.begin(1)
    run.end(0, weights=2000)
    copy = copier(bucket, run)
    copy.records()
    seen, write = [], bucket.write

    def ends_meanwhile(name, blocks):
        if "weights" in name and not run.trial(1).joinpath("result.json").exists():
            run.end(1)
            blocks = list(blocks)  # reads the file, and between its blocks copies the records
            seen.append(newest(bucket).ended)
        return write(name, blocks)

    monkeypatch.setattr(bucket, "write", ends_meanwhile)
    copy.large()
    assert seen == [2]
    assert newest(bucket).ended == 2 and any("weights" in f.path for f in newest(bucket).files)


def test_the_old_checkpoint_stays_until_the_new_one_is_there(bucket, run, tmp_path):
    run.begin(0)
    run.keep(0, 1)
    copy = copier(bucket, run)
    both(copy)
    run.keep(0, 2)
    run.begin(1)
    copy.records()
    found, _ = restored(bucket, tmp_path / "b")
    assert [p.name for p in found.glob("trials/0000/checkpoint-*")] == ["checkpoint-00000001"]
    assert json.loads((found / "trials/0000/rungs/0.measured.json").read_text()) == {"after": 1}
    copy.large()
    found, _ = restored(bucket, tmp_path / "b")
    assert [p.name for p in found.glob("trials/0000/checkpoint-*")] == ["checkpoint-00000002"]


def test_a_checkpoint_that_is_replaced_while_it_is_copied(run):
    run.begin(0)
    run.keep(0, 1)
    with open_checkpoint(run.folder, "0000") as found:
        run.keep(0, 2)
        contents = {name: file.read() for name, file in found.files.items()}
    assert json.loads(contents["trials/0000/checkpoint-00000001/state.json"]) == {"step": 1}
    (run.trial(0) / "checkpoint-00000003.partial").mkdir()
    with open_checkpoint(run.folder, "0000") as found:
        assert found.key[0] == "checkpoint-00000002"
    with open_checkpoint(run.folder, "0007") as found:
        assert found is None


def test_a_journal_that_grows_while_the_folder_is_listed(run, monkeypatch):
    run.begin(0)
    listed, left = snapshot._files, [2]

    def growing(run_dir):
        if left[0]:
            left[0] -= 1
            run.enter({"started": 10 + left[0]})
        return listed(run_dir)

    monkeypatch.setattr(snapshot, "_files", growing)
    assert take_snapshot(run.folder).journal == (run.folder / JOURNAL).read_bytes()
    left[0] = 1000
    with pytest.raises(Unsteady, match="grows faster"):
        take_snapshot(run.folder)


def test_a_line_that_is_still_written_is_left_out(run):
    before = (run.folder / JOURNAL).read_bytes()
    with open(run.folder / JOURNAL, "ab") as journal:
        journal.write(b'{"half')
    assert take_snapshot(run.folder).journal == before


LOST = {
    "all of it": lambda folder: shutil.rmtree(folder),
    "the journal": lambda folder: (folder / JOURNAL).unlink(),
    "a part of the journal": lambda folder: (folder / JOURNAL).write_text("{}\n"),
    "a record": lambda folder: shutil.rmtree(folder / "trials" / "0000"),
}


@pytest.mark.parametrize("what", LOST)
def test_a_folder_that_is_deleted_does_not_take_its_copy_along(bucket, run, tmp_path, what):
    run.begin(0)
    run.end(0)
    copy = copier(bucket, run)
    both(copy)
    before = content_of(run.folder)
    LOST[what](run.folder)
    with pytest.raises((RunError, FileNotFoundError)):
        copy.records()
    copy.large()
    assert content_of(restored(bucket, tmp_path / "b")[0]) == before


def test_a_damaged_record_that_is_moved_aside_is_not_lost(bucket, run):
    run.begin(0)
    run.end(0)
    copy = copier(bucket, run)
    both(copy)
    (run.trial(0) / "result.json").rename(run.trial(0) / "result.json.damaged")
    run.begin(1)
    copy.records()
    assert newest(bucket).ended == 0


def damage(bucket, tmp_path, part, how):
    """Damage the object of the file whose path ends in `part`."""
    file = next(file for file in newest(bucket).files if file.path.endswith(part))
    path = tmp_path / "store" / "p" / file.object
    content = path.read_bytes()
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(content[:-1] if how == "truncated" else content[:-1] + b"?")
    return file.object


DAMAGE = {
    "truncated": "bytes instead of",
    "altered": "has the SHA-256",
    "missing": "is missing",
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_object_is_named_and_nothing_restored(bucket, run, tmp_path, how):
    run.begin(0)
    run.end(0)
    both(copier(bucket, run))
    name = damage(bucket, tmp_path, "result.json", how)
    with pytest.raises(RunError, match=DAMAGE[how]) as caught:
        restored(bucket, tmp_path / "b")
    assert f"mock://p/{name} (trials/0000/result.json)" in str(caught.value)
    assert "--without-damaged" in str(caught.value)
    assert not (tmp_path / "b").exists() and not list(tmp_path.glob(".*restoring*"))
    found, said = restored(bucket, tmp_path / "b", without_damaged=True)
    assert not (found / "trials/0000/result.json").exists()
    assert (found / "trials/0000/outputs.parquet").exists() and name in said[0]


def test_a_damaged_journal_cannot_be_left_out(bucket, run, tmp_path):
    both(copier(bucket, run))
    damage(bucket, tmp_path, JOURNAL, "truncated")
    with pytest.raises(RunError, match="Restore an earlier version") as caught:
        restored(bucket, tmp_path / "b", without_damaged=True)
    assert "--without-damaged" not in str(caught.value)


def test_a_damaged_checkpoint_only_costs_its_trial_the_steps(bucket, run, tmp_path):
    for number in (0, 1):
        run.begin(number)
        run.keep(number, 5 + number)
    both(copier(bucket, run))
    damage(bucket, tmp_path, "0001/checkpoint-00000006/state.json", "truncated")
    found, said = restored(bucket, tmp_path / "b")
    assert "the checkpoint of trial 0001 is left out" in said[0]
    assert (found / "trials/0000/checkpoint-00000005/state.json").exists()
    assert not (found / "trials/0001").exists()


def test_a_truncated_object_is_copied_again_at_the_end(bucket, run, tmp_path):
    run.begin(0)
    run.end(0)
    copy = copier(bucket, run)
    both(copy)
    damage(bucket, tmp_path, "result.json", "truncated")
    assert not copy.verify()
    assert copy.due()
    both(copy)
    assert copy.verify()
    assert content_of(restored(bucket, tmp_path / "b")[0]) == content_of(run.folder)


def test_a_damaged_manifest(bucket, run, tmp_path):
    """The one before counts; if there is no other, nothing begins and nothing is removed."""
    copy = copier(bucket, run)
    both(copy)
    run.begin(0)
    run.end(0)
    both(copy)
    first, second = (tmp_path / "store" / "p" / name for name in manifest_names(bucket))
    first.write_bytes(first.read_bytes()[:-20])
    assert newest(bucket).ended == 0
    second.write_bytes(b"")
    with pytest.raises(RunError, match="no other manifest is there"):
        restored(bucket, tmp_path / "b")
    before = bucket.listed("files")
    with pytest.raises(RunError, match="is damaged"):
        copier(bucket, run)
    assert bucket.listed("files") == before


def test_a_folder_with_other_files_is_left_alone(bucket, run, tmp_path):
    from mtray.mirror.restore import restore

    both(copier(bucket, run))
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match=r"other files \(notes\.txt\)"):
        restore(bucket, other, print)
    (other / "notes.txt").unlink()
    (other / ".lock").touch()
    assert restore(bucket, other, lambda line: None)
    assert content_of(other) == content_of(run.folder)


def test_a_manifest_that_leads_outside_is_none(bucket, run):
    both(copier(bucket, run))
    found = newest(bucket)
    for path in ("../x", "/etc/x", "trials/../../x"):
        file = found.files[0].model_copy(update={"path": path})
        assert parsed(found.model_copy(update={"files": (file,)}).content()) is None


RELATIONS = {
    "same": (0, 0, True),
    "local newer": (1, 0, True),
    "copy newer": (0, 1, True),
    "both newer": (1, 2, True),
    "another run": (1, 1, False),
}


@pytest.mark.parametrize("expected", RELATIONS)
def test_which_is_newer(bucket, tmp_path, expected):
    local, copied, same = RELATIONS[expected]
    run = MadeUpRun(tmp_path / "runs" / "a")
    other = tmp_path / "other"
    shutil.copytree(run.folder, other)
    for _ in range(local):
        run.begin(0)
        run.end(0)
    theirs = MadeUpRun.__new__(MadeUpRun) if same else MadeUpRun(tmp_path / "c", "another")
    theirs.folder = other if same else theirs.folder
    for number in range(copied):
        theirs.begin(10 + number)
    both(copier(bucket, theirs))
    assert relation(run.folder, bucket, newest(bucket)) == expected
    if expected in ("same", "local newer"):
        check_not_older(run.folder, bucket, newest(bucket), "mock://")
        return
    with pytest.raises(RunError) as caught:
        check_not_older(run.folder, bucket, newest(bucket), "mock://")
    text = str(caught.value)
    assert f"mv {run.folder} {run.folder}." in text
    assert ("--replace" in text) == (expected != "another run")
    assert ("is newer than" in text) == (expected == "copy newer")


def test_who_was_replaced_writes_nothing_more(bucket, run, tmp_path):
    first = copier(bucket, run)
    both(first)
    second = Copier(bucket, run.folder, owner("b" * 32, epoch=2))
    second.adopt()
    both(second)
    run.begin(0)
    with pytest.raises(Fenced):
        first.records()
    assert newest(bucket).token == "b" * 32
    both(second)
    check_consistent(bucket, tmp_path / "b", run)


def test_what_who_was_replaced_writes_is_never_read(bucket, run):
    """Its check and its write are not one moment."""
    first = copier(bucket, run)
    both(first)
    late = first.current.model_copy(update={"sequence": 99, "files": ()})
    second = Copier(bucket, run.folder, owner("b" * 32, epoch=2))
    second.adopt()
    both(second)
    bucket.write(late.name, [late.content()])
    assert newest(bucket).token == "b" * 32
    run.begin(0)
    both(second)
    assert late.name not in manifest_names(bucket)
