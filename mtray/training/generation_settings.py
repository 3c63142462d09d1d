"""Settings of generation that come with a model (generation_config.json, older ones in
config.json). None but its special tokens affects evaluation, where every model is decoded alike;
an exported model gets them back as they were, even those that transformers refuses to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mtray.compat.transformers import misplaced_settings

# what is kept: which tokens begin, end and pad a text
TOKENS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
OWN = "_mtray_own_generation"  # attribute of a model, which its copies have as well
FILE = "generation_config.json"


def set_aside(model: Any) -> None:
    """Replace a model's generation config by one with its special tokens only."""
    from transformers import GenerationConfig

    own = model.generation_config
    if own is None:
        return
    setattr(model, OWN, own)
    kept = {name: getattr(own, name, None) for name in TOKENS}
    model.generation_config = GenerationConfig(**kept)
    for name in misplaced_settings(model.config):
        if name not in TOKENS:
            setattr(model.config, name, None)


def write_own(model: Any, folder: Path) -> None:
    """Write into an exported model's folder the settings that were set aside, if any. They are not
    checked: what a model was published with may be what transformers calls invalid."""
    if (own := getattr(model, OWN, None)) is not None:
        own.to_json_file(folder / FILE, use_diff=True)


def hand_on(before: Any, after: Any) -> None:
    """Give the settings of one model to another made of it."""
    after.generation_config = before.generation_config
    if hasattr(before, OWN):
        setattr(after, OWN, getattr(before, OWN))
