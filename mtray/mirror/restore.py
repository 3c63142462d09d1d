"""Brings a run back from its mirror: into a folder of its own, which becomes the run's when all of
it is there and checked."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mtray.errors import RunError
from mtray.files import sync
from mtray.full_disk import naming, size_text
from mtray.mirror.bucket import Bucket, hashed
from mtray.mirror.manifest import CopiedFile, Manifest, newest
from mtray.mirror.state import MirrorState, write_state
from mtray.report.printing import counted
from mtray.run_files import JOURNAL, LOCK, MIRROR_FILE, MIRROR_LOCK, STUDY_FILE

AT_ONCE = 8  # files
OURS = {LOCK, MIRROR_FILE, MIRROR_LOCK}  # files of a folder in which no run has begun
NEEDED = (JOURNAL, STUDY_FILE)
SHOWN = 5  # damaged objects


def restore(
    bucket: Bucket, run_dir: Path, tell: Callable[[str], None], without_damaged: bool = False
) -> Manifest | None:
    """Restore the newest complete copy of a run; None if there is none. A damaged checkpoint is
    left out, so that its trial starts again. Raises RunError, naming the objects, if others are
    damaged or missing, unless they are to be left out `without_damaged`; FullDisk; OSError."""
    manifest = newest(bucket)
    if manifest is None:
        return None
    check_free(run_dir)
    partial = run_dir.with_name(f".{run_dir.name}.restoring-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    size = size_text(sum(file.size for file in manifest.files))
    try:
        with naming(run_dir, partial, f"{size} are needed"):
            partial.mkdir(parents=True)
            wrong = _fetched(bucket, partial, manifest)
            if wrong and (again := newest(bucket)) and again.place != manifest.place:
                return restore(bucket, run_dir, tell, without_damaged)  # it was replaced meanwhile
            _drop_checkpoints(partial, wrong, tell)
            _report(bucket, run_dir, wrong, without_damaged, tell)
            state = MirrorState(
                address=bucket.shown, epoch=manifest.epoch, sequence=manifest.sequence,
                copied=manifest.written, ended=manifest.ended,
            )  # fmt: skip
            write_state(partial, state)
            _move(partial, run_dir)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    tell(
        f"mirror: restored {run_dir} from {bucket.shown}: {counted(manifest.ended, 'record')}, "
        f"{counted(len(manifest.files), 'file')}, {size}"
    )
    return manifest


def _fetched(bucket: Bucket, folder: Path, manifest: Manifest) -> dict[CopiedFile, str]:
    """Fetch all files; what is wrong with those that are not as the manifest says."""

    def one(file: CopiedFile) -> str:
        return fetch(bucket, file, folder / file.path)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(one, manifest.files))
    return {f: text for f, text in zip(manifest.files, found, strict=True) if text}


def fetch(bucket: Bucket, file: CopiedFile, path: Path) -> str:
    """Write a file's content to `path`. Why it is not there, or empty. Raises OSError if the bucket
    cannot be read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(path, "wb") as out:

            def kept() -> Iterator[bytes]:
                for block in bucket.blocks(file.object):
                    out.write(block)
                    yield block

            sha256, size = hashed(kept())
    except FileNotFoundError:
        path.unlink()
        return "is missing"
    if (sha256, size) == (file.sha256, file.size):
        sync(path)
        return ""
    path.unlink()
    if size != file.size:
        return f"has {size} bytes instead of {file.size}"
    return f"has the SHA-256 {sha256[:12]}... instead of {file.sha256[:12]}..."


def _drop_checkpoints(
    folder: Path, wrong: dict[CopiedFile, str], tell: Callable[[str], None]
) -> None:
    """Leave out checkpoints of which a part is damaged, with what belongs to them."""
    trials = {file.trial for file in wrong if file.resumes}
    for trial in sorted(filter(None, trials)):
        first = next(file for file in wrong if file.trial == trial and file.resumes)
        tell(
            f"mirror: the checkpoint of trial {trial} is left out, so that the trial starts again: "
            f"{first.object} {wrong[first]}"
        )
        shutil.rmtree(folder / "trials" / trial, ignore_errors=True)
    for file in [file for file in wrong if file.trial in trials]:
        del wrong[file]


def _report(
    bucket: Bucket, run_dir: Path, wrong: dict[CopiedFile, str], leave_out: bool,
    tell: Callable[[str], None],
) -> None:  # fmt: skip
    if not wrong:
        return
    lines = [f"{bucket.shown}/{file.object} ({file.path}) {why}" for file, why in wrong.items()]
    needed = any(file.path in NEEDED for file in wrong)
    if leave_out and not needed:
        for line in lines:
            tell(f"mirror: left out: {line}")
        return
    more = f"\n  and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    mend = "Restore an earlier version of these objects in the bucket, if it keeps versions"
    if not needed:
        mend += (
            f", or leave them out:\n  python -m mtray mirror {run_dir} --from ADDRESS "
            "--without-damaged"
        )
    shown = "\n  ".join(lines[:SHOWN])
    raise RunError(
        f"mirror: {run_dir} is not restored, and nothing of it is kept, because objects of the "
        f"copy are damaged:\n  {shown}{more}\n{mend}"
    )


def _move(partial: Path, run_dir: Path) -> None:
    """Put the folder in its place, where at most an empty one is."""
    check_free(run_dir)
    if run_dir.exists():
        for name in OURS:
            (run_dir / name).unlink(missing_ok=True)
        run_dir.rmdir()
    os.replace(partial, run_dir)
    sync(run_dir.parent)


def check_free(run_dir: Path) -> None:
    """Raises RunError if a folder of another purpose is there."""
    others = sorted(set(os.listdir(run_dir)) - OURS) if run_dir.is_dir() else []
    if others:
        raise RunError(
            f"{run_dir}: has no run, but other files ({', '.join(others[:3])}); a run is restored "
            "into a new or empty folder: move them away, or choose another --name"
        )
