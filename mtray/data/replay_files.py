"""Generated replay on disk: the examples of a source with `replay: gr` or `self`, generated once
(`mtray.generated_replay`) and stored in mtray's cache under the hash of everything they depend on.

`KEY.jsonl` has a `prompt` and a `target` in each line. `KEY.json`, written last, describes inputs
and outputs, with the hash of the lines. If it is missing, or the hash differs, the replay counts as
missing.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import heapq
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mtray.data.content_draws import uniform_by_content
from mtray.data.readers.sources import source_rows
from mtray.data.token_files import key_of
from mtray.errors import DataError
from mtray.file_locks import lock
from mtray.files import file_hash, write_atomically
from mtray.paths import cache_dir
from mtray.schema import Source

FORMAT = 1

Pair = tuple[str, str]


def replay_dir() -> Path:
    """Folder of generated replay: `replay` in mtray's cache folder."""
    return Path(cache_dir() / "replay").expanduser().absolute()


def prompts_of(source: Source) -> list[str]:
    """As many of the source's prompts as `generation.examples` says, or all: those with the lowest
    hashes, without duplicates. Raises DataError."""
    wanted = source.generation.examples
    heap: list[tuple[float, str]] = []
    held: set[str] = set()
    for row in source_rows(source):
        prompt = row["prompt"].strip()
        if not prompt or prompt in held:
            continue
        held.add(prompt)
        heapq.heappush(heap, (-uniform_by_content("replay", source.name, prompt), prompt))
        if len(heap) > wanted:
            held.discard(heapq.heappop(heap)[1])
    if not heap:
        raise DataError(f"source {source.name!r}: it has no prompt for the model to answer")
    return [prompt for _, prompt in sorted(heap, reverse=True)]


class StoredReplay:
    """The generated examples of one source, identified by what they depend on."""

    def __init__(self, inputs: Mapping[str, Any]) -> None:
        self.inputs = {**inputs, "format": FORMAT}
        self.key = key_of(self.inputs)
        self.path = replay_dir() / f"{self.key}.jsonl"
        self.manifest_path = self.path.with_suffix(".json")

    def manifest(self) -> dict[str, Any] | None:
        """The manifest, or None where the replay is missing or incomplete."""
        try:
            found: dict[str, Any] = json.loads(self.manifest_path.read_text(encoding="utf-8"))
            whole = found["inputs"] == self.inputs and found["sha256"] == file_hash(self.path)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if whole else None

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time: a second one waits for the first to finish. DataError where the
        cache cannot be written."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = open(self.path.with_suffix(".lock"), "a")  # noqa: SIM115
        except OSError as error:
            raise DataError(
                f"{self.path.parent}: replay cannot be stored ({error.strerror}); set MTRAY_CACHE "
                "to a writable folder"
            ) from None
        with file:
            lock(file, fcntl.LOCK_EX, self.path.parent)
            yield

    def keep(self, pairs: Sequence[Pair], made: Mapping[str, Any]) -> None:
        """Write the examples and the manifest, each atomically."""
        lines = "".join(
            json.dumps({"prompt": prompt, "target": target}, ensure_ascii=False) + "\n"
            for prompt, target in pairs
        ).encode("utf-8", "backslashreplace")
        manifest = {
            "inputs": self.inputs,
            "examples": len(pairs),
            **made,
            "sha256": hashlib.sha256(lines).hexdigest(),
        }
        write_atomically(self.path, lines)
        write_atomically(
            self.manifest_path, json.dumps(manifest, indent=1, ensure_ascii=False).encode()
        )


def as_given(source: Source, kept: StoredReplay) -> Source:
    """The source with its generated examples in place of its prompts."""
    given = {"path": str(kept.path), "replay": "er", "format": "jsonl"}
    own = {"split", "config", "revision", "columns", "generation"}
    return Source.model_validate(source.model_dump(exclude_defaults=True, exclude=own) | given)
