"""Keys that transformers 5 writes into a model's folder under new names, for programs with
transformers 4: without them that refuses the tokenizer, and takes the default frequencies of rotary
positions without a word, which gives other scores. transformers 5 reads both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PLAIN = {"TokenizersBackend": "PreTrainedTokenizerFast"}  # the class's name in 5 and in 4
# frequencies of all layers, or of each kind of layer: of those with a window, and of the others
THETA, WINDOW, WHOLE = "rope_theta", "sliding_attention", "full_attention"
KINDS = ("default", "linear", "dynamic", "yarn", "longrope", "llama3")  # that transformers 4 has


def write_for_older(folder: Path) -> None:
    """Add them to the config and the tokenizer's config of an exported model."""
    for name, rename in (("config.json", _positions), ("tokenizer_config.json", _tokens)):
        file = folder / name
        if file.is_file():
            before = json.loads(file.read_text())
            if (after := rename(before)) != before:
                file.write_text(json.dumps(after, indent=2, ensure_ascii=False) + "\n")


def _positions(config: dict[str, Any]) -> dict[str, Any]:
    rope = config.get("rope_parameters") or {}
    parts = [part for part in rope.values() if isinstance(part, dict)] or [rope]
    if any(part.get("rope_type", "default") not in KINDS for part in parts):
        return config  # a family that it does not have
    added: dict[str, Any] = {}
    if THETA in rope.get(WINDOW, {}):  # Gemma 3
        added["rope_local_base_freq"] = rope[WINDOW][THETA]
    rope = rope.get(WHOLE, rope)
    if THETA in rope:
        added[THETA] = rope[THETA]
    if "partial_rotary_factor" in rope:
        added["partial_rotary_factor"] = rope["partial_rotary_factor"]
    if rope.get("rope_type", "default") != "default":
        added["rope_scaling"] = {name: value for name, value in rope.items() if name != THETA}
    return added | config


def _tokens(config: dict[str, Any]) -> dict[str, Any]:
    found = dict(config)
    if (name := config.get("tokenizer_class")) in PLAIN:
        found["tokenizer_class"] = PLAIN[name]
    if isinstance(config.get("extra_special_tokens"), list):  # a mapping in transformers 4
        found["additional_special_tokens"] = found.pop("extra_special_tokens")
    return found
