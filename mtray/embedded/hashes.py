"""SHA-256 of the committed weights.

`python -m mtray.embedded.hashes` checks them; with `--write` it records them in
`weights/SHA256SUMS`, after weights were rebuilt. The file has the format of `sha256sum`, so
`sha256sum --check SHA256SUMS` in that folder does the same.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

from mtray.paths import WEIGHTS

SUMS = "SHA256SUMS"
NOT_HASHED = {SUMS, "README.md"}  # documentation: nothing loads it


def digests(folder: Path = WEIGHTS) -> dict[str, str]:
    """SHA-256 of every file, by its path inside `folder`; hidden files and cards left out."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in NOT_HASHED and not path.name.startswith(".")
    }


def recorded(folder: Path = WEIGHTS) -> dict[str, str]:
    """The contents of SHA256SUMS; empty if it does not exist."""
    sums = folder / SUMS
    lines = sums.read_text(encoding="utf-8").splitlines() if sums.is_file() else []
    pairs = (line.split("  ", 1) for line in lines if line.strip())
    return {name: digest for digest, name in pairs}


def differences(folder: Path = WEIGHTS) -> list[str]:
    """Errors, a line for each file; empty if every file exists and has its recorded hash."""
    wanted, found = recorded(folder), digests(folder)
    if not wanted:
        return [f"{folder / SUMS} is missing or empty"]
    lines = [f"{name} is missing" for name in wanted if name not in found]
    lines += [f"{name} is not in {SUMS}" for name in found if name not in wanted]
    both = [name for name in wanted if name in found]
    return lines + [f"{name} has another hash" for name in both if wanted[name] != found[name]]


def write(folder: Path = WEIGHTS) -> Path:
    """Record the hashes of the current files."""
    text = "".join(f"{digest}  {name}\n" for name, digest in digests(folder).items())
    (folder / SUMS).write_text(text, encoding="utf-8")
    return folder / SUMS


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    if arguments == ["--write"]:
        print(f"wrote {write()}")
        return 0
    if arguments:
        print(__doc__)
        return 2
    wrong = differences()
    print("\n".join(wrong or [f"{len(recorded())} files are as recorded"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
