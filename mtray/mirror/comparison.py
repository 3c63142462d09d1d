"""Whether a run folder and its copy are the same run, and which is newer. The journal decides: it
is only ever appended to, and its first line is different in every run."""

from __future__ import annotations

import hashlib
import shlex
import time
from pathlib import Path
from typing import Literal

from mtray.errors import RunError
from mtray.mirror.bucket import Bucket
from mtray.mirror.manifest import Manifest
from mtray.mirror.snapshot import Snapshot, whole_lines
from mtray.run_files import JOURNAL, RESULT, STUDY_FILE

Relation = Literal["same", "local newer", "copy newer", "both newer", "another run"]


def is_empty(run_dir: Path) -> bool:
    """Whether a folder has nothing of a run."""
    return not any((run_dir / name).exists() for name in (STUDY_FILE, JOURNAL, "trials"))


def relation(run_dir: Path, bucket: Bucket, manifest: Manifest) -> Relation:
    """Raises OSError if the copy's journal is needed and cannot be read."""
    local, copied = whole_lines(run_dir / JOURNAL), manifest.journal
    if copied is None:
        return "local newer"
    same = hashlib.sha256(local[: copied.size]).hexdigest() == copied.sha256
    if len(local) >= copied.size and same:
        return "same" if len(local) == copied.size else "local newer"
    journal = bucket.read(copied.object)
    if journal.startswith(local):
        return "copy newer"
    first = local.partition(b"\n")[0]
    return "both newer" if first == journal.partition(b"\n")[0] else "another run"


def check_nothing_lost(run_dir: Path, manifest: Manifest, now: Snapshot) -> None:
    """Raises RunError if the folder lacks what its own copy has, as while it is being deleted: the
    copy stays as it is then."""
    journal = manifest.journal
    if journal is not None:
        kept = hashlib.sha256(now.journal[: journal.size]).hexdigest() == journal.sha256
        if len(now.journal) < journal.size or not kept:
            raise RunError(f"{run_dir / JOURNAL} lacks lines that its copy has, which is kept")
    # the base model's record is measured again after a failure, and a damaged one is moved aside
    for file in manifest.files:
        path = run_dir / file.path
        aside = path.with_name(f"{path.name}.damaged")
        lost = file.trial not in (None, "base") and file.path.endswith(f"/{RESULT}")
        if lost and not path.exists() and not aside.exists():
            raise RunError(f"{path} is gone; its copy is kept")


def check_not_older(run_dir: Path, bucket: Bucket, manifest: Manifest, address: str) -> None:
    """Raises RunError unless the folder is of the same run as the copy and has all that the copy
    has, with the commands that go on from either."""
    found = relation(run_dir, bucket, manifest)
    if found in ("same", "local newer"):
        return
    folder, at = shlex.quote(str(run_dir)), time.localtime(manifest.written)
    copy = f"{bucket.shown} ({manifest.ended} records, {time.strftime('%Y-%m-%d %H:%M:%S', at)})"
    here = f"{run_dir} ({len(list(run_dir.glob(f'trials/*/{RESULT}')))} records)"
    if found == "another run":
        raise RunError(
            f"mirror: {copy} is the copy of another run than {here}. Give this run another --name "
            f"or another --mirror, or, to go on with the run of the copy, move the folder away:\n"
            f"  mv {folder} {folder}.other"
        )
    newer = {
        "copy newer": f"{copy} is newer than {here}",
        "both newer": f"{copy} and {here} have both gone on since they were the same",
    }[found]
    raise RunError(
        f"mirror: {newer}. To go on from the copy, move the folder away and give the same command "
        f"again:\n  mv {folder} {folder}.old\n"
        "To go on from the folder, let it replace the copy and give the same command again:\n"
        f"  python -m mtray mirror {folder} --to {shlex.quote(address)} --replace"
    )
