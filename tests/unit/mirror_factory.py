"""A made-up run folder that changes as a sweep changes it, a bucket whose calls fail, and what must
hold of every copy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from pyarrow import fs

from mtray.mirror.bucket import PARTIAL, Bucket
from mtray.mirror.copier import Copier
from mtray.mirror.manifest import newest
from mtray.mirror.owner import Owner
from mtray.mirror.restore import restore
from mtray.run_files import JOURNAL, STUDY_FILE


class Killed(BaseException):
    """The copying process ends here."""


class MadeUpRun:
    """A run's folder. Trials are begun, keep checkpoints, and end."""

    def __init__(self, run_dir: Path, name: str = "first line") -> None:
        self.folder = run_dir
        (run_dir / "trials").mkdir(parents=True)
        (run_dir / STUDY_FILE).write_text('{"study": 1}')
        self.enter({"begun": name})

    def enter(self, entry: dict[str, object]) -> None:
        with open(self.folder / JOURNAL, "a") as journal:
            journal.write(json.dumps(entry) + "\n")

    def trial(self, number: int) -> Path:
        return self.folder / "trials" / f"{number:04d}"

    def begin(self, number: int) -> None:
        self.enter({"started": number})
        self.trial(number).mkdir()

    def keep(self, number: int, step: int, size: int = 100) -> None:
        """Replace the checkpoint, as `mtray.training.checkpoints` does."""
        folder = self.trial(number)
        partial = folder / f"checkpoint-{step:08d}.partial"
        partial.mkdir()
        (partial / "worker-0000-000.safetensors").write_bytes(bytes([step % 256]) * size)
        (partial / "state.json").write_text(json.dumps({"step": step}))
        partial.rename(folder / f"checkpoint-{step:08d}")
        for old in folder.glob("checkpoint-*"):
            if old.name != f"checkpoint-{step:08d}":
                shutil.rmtree(old)
        (folder / "rungs").mkdir(exist_ok=True)
        (folder / "rungs" / "0.measured.json").write_text(json.dumps({"after": step}))
        (folder / "time.json").write_text(json.dumps({"running": step}))

    def end(self, number: int, weights: int = 0) -> None:
        folder = self.trial(number)
        (folder / "outputs.parquet").write_text(f"outputs {number}")
        if weights:
            (folder / "weights.safetensors").write_bytes(bytes([number % 256]) * weights)
        (folder / "result.json").write_text(f"record {number}")
        for old in [*folder.glob("checkpoint-*"), folder / "rungs"]:
            shutil.rmtree(old, ignore_errors=True)
        (folder / "time.json").unlink(missing_ok=True)
        self.enter({"ended": number})
        (self.folder / "front.json").write_text(f"front after {number}")


class FailingBucket(Bucket):
    """Raises `error` at the call of number `at` (from 0), of those that write or remove. A write
    leaves half of its content first, under the name that such a part has."""

    def __init__(self, folder: Path) -> None:
        super().__init__(fs.SubTreeFileSystem(str(folder), fs.LocalFileSystem()), "p", "mock://p")
        self.at, self.calls = -1, 0
        self.error: BaseException = OSError("the bucket is down")

    def _fails(self) -> bool:
        self.calls += 1
        return self.calls - 1 == self.at

    def write(self, name, blocks):
        if not self._fails():
            return super().write(name, blocks)
        content = b"".join(blocks)
        folder = name.rpartition("/")[0]
        super().write(f"{folder}/{PARTIAL}{self.calls}", [content[: len(content) // 2]])
        raise self.error

    def remove(self, name):
        if self._fails():
            raise self.error
        super().remove(name)


def owner(token: str = "a" * 32, epoch: int = 1) -> Owner:
    return Owner(token=token, epoch=epoch, host="host", pid=1, boot="", since=0.0)


def copier(bucket: Bucket, run: MadeUpRun, epoch: int = 1) -> Copier:
    found = Copier(bucket, run.folder, owner(epoch=epoch))
    found.adopt()
    return found


def restored(bucket: Bucket, folder: Path, **options: bool) -> tuple[Path, list[str]]:
    """The folder of the copy, and what was said."""
    said: list[str] = []
    shutil.rmtree(folder, ignore_errors=True)
    assert restore(bucket, folder, said.append, **options) is not None
    return folder, said


def check_consistent(bucket: Bucket, folder: Path, run: MadeUpRun) -> None:
    """What must hold of every copy: the run can go on from it, with no trial lost or done twice."""
    if newest(bucket) is None:
        return
    found, said = restored(bucket, folder)
    assert len(said) == 1  # nothing is damaged or left out
    journal = (found / JOURNAL).read_bytes() if (found / JOURNAL).exists() else b""
    assert (run.folder / JOURNAL).read_bytes().startswith(journal)
    entries = [json.loads(line) for line in journal.splitlines()]
    began = {entry["started"] for entry in entries if "started" in entry}
    ended = {entry["ended"] for entry in entries if "ended" in entry}
    records = {int(path.parent.name) for path in found.glob("trials/*/result.json")}
    assert ended <= records <= began
    for number in records:
        assert (found / "trials" / f"{number:04d}" / "outputs.parquet").is_file()
    for state in found.glob("trials/*/checkpoint-*/state.json"):
        assert state.parent.parent.name not in {f"{n:04d}" for n in records}
        assert len(list(state.parent.iterdir())) == 2
        step = json.loads(state.read_text())["step"]
        weights = (state.parent / "worker-0000-000.safetensors").read_bytes()
        assert set(weights) == {step % 256}
        assert (state.parent.parent / "rungs" / "0.measured.json").is_file()


def content_of(folder: Path) -> dict[str, bytes]:
    """All files of a run, without what is of one folder alone."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("mirror.json",) and not path.name.startswith(".")
    }
