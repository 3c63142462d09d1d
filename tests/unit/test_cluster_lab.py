"""What the lab of hosts makes of what it sees, without hosts."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
lab_hosts = pytest.importorskip("lab_hosts")
lab_sweep = pytest.importorskip("lab_sweep", reason="needs Ray")


def written(folder, letter, name, when):
    path = folder / name
    path.touch()
    path.chmod(0o666 & ~lab_hosts.UMASKS[letter])
    os.utime(path, (when, when))


def test_who_wrote_what_and_when_a_trial_was_taken_over(tmp_path):
    writers = lab_sweep.Writers(tmp_path)
    for letter, name, when in (
        ("b", lab_sweep.OWNER, 10),
        ("b", "first", 20),
        ("c", lab_sweep.OWNER, 30),
        ("b", "late", 40),
        ("c", "worker-0.log", 50),
    ):
        written(tmp_path, letter, name, when)
        writers.look()
        writers.look()
    assert writers.taken_over("b") == 30 and writers.taken_over("c") is None
    assert writers.by("b", 15, 30) == ["first"] and writers.by("b", 30) == ["late"]
    assert writers.by("c", 30) == [], "the output of workers is everybody's"


def test_every_host_has_permissions_of_its_own():
    found = {lab_sweep.writer_of(0o100666 & ~mask) for mask in lab_hosts.UMASKS.values()}
    assert found == set(lab_hosts.UMASKS)
    assert lab_sweep.writer_of(0o100600) == "600"


def test_losses_in_words():
    assert lab_sweep.Losses({}, [], []).text == "no attempt lost"
    found = lab_sweep.Losses({"node_lost": 2}, [5, 40], [3])
    assert found.text == "2 x node_lost, resumed after step 5 and 40, trained twice: 3"


@pytest.mark.parametrize(
    "given, reason",
    [
        ({"platform": "darwin"}, "Linux"),
        ({"user": 1000}, "only root"),
        ({"tools": ()}, "ip, unshare, nsenter, mount, hostname, ps not found"),
    ],
)
def test_where_there_can_be_no_hosts(monkeypatch, given, reason):
    monkeypatch.setattr(lab_hosts.sys, "platform", given.get("platform", "linux"))
    monkeypatch.setattr(lab_hosts.os, "geteuid", lambda: given.get("user", 0))
    monkeypatch.setattr(
        lab_hosts.shutil, "which", lambda name: name in given.get("tools", lab_hosts.TOOLS)
    )
    monkeypatch.setattr(lab_hosts, "run", lambda *_, **__: pytest.fail("nothing is tried"))
    assert reason in lab_hosts.why_not()
