"""A mirror on a real S3 server, moto's, on the loopback interface."""

import importlib.util
import sys
from pathlib import Path

import pytest
from mirror_factory import MadeUpRun, check_consistent, content_of

from mtray.cli import main
from mtray.commands.doctor_mirror import mirror_findings
from mtray.errors import RunError
from mtray.mirror.address import opened
from mtray.mirror.manifest import newest
from mtray.mirror.restore import restore
from mtray.mirror.session import claimed, reached
from mtray.mirror_process import mirrored_beside

if importlib.util.find_spec("moto") is None:
    pytest.skip("needs the package moto: pip install 'mtray[mirror]'", allow_module_level=True)

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
from mirror_faults import BUCKET, KEYS, holds, s3_server


@pytest.fixture(scope="module")
def cable():
    with s3_server() as found:
        yield found


@pytest.fixture
def address(cable, request):
    cable.mend()
    return f"s3://{BUCKET}/{request.node.name}"


@pytest.fixture
def run(tmp_path):
    return MadeUpRun(tmp_path / "runs" / "a")


def test_a_sweep_is_copied_and_comes_back(run, address, tmp_path, capsys):
    said = []
    with mirrored_beside(address, run.folder, said.append) as copying:
        for number in range(3):
            run.begin(number)
            run.keep(number, number + 1)
        run.end(0)
    assert copying.code(0) == 0
    bucket = opened(address).within("a")
    check_consistent(bucket, tmp_path / "b", run)
    assert content_of(tmp_path / "b") == content_of(run.folder)
    assert newest(bucket).objects == bucket.listed("files").keys()
    for key in KEYS.values():  # credentials are nowhere
        assert not holds(tmp_path, key) and key not in "".join(said) + capsys.readouterr().out


def test_a_cut_connection(run, address, cable, tmp_path):
    from mtray.mirror.session import Mirroring

    said = []
    owner = claimed(address, run.folder, said.append)
    copying = Mirroring(opened(address).within("a"), run.folder, owner, said.append)
    assert copying.once()
    cable.cut_off()
    run.begin(0)
    run.end(0)
    assert not copying.once()
    assert "cannot be written" in said[-1]
    cable.mend()
    assert copying.once(at_once=True) and copying.complete()
    assert "has what it missed" in said[-1]
    copying.end(released=True)
    check_consistent(copying.bucket, tmp_path / "b", run)


def test_a_missing_bucket(run, tmp_path, cable):
    (found,) = mirror_findings("s3://no-such-bucket/p")
    assert found.level == "MISSING" and "NO_SUCH_BUCKET" in found.text
    with pytest.raises(RunError, match="cannot be reached"):
        claimed("s3://no-such-bucket/p", run.folder, print)


def test_doctor_tries_the_bucket(address):
    (found,) = mirror_findings(address)
    assert found.level == "ok", found.text


def test_a_truncated_object(run, address, tmp_path):
    assert main(["mirror", str(run.folder), "--to", address]) == 0
    bucket = reached(address, "a", "--from")
    name = newest(bucket).journal.object
    bucket.write(name, [b"half"])
    with pytest.raises(RunError, match="has 4 bytes instead of"):
        restore(bucket, tmp_path / "b", print)
    assert not (tmp_path / "b").exists()
