#!/usr/bin/env python3
"""The copy of a sweep in an S3 bucket (`--mirror`), and what becomes of it under faults.

    python benchmarks/mirror_check.py [--only NAME ...] [--list] [--moto-python PATH]

Needs `pip install 'mtray[mirror]'`, or an interpreter that has moto (`--moto-python`). The server
is moto's, on the loopback interface. `sweep` starts a real small sweep twice; the others have a
made-up run folder that grows as a sweep's does, with the real copying process beside it. Prints a
Markdown table: what was done, what was seen, seconds.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from pathlib import Path

from chaos_sweep import Failed
from mirror_faults import BUCKET, KEYS, Cable, holds, s3_server, wait_for

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "unit"))

from mirror_factory import MadeUpRun, check_consistent, content_of  # noqa: E402

from mtray.errors import RunError  # noqa: E402
from mtray.mirror.address import opened  # noqa: E402
from mtray.mirror.bucket import Bucket  # noqa: E402
from mtray.mirror.manifest import newest  # noqa: E402
from mtray.mirror.owner import read_owner  # noqa: E402
from mtray.mirror.restore import restore  # noqa: E402
from mtray.mirror.session import claimed  # noqa: E402
from mtray.mirror.state import read_state  # noqa: E402
from mtray.mirror_process import Copying, mirrored_beside  # noqa: E402

LARGE = 24 << 20  # bytes of a checkpoint


class Wrong(Exception):
    """A copy is not as it must be."""


class Scene:
    """A made-up run in a folder, its mirror, and what was said."""

    def __init__(self, folder: Path, cable: Cable, name: str) -> None:
        self.folder, self.cable, self.said = folder, cable, list[str]()
        self.address = f"s3://{BUCKET}/{name}"
        self.run = MadeUpRun(folder / "runs" / "made-up")
        self.bucket: Bucket = opened(self.address).within("made-up")

    def beside(self):  # type: ignore[no-untyped-def]
        return mirrored_beside(self.address, self.run.folder, self.said.append)

    def check(self) -> None:
        check_consistent(self.bucket, self.folder / "restored", self.run)

    def check_complete(self, copying: Copying | None) -> None:
        self.check()
        if copying is None or copying.incomplete:
            raise Wrong(f"the copy is not complete: {self.said}")
        if content_of(self.folder / "restored") != content_of(self.run.folder):
            raise Wrong("the copy is not what the folder holds")

    def ended(self, number: int) -> None:
        self.run.begin(number)
        self.run.keep(number, 1)
        self.run.end(number)

    def copied(self, records: int) -> None:
        def there() -> bool:
            found = newest(self.bucket)
            return found is not None and found.ended >= records

        wait_for(there, f"{records} records are copied")

    def has_checkpoint(self) -> bool:
        found = newest(self.bucket)
        return found is not None and any(file.resumes for file in found.files)

    def fenced(self) -> bool:
        state = read_state(self.run.folder)
        return state is not None and bool(state.fenced)

    def count(self, text: str) -> int:
        return sum(text in line for line in self.said)


def down(scene: Scene) -> str:
    with scene.beside() as copying:
        scene.ended(0)
        scene.copied(1)
        scene.cable.cut_off()
        for number in range(1, 4):
            scene.ended(number)
        wait_for(lambda: scene.count("cannot be written"), "the fault is said")
        status = read_state(scene.run.folder)
        if not status or "cannot be written since" not in status.line():
            raise Wrong("status does not say it")
        time.sleep(10)
        scene.cable.mend()
        scene.copied(4)
    scene.check_complete(copying)
    if (scene.count("cannot be written"), scene.count("is written again")) != (1, 1):
        raise Wrong(f"not said once: {scene.said}")
    return "said once, also in `status`; the 3 records that it missed were copied afterwards"


def down_at_the_end(scene: Scene) -> str:
    from mtray.commands import mirror

    with scene.beside() as copying:
        scene.ended(0)
        scene.copied(1)
        scene.cable.cut_off()
        scene.ended(1)
    scene.cable.mend()
    if copying is None or copying.code(0) != 2:
        raise Wrong("exit code 0")
    command = next(line for line in scene.said if "to copy it: " in line)
    path, _, address = command.split("python -m mtray mirror ")[1].rpartition(" --to ")
    with redirect_stdout(io.StringIO()):
        mirror.mirror(Path(path), address, None, False, False)
    copying.incomplete = False
    scene.check_complete(copying)
    return "the sweep's exit code is 2, and the command that it prints copies the rest"


def killed(scene: Scene) -> str:
    with scene.beside() as copying:
        scene.ended(0)
        scene.copied(1)
        scene.run.begin(1)
        scene.run.keep(1, 1, LARGE)
        scene.cable.delay, sent = 0.02, scene.cable.bytes
        wait_for(lambda: scene.cable.bytes > sent + LARGE // 8, "an eighth is sent")
        assert copying is not None and copying.process is not None
        os.kill(copying.process.pid, signal.SIGKILL)
        share = (scene.cable.bytes - sent) / LARGE
        scene.cable.mend()
        scene.check()
        if scene.has_checkpoint():
            raise Wrong("a part of a checkpoint is in the copy")
        wait_for(scene.has_checkpoint, "the checkpoint")
    scene.check_complete(copying)
    return (
        f"killed after {share:.0%} of a checkpoint of {LARGE >> 20} MiB: the copy stayed the one "
        "before; the process was started again and copied it"
    )


def slow(scene: Scene) -> str:
    scene.cable.delay = 0.4
    spent = 0.0
    with scene.beside() as copying:
        for number in range(6):
            began = time.monotonic()
            scene.ended(number)
            spent = max(spent, time.monotonic() - began)
            time.sleep(1)
    scene.check_complete(copying)
    return f"0.4 s a packet: complete; the slowest trial's end took {1000 * spent:.0f} ms"


def truncated(scene: Scene) -> str:
    from pyarrow import fs

    with scene.beside() as copying:
        for number in range(2):
            scene.ended(number)
        scene.copied(2)
        found = newest(scene.bucket)
        assert found is not None
        file = next(file for file in found.files if file.path.endswith("1/result.json"))
        raw = fs.S3FileSystem(
            endpoint_override=f"127.0.0.1:{scene.cable.port}", scheme="http", region="us-east-1"
        )
        path = f"{BUCKET}/truncated/made-up/{file.object}"
        with raw.open_output_stream(path) as out:
            out.write(b"half")
        target = scene.folder / "elsewhere"
        try:
            restore(scene.bucket, target, scene.said.append)
        except RunError as error:
            if file.object not in str(error) or "has 4 bytes instead of" not in str(error):
                raise Wrong(f"{error}") from None
        else:
            raise Wrong("it was restored")
        if target.exists():
            raise Wrong("something is left")
    scene.check_complete(copying)
    return "restoring names the object and leaves nothing; at its end the sweep copied it again"


def two_heads(scene: Scene) -> str:
    with scene.beside() as copying:
        scene.ended(0)
        scene.copied(1)
        other = scene.folder / "other" / "made-up"
        restore(scene.bucket, other, scene.said.append)
        began = time.monotonic()
        try:
            claimed(scene.address, other, scene.said.append)
        except RunError as error:
            refused, text = time.monotonic() - began, str(error)
        else:
            raise Wrong("two heads write one copy")
        if "is being written by another sweep" not in text:
            raise Wrong(text)
        assert copying is not None and copying.process is not None
        copying.over.set()  # its head is cut off: it gives no sign of life, and goes on later
        copying.process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        owner = claimed(scene.address, other, scene.said.append)
        taken = time.monotonic() - began
        scene.ended(1)
        copying.process.send_signal(signal.SIGCONT)
        wait_for(scene.fenced, "the first is told")
    found, now = newest(scene.bucket), read_owner(scene.bucket)
    if found is None or found.ended != 1 or now is None or now.token != owner.token:
        raise Wrong("the first has written")
    if copying.code(0) != 2:
        raise Wrong("the first ends with exit code 0")
    return (
        f"the second was refused after {refused:.0f} s; when the first gave no sign it took over "
        f"after {taken:.0f} s, and the first, which went on, wrote nothing more and said so"
    )


def sweep(scene: Scene) -> str:
    from mirror_sweep import head_lost

    return head_lost(scene.folder, scene.address)


CASES: dict[str, tuple[Callable[[Scene], str], str]] = {
    "down": (down, "the server cannot be reached for a while"),
    "down_at_the_end": (down_at_the_end, "the server cannot be reached when the sweep ends"),
    "killed": (killed, "the copying process is killed during an upload"),
    "truncated": (truncated, "an object of the copy is truncated"),
    "slow": (slow, "the server is slow"),
    "two_heads": (two_heads, "a second head starts on the same bucket"),
    "sweep": (sweep, "a real sweep: the head is killed (SIGKILL), its folder deleted, and the same "
              "command given again"),
}  # fmt: skip


def checked(name: str, cable: Cable) -> bool:
    act, text = CASES[name]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mirror-", ignore_cleanup_errors=True) as folder:
        try:
            found = act(Scene(Path(folder), cable, name))
            for key in KEYS.values():
                if leaks := holds(Path(folder), key):
                    raise Wrong(f"{key} is in {leaks[0]}")
        except (Wrong, Failed, TimeoutError, AssertionError) as error:
            found = f"WRONG: {error}"
        finally:
            cable.mend()
    print(f"| {text} | {found} | {time.monotonic() - began:.0f} |", flush=True)
    return not found.startswith("WRONG")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--list", action="store_true", help="list the cases and run nothing")
    parser.add_argument("--moto-python", default=sys.executable, help="interpreter that has moto")
    args = parser.parse_args()
    if args.list:
        print("\n".join(f"{name}: {text}" for name, (_, text) in CASES.items()))
        return 0
    if args.moto_python == sys.executable and importlib.util.find_spec("moto") is None:
        print("error: needs the package moto: pip install 'mtray[mirror]'", file=sys.stderr)
        return 2
    if not shutil.which(args.moto_python):
        print(f"error: --moto-python {args.moto_python}: no such program", file=sys.stderr)
        return 2
    print("| what was done | what was seen | s |\n| --- | --- | --- |", flush=True)
    with s3_server(args.moto_python) as cable, suppress(KeyboardInterrupt):
        right = [checked(name, cable) for name in args.only]
        return 0 if all(right) else 1
    return 130


if __name__ == "__main__":
    raise SystemExit(main())
