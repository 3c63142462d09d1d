"""From a model's name to its files: `embedded`, a folder, or a hub name."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from mtray.errors import ModelError
from mtray.model_folder import ADAPTER_CONFIG, check_folder, check_weights
from mtray.paths import BASE_MODEL

HUB_NAME = re.compile(r"^[\w.-]+/[\w.-]+$")
COMET_FILES = ("hparams.yaml", "checkpoints/model.ckpt")
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
            "allowed: 'embedded', a folder, a hub name, and in a study run:NAME/NUMBER"
        )
    return _checked_hub_name(name)


def _checked_folder(path: Path) -> Path:
    check_folder(path)
    return path


def _checked_hub_name(name: str) -> str:
    from huggingface_hub import HfApi, try_to_load_from_cache

    try:
        if isinstance(try_to_load_from_cache(name, "config.json"), str):
            return name
        found = HfApi().model_info(name, timeout=HUB_TIMEOUT)
    # every network or hub failure means the same to the user
    except Exception as error:
        raise ModelError(
            f"model {name!r}: not a folder here, not in the hub's cache, and could not be "
            f"downloaded ({on_one_line(error)[:120]}); check the name and the network, or "
            "pass a folder"
        ) from None
    _check_listed(name, [file.rfilename for file in getattr(found, "siblings", None) or ()])
    return name


def _check_listed(name: str, files: Sequence[str]) -> None:
    """ModelError where the hub lists no weights that are loaded."""
    weights = [file for file in files if file.endswith(".safetensors")]
    if files and "config.json" not in files and ADAPTER_CONFIG in files:
        raise ModelError(
            f"model {name!r}: is an adapter ({ADAPTER_CONFIG}), not a whole model; merge it with "
            "its base model (peft's `merge_and_unload`, then `save_pretrained`) and give that "
            "folder"
        )
    if files and not weights:
        old = [file for file in files if file.endswith((".bin", ".pt", ".pth"))]
        hint = f" ({old[0]} is a pickle and is not loaded; convert it)" if old else ""
        raise ModelError(f"model {name!r}: the hub has no weights (*.safetensors) of it{hint}")


def hub_cache_state(name: str, comet: bool = False) -> dict[str, str]:
    """What this machine's cache of the hub has of a model, found without the network.

    - `commit`: the commit of the copy that is there; empty if there is none.
    - `lacks`: what is missing in the copy; empty if it is complete.
    - `cache`: the cache's folder.
    - `offline`: `NAME=value` of the variable that forbids access to the hub; empty if it is
      allowed.

    `comet`: the model is a COMET checkpoint, not one of transformers.
    """
    from huggingface_hub import constants, try_to_load_from_cache

    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    off = next((f"{n}={value}" for n in names if (value := os.environ.get(n))), "")
    state = {"commit": "", "lacks": "", "cache": str(constants.HF_HUB_CACHE)}
    state["offline"] = off if constants.HF_HUB_OFFLINE else ""
    first = try_to_load_from_cache(name, COMET_FILES[0] if comet else "config.json")
    if not isinstance(first, str):
        return state
    folder = Path(first).parent
    state["commit"] = folder.name
    if comet:
        state["lacks"] = ", ".join(file for file in COMET_FILES if not (folder / file).is_file())
        return state
    try:
        check_weights(folder)
    except (ModelError, OSError) as error:
        state["lacks"] = on_one_line(error)
    return state


def on_one_line(error: Exception) -> str:
    """The start of an error's text; its first line alone is often only a heading."""
    if "trust_remote_code" in str(error):
        return (
            "it needs code of its own (`auto_map` in its JSON files), and the study's "
            "`trust_remote_code` is false; set it to true if you trust that code"
        )
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
