"""`data clean`: delete token stores that have not been used for long."""

from __future__ import annotations

import time

from mtray.data.store_usage import StoreUsage, all_stores, delete_store, is_used, oldest
from mtray.data.token_files import store_dir
from mtray.errors import ConfigError, DataError
from mtray.report.printing import aligned

GIGABYTE = 1e9


def clean(days: float, most: float | None, yes: bool) -> int:
    """List every store and what would be deleted, or with `yes` delete it: stores not used for
    `days`, and then the least recently used until `most` gigabytes are left. A store in use is
    kept."""
    if days < 0 or (most is not None and most < 0):
        raise ConfigError(f"--days, --max-gb: expected 0 or more, found {days:g} and {most}")
    root = store_dir()
    stores = all_stores(root)
    chosen = oldest(stores, days, None if most is None else most * GIGABYTE)
    rows, deleted = [["store", "source", "last used", "MB", ""]], []
    for kept in stores:
        fate = _fate(kept, kept in chosen, yes)
        deleted += [kept] * (fate in (GONE, WOULD_GO))
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(kept.used))
        name = kept.name or "incomplete"
        rows.append([kept.folder.name[:33], name, used, f"{kept.bytes / 1e6:,.1f}", fate])
    if stores:
        print("\n".join(aligned(rows, left=3)))
    size, left = (sum(k.bytes for k in some) / GIGABYTE for some in (deleted, stores))
    what = "deleted" if yes else "to delete with --yes"
    print(
        f"{root}: {len(stores):,} stores, {left:,.3f} GB; {len(deleted):,} {what}, {size:,.3f} GB "
        f"(unused for {days:g} days{'' if most is None else f', or over {most:g} GB'})"
    )
    return 0


GONE, WOULD_GO, USED = "deleted", "would be deleted", "in use"


def _fate(kept: StoreUsage, chosen: bool, yes: bool) -> str:
    try:
        if not chosen:
            return USED if is_used(kept) else ""
        if yes:
            return GONE if delete_store(kept) else USED
        return USED if is_used(kept) else WOULD_GO
    except OSError as error:
        raise DataError(f"{kept.folder}: cannot be deleted ({error.strerror})") from error
