"""The errors of token stores that cannot be written."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from mtray.errors import DataError
from mtray.full_disk import is_full, why_full

NEXT = (
    "free some space (`python -m mtray data clean` lists the stores, `--yes` deletes old ones), or "
    "set MTRAY_STORE to a folder with more room, and run the same command again"
)
MORE = "the store needs more"


class NoRoom(DataError):
    """No space is left for a store.

    - `root`: the folder of the stores.
    - `why`: how much was free there before the store was begun, as text.
    - `needs`: how much the store needs, as text.
    """

    def __init__(self, root: Path, why: str, needs: str = MORE) -> None:
        self.root, self.why = root, why
        super().__init__(f"{root}: no space left there ({why}, and {needs}); {NEXT}")


@contextlib.contextmanager
def writing(root: Path, scratch: Path | None = None, needs: str = MORE) -> Iterator[None]:
    """Turn an OSError within into an error of the stores' folder: raise NoRoom if the disk is full,
    DataError otherwise.

    - `root`: the folder of the stores.
    - `scratch`: the folder of the unfinished store, which is deleted after an error.
    - `needs`: how much the store needs, as text.
    """
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise NoRoom(root, why_full(error, root, scratch), needs) from error
        raise DataError(
            f"{root}: the token store cannot be written ({error.strerror or error}); set "
            "MTRAY_STORE to a folder that can be written"
        ) from error
