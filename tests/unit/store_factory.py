"""A source of a few pairs, to make a store of."""

import json

from mtray.schema import Source


def a_source(folder, **keys):
    lines = [
        {"en": "abcdef"[: 1 + i % 6] * (1 + i // 6), "uk": "fed" * (1 + i % 3)} for i in range(40)
    ]
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    fields = {"name": "pairs", "kind": "parallel", "path": str(path), "languages": ("en", "uk")}
    return Source(**(fields | keys))
