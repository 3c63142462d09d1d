"""Files that Git LFS has not fetched: a pointer of three lines lies in their place."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from mtray.errors import DataError
from mtray.git_lfs import MOST_BYTES, is_pointer


def refuse_pointer(place: Path, head: bytes, member: str = "") -> None:
    """DataError for the pointer of a file, or of a member of an archive; `head`: its first
    bytes."""
    if not is_pointer(head):
        return
    size = re.search(rb"^size (\d+)$", head[:MOST_BYTES], re.MULTILINE)
    bytes_ = f" of {int(size[1]):,} bytes" if size else ""
    if member:
        raise DataError(
            f"{place}/{member}: a Git LFS pointer, packed in place of the file{bytes_}; run "
            "`git lfs pull` where it was packed, and pack it again"
        )
    command = ["git", "-C", str(place.parent), "lfs", "pull", f"--include={place.name}"]
    raise DataError(
        f"{place}: a Git LFS pointer in place of the file{bytes_}; fetch it with "
        f"`{shlex.join(command)}`"
    )
