"""The mirror of a sweep: its address, who owns it, what a start does, and where its faults are
said."""

import os
import subprocess
import sys
import threading
import time
from argparse import ArgumentTypeError

import pytest
from mirror_factory import MadeUpRun, content_of, owner
from tracking_factory import make_run

from mtray.cli import main
from mtray.commands import mirror as command
from mtray.commands.doctor_mirror import mirror_findings
from mtray.commands.status import read_run, show_status
from mtray.errors import ConfigError, RunError
from mtray.finite_numbers import local_folder
from mtray.full_disk import FullDisk
from mtray.mirror import owner as owners
from mtray.mirror import session
from mtray.mirror.address import _filesystem, checked_address, error_text, opened, shown
from mtray.mirror.manifest import newest
from mtray.mirror.owner import Heart, boot_id, claim, read_owner, write_owner
from mtray.mirror.session import Mirroring, claimed, restorable, restore_missing
from mtray.mirror.state import MirrorState, copying_alone, mirror_problems, read_state, write_state
from mtray.mirror_process import Copying, mirrored_beside
from mtray.serving.run_data import state_data
from mtray.sweep_command import arguments, load

BEAT = 0.1


@pytest.fixture
def address(tmp_path):
    return f"file://{tmp_path / 'store'}"


@pytest.fixture
def run(tmp_path):
    return MadeUpRun(tmp_path / "runs" / "a")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Claims that take no seconds."""
    monkeypatch.setattr(session, "claim", lambda bucket, token, say: claim(
        bucket, token, say, beat=BEAT, settle=0))  # fmt: skip
    monkeypatch.setattr(command, "LOOK", 0.05)


# addresses

WRONG = {
    "/mnt/copies": "for a folder: file:///mnt/copies",
    "bucket/path": "expected a URI",
    "s3://": "expected a URI",
    "s3://key:secret@bucket/path": "has credentials in it",
    "s3://key:sec/secret@bucket/path": "has credentials in it",
    "s3://key:sec?secret@bucket/path": "has credentials in it",
    "sftp://me:sec#secret@host/path": "has credentials in it",
    "s3://key@bucket/path": "has credentials in it",
    "sftp://me:secret@host/path": "has credentials in it",
    "s3://bucket/path?secret_key=secret": "has credentials in it",
    "abfs://box@account.dfs.core.windows.net/p?sig=secret": "has credentials in it",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_wrong_address(text):
    with pytest.raises(ConfigError, match=WRONG[text]) as caught:
        checked_address(text)
    said = str(caught.value)
    assert not any(part in said for part in ("sec/", "sec?", "sec#", "secret", "key@"))


RIGHT = [
    "s3://bucket/path", "s3://bucket?region=eu-west-1", "gs://bucket/path", "file:///mnt/copies",
    "hdfs://me@host:8020/path", "hdfs://host:8020/a@b", "s3://bucket/a@b", "abfs://box@account.dfs.core.windows.net/path",
]  # fmt: skip


@pytest.mark.parametrize("text", RIGHT)
def test_a_right_address(text):
    assert checked_address(text) == text


UNKNOWN = {
    "nosuch://x/y": "Protocol not known",
    "s3://bucket/p?colour=red": "'colour'; allowed are region, scheme, endpoint_override",
    "file://mnt/x": "three slashes: file:///mnt/x",
    "file:///mnt/my copies": "escaped in a URI: file:///mnt/my%20copies; ",
    "file:///mnt/ü": "escaped in a URI: file:///mnt/%C3%BC; ",
}


@pytest.mark.parametrize("text", UNKNOWN)
def test_an_address_that_cannot_be_opened(text):
    with pytest.raises(ConfigError, match=UNKNOWN[text]):
        opened(text)


def test_what_is_shown_of_an_address():
    assert shown("s3://k:s@b/p?region=x&secret_key=s") == "s3://b/p?region=x"


def test_the_endpoint_of_the_environment(monkeypatch):
    from urllib.parse import urlsplit

    from mtray.mirror.address import _s3

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9/")
    _, given = _s3(urlsplit("s3://b/p")).__reduce__()
    assert (given[0]["endpoint_override"], given[0]["scheme"]) == ("127.0.0.1:9", "http")
    _, given = _s3(urlsplit("s3://b/p?endpoint_override=h:1&scheme=https")).__reduce__()
    assert (given[0]["endpoint_override"], given[0]["scheme"]) == ("h:1", "https")


def test_an_error_has_no_credentials():
    variables = {"AWS_SECRET_ACCESS_KEY": "hunter22", "HOME": "/home/me", "A_TOKEN": "s"}
    error = OSError("hunter22 at /home/me: s3://me:pw@b/x refused\nmore")
    assert error_text(error, variables) == (
        "OSError: <AWS_SECRET_ACCESS_KEY> at /home/me: s3://b/x refused"
    )


def test_fsspec_has_further_places(run, tmp_path):
    files, root = _filesystem("memory://copies")
    assert root and files.type_name.startswith("py::")
    owner_ = claimed("memory://copies", run.folder, print)
    copying = Mirroring(opened("memory://copies").within("a"), run.folder, owner_, print)
    assert copying.once() and copying.complete()
    copying.end(released=True)
    restore_missing("memory://copies", tmp_path / "fresh" / "a", lambda line: None)
    assert content_of(tmp_path / "fresh" / "a") == content_of(run.folder)


def test_a_runs_folder_in_a_bucket_is_refused():
    with pytest.raises(ArgumentTypeError, match=r"--mirror s3://bucket/runs$") as caught:
        local_folder("s3://me:pw@bucket/runs")
    assert "pw" not in str(caught.value)


def test_the_sweep_checks_the_address_first():
    with pytest.raises(ConfigError, match="--mirror: expected a URI"):
        load(arguments(["--mirror", "bucket"]))


# owners


@pytest.fixture
def bucket(address):
    return opened(address).within("a")


def alive(bucket, token="b" * 32, **changes):
    found = owner(token).model_copy(update={"boot": "another", **changes})
    write_owner(bucket, found)
    return found


def test_a_living_owner_is_not_disturbed(bucket):
    heart = Heart(bucket, alive(bucket), every=BEAT / 4)
    heart.start()
    said = []
    with pytest.raises(RunError, match="being written by another sweep") as caught:
        claim(bucket, "c" * 32, said.append, BEAT, 0)
    assert "--name" in str(caught.value) and "watching" in said[0]
    heart.stop()
    assert read_owner(bucket).token == "b" * 32


TAKEN = {
    "no sign of life": ({}, 0.2),
    "released": ({"released": True}, 0),
    "ended on this machine": ({"boot": boot_id(), "pid": 2**22 + 1}, 0),
    "its own": ({"token": "c" * 32}, 0),
}


@pytest.mark.parametrize("why", TAKEN)
def test_an_owner_that_has_ended_is_replaced(bucket, why):
    changes, least = TAKEN[why]
    alive(bucket, **{"token": "b" * 32, "epoch": 4, **changes})
    began = time.monotonic()
    found = claim(bucket, "c" * 32, lambda line: None, BEAT, 0)
    assert found.epoch == 5 and read_owner(bucket) == found
    assert (time.monotonic() - began >= least) and (least or time.monotonic() - began < 0.2)


def test_two_claims_at_once(bucket, monkeypatch):
    """The later one wins; the other one reads it."""
    monkeypatch.setattr(owners.time, "sleep", lambda seconds: alive(bucket))
    with pytest.raises(RunError, match="taken it over"):
        claim(bucket, "c" * 32, print, BEAT, 1)


def test_a_heart_stops_where_another_sweep_has_taken_over(bucket):
    heart = Heart(bucket, alive(bucket), every=0.01)
    heart.start()
    mine = alive(bucket, "c" * 32)
    time.sleep(0.1)
    assert read_owner(bucket) == mine
    with pytest.raises(RunError, match="taken it over"):
        heart.stop(released=True)


def test_a_copied_folder_is_not_its_own(run, address, tmp_path):
    """The owner's token is in the folder, and in a copy of it."""
    import shutil

    claimed(address, run.folder, print)
    first = read_state(run.folder).token
    claimed(address, run.folder, print)
    assert read_state(run.folder).token == first
    other = tmp_path / "b" / "a"
    shutil.copytree(run.folder, other)
    (tmp_path / "store" / "a" / "owner.json").unlink()
    claimed(address, other, print)
    assert read_state(other).token != first


# starts


def copied(run, address, said=None):
    tell = (said if said is not None else []).append
    found = claimed(address, run.folder, tell)
    copying = Mirroring(opened(address).within("a"), run.folder, found, tell)
    assert copying.once() and copying.complete()
    copying.end(released=True)
    return copying


def test_a_fresh_head_starts_from_the_bucket(run, address, tmp_path):
    run.begin(0)
    run.end(0)
    copied(run, address)
    fresh, said = tmp_path / "fresh" / "a", []
    assert "would be restored" in restorable(address, fresh)
    assert not fresh.exists()
    restore_missing(address, fresh, said.append)
    assert content_of(fresh) == content_of(run.folder)
    restore_missing(address, fresh, said.append)  # it is there
    assert len(said) == 1
    claimed(address, fresh, said.append)
    assert restorable(address, fresh).endswith("has 1 records")


def test_a_full_disk_is_not_an_error_of_the_bucket(run, address, tmp_path, monkeypatch):
    run.begin(0)
    run.end(0)
    copied(run, address)
    fresh = tmp_path / "fresh" / "a"

    def full(path):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(FullDisk) as caught:
        patch.setattr("mtray.mirror.restore.sync", full)
        restore_missing(address, fresh, print)
    assert caught.value.filename == str(fresh)
    assert caught.value.strerror.endswith(" kB are needed)")
    assert not any(fresh.parent.iterdir())
    restore_missing(address, fresh, print)
    assert content_of(fresh) == content_of(run.folder)


@pytest.mark.parametrize("below", ["..", ".", "mirror", "trials/../copies"])
def test_a_copy_in_the_run_s_own_folder_is_refused(run, below):
    """`runs` as the place of the copies would make the run's folder its own copy."""
    before = content_of(run.folder)
    for start in (claimed, lambda address, folder, _: restorable(address, folder)):
        with pytest.raises(ConfigError, match=r"in the run's own folder .*; name a place outside"):
            start(f"file://{run.folder}/{below}", run.folder, print)
    assert content_of(run.folder) == before


def test_an_empty_bucket_is_a_new_run(address, tmp_path):
    said = []
    assert restorable(address, tmp_path / "a").endswith("is empty")
    restore_missing(address, tmp_path / "a", said.append)
    assert "a new run begins" in said[0] and not (tmp_path / "a").exists()


def test_an_older_folder_is_refused_unless_it_replaces_the_copy(run, address, tmp_path, capsys):
    import shutil

    copied(run, address)
    old = tmp_path / "old" / "a"
    shutil.copytree(run.folder, old)
    run.begin(0)
    copied(run, address)
    with pytest.raises(RunError, match="is newer than"):
        claimed(address, old, print)
    with pytest.raises(RunError, match="is newer than"):
        restorable(address, old)
    assert main(["mirror", str(old), "--to", address]) == 2
    assert main(["mirror", str(old), "--to", address, "--replace"]) == 0
    assert "complete as of" in capsys.readouterr().out
    assert (
        newest(opened(address).within("a")).journal.size == (old / "study.journal").stat().st_size
    )
    with pytest.raises(RunError, match="another run"):
        (old / "study.journal").write_text("{}\n")
        claimed(address, old, print)


def test_a_bucket_that_cannot_be_reached_is_an_error_at_the_start(tmp_path, run):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"cannot be reached .* doctor --mirror"):
        claimed(f"file://{tmp_path / 'file'}", run.folder, print)


# the command


def test_the_command_copies_and_restores(run, address, tmp_path, capsys):
    run.begin(0)
    run.end(0)
    assert main(["mirror", str(run.folder), "--to", address]) == 0
    target = tmp_path / "other" / "a"
    assert main(["mirror", str(target), "--from", address]) == 0
    assert content_of(target) == content_of(run.folder)
    out = capsys.readouterr().out
    assert "complete as of" in out and "1 record, " in out
    assert main(["mirror", str(target), "--from", address]) == 2
    assert main(["mirror", str(tmp_path / "other" / "none"), "--from", address]) == 2
    err = capsys.readouterr().err
    assert "there is a run already" in err and "no copy of a run" in err


MISUSED = {
    (): "give either --to URI",
    ("--to", "s3://a/b", "--from", "s3://a/b"): "give either --to URI",
    ("--from", "s3://a/b", "--replace"): "--replace: needs --to",
    ("--to", "s3://a/b", "--without-damaged"): "--without-damaged: needs --from",
    ("--to", "nosuch://a/b"): "--to nosuch://a/b",
}


@pytest.mark.parametrize("options", MISUSED)
def test_the_command_misused(run, options, capsys):
    assert main(["mirror", str(run.folder), *options]) == 2
    assert MISUSED[options] in capsys.readouterr().err


def test_doctor_tries_the_place(address, tmp_path):
    (found,) = mirror_findings(address)
    assert found.level == "ok" and "written, read, listed and deleted" in found.text
    assert not [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    (tmp_path / "file").touch()
    (found,) = mirror_findings(f"file://{tmp_path / 'file'}")
    assert found.level == "MISSING" and "cannot write" in found.text
    (found,) = mirror_findings("bucket")
    assert found.level == "MISSING" and "expected a URI" in found.text


# beside a sweep


def test_a_process_beside_the_sweep(run, address, tmp_path):
    said = []
    with mirrored_beside(address, run.folder, said.append) as copying:
        run.begin(0)
        run.end(0)
    assert copying.code(0) == 0 and copying.code(130) == 130
    state = read_state(run.folder)
    assert (state.ended, state.problem) == (1, "")
    assert all("the rest is being copied" in line for line in said)
    restore_missing(address, tmp_path / "fresh" / "a", said.append)
    assert content_of(tmp_path / "fresh" / "a") == content_of(run.folder)
    assert read_owner(opened(address).within("a")).released


def test_no_mirror_is_no_process(run):
    with mirrored_beside(None, run.folder, print) as copying:
        assert copying is None


def test_a_copy_that_lacks_something_is_exit_code_2(run):
    said = []
    copying = Copying(run.folder, "s3://b/p", said.append)
    copying.process = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read(); sys.exit(2)"],
        stdin=subprocess.PIPE, text=True,
    )  # fmt: skip
    copying.finish()
    assert (copying.code(0), copying.code(143)) == (2, 143)
    assert said[-1].endswith(f"python -m mtray mirror {run.folder} --to s3://b/p")


def test_a_process_that_is_killed_is_started_again(run, monkeypatch):
    from mtray import mirror_process

    monkeypatch.setattr(mirror_process, "AGAIN", 0.01)
    started, said = [], []

    def start(name, options, tell):
        code = (
            "import os; os.kill(os.getpid(), 9)" if not started else "import sys; sys.stdin.read()"
        )
        started.append(
            subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, text=True)
        )
        return started[-1]

    monkeypatch.setattr(mirror_process, "start_beside", start)
    copying = Copying(run.folder, "s3://b/p", said.append)
    copying.start()
    until = time.monotonic() + 20
    while len(started) < 2 and time.monotonic() < until:
        time.sleep(0.02)
    copying.finish()
    assert len(started) == 2 and not copying.incomplete
    assert "its process ended (code -9)" in said[0]


def test_only_one_process_copies_a_run(run, address, monkeypatch):
    # or the tests' own process would have the priority of one beside a sweep
    monkeypatch.setattr(command, "begin_beside", threading.Event)
    claimed(address, run.folder, print)
    with copying_alone(run.folder), pytest.raises(RunError, match=f"process {os.getpid()}"):
        command._beside(run.folder, address)


# where faults are said


def test_a_fault_is_said_once(run, address, tmp_path):
    said = []
    found = claimed(address, run.folder, said.append)
    copying = Mirroring(opened(address).within("a"), run.folder, found, said.append)
    assert copying.once()
    (tmp_path / "store").rename(tmp_path / "away")
    (tmp_path / "store").touch()
    run.begin(0)
    assert not copying.once() and not copying.once(at_once=True)
    assert len(said) == 1 and "cannot be written" in said[0] and "the sweep goes on" in said[0]
    assert copying.seconds_to_wait > session.FIRST_WAIT  # the second pause is longer
    assert not copying.once()  # not yet
    problem = read_state(run.folder).problem
    assert "cannot be written since" in problem and "it is tried again" in problem
    (tmp_path / "store").unlink()
    (tmp_path / "away").rename(tmp_path / "store")
    assert copying.once(at_once=True)
    assert len(said) == 2 and "has what it missed" in said[1]
    assert read_state(run.folder).problem == ""
    copying.end(released=True)


def test_status_and_page_say_how_far_the_copy_is(tmp_path, capsys):
    run_dir = make_run(tmp_path / "a")
    study = read_run(run_dir).study
    assert "mirror" not in shown_status(run_dir, capsys)
    write_state(run_dir, MirrorState(address="s3://b/p/a", copied=0.0, ended=3, pending=2))
    line = shown_status(run_dir, capsys)
    assert "mirror: s3://b/p/a: complete as of 1970-01-01" in line
    assert "3 records; still to be copied: 2 large files" in line
    found = read_run(run_dir)
    warnings = lambda: state_data(run_dir, study, found.records, found.overview, 0.0)["warnings"]  # noqa: E731
    assert warnings() == []
    write_state(run_dir, MirrorState(address="s3://b/p/a", error="down", failing_since=0.0))
    assert "cannot be written since" in shown_status(run_dir, capsys)
    assert warnings() == mirror_problems(run_dir) != []
    write_state(run_dir, MirrorState(address="s3://b/p/a", fenced="process 7 on h"))
    assert "not written any more: process 7 on h" in shown_status(run_dir, capsys)


def shown_status(run_dir, capsys):
    show_status(run_dir)
    return capsys.readouterr().out
