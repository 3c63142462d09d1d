"""How to recognise a file that Git LFS has not fetched: a pointer of three lines lies in its place
(https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md)."""

from __future__ import annotations

BEGIN = b"version https://git-lfs"
MOST_BYTES = 1024  # of a pointer, by its specification


def is_pointer(head: bytes) -> bool:
    """Whether a file with these first bytes is a pointer."""
    return head.startswith(BEGIN)
