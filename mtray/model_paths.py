"""From a model's name to its files: `embedded`, a folder, or a hub name."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mtray.errors import ModelError
from mtray.paths import BASE_MODEL

HUB_NAME = re.compile(r"^[\w.-]+/[\w.-]+$")
HUB_TIMEOUT = 4  # seconds after which the hub counts as unreachable


def resolve_model(name: str) -> str:
    """A folder with a complete model, or a hub name that the hub (or its local cache) knows. Raises
    ModelError within seconds."""
    if name == "embedded":
        return str(_checked_folder(BASE_MODEL))
    path = Path(os.path.expanduser(name))
    if name and path.exists():
        return str(_checked_folder(path.resolve()))
    if not HUB_NAME.match(name):
        raise ModelError(
            f"model {name!r}: no such folder, and not a hub name (owner/name); "
            "allowed: 'embedded', a folder, a hub name"
        )
    return _checked_hub_name(name)


def _checked_folder(path: Path) -> Path:
    if not path.is_dir():
        raise ModelError(
            f"model {path}: not a folder; give the folder that holds config.json and the weights"
        )
    if not (path / "config.json").is_file():
        raise ModelError(f"model {path}: no config.json in that folder")
    if not any(path.glob("*.safetensors")):
        old = ", ".join(p.name for p in sorted(path.glob("*.bin"))[:3])
        hint = f" ({old} is a pickle and is not loaded; convert it to safetensors)" if old else ""
        raise ModelError(f"model {path}: no weights (*.safetensors) in that folder{hint}")
    if not any((path / f).is_file() for f in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        raise ModelError(f"model {path}: no tokenizer (tokenizer.json) in that folder")
    return path


def _checked_hub_name(name: str) -> str:
    from huggingface_hub import HfApi, try_to_load_from_cache

    try:
        if isinstance(try_to_load_from_cache(name, "config.json"), str):
            return name
        HfApi().model_info(name, timeout=HUB_TIMEOUT)
    # every network or hub failure means the same to the user
    except Exception as error:
        raise ModelError(
            f"model {name!r}: not a folder here, not in the hub's cache, and could not be "
            f"downloaded ({_on_one_line(error)[:120]}); check the name and the network, or "
            "pass a folder"
        ) from None
    return name


def _on_one_line(error: Exception) -> str:
    """The start of an error's text; its first line alone is often only a heading."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
