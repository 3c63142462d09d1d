"""Load models and tokenizers: `embedded`, a folder, or a hub name. Safetensors only; no code from
strangers unless asked."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mtray.embedded import BASE_MODEL
from mtray.errors import ModelError

HUB_NAME = re.compile(r"^[\w.-]+/[\w.-]+$")
HUB_TIMEOUT = 4  # seconds until a hub that does not answer counts as unreachable


def resolve_model(name: str) -> str:
    """A folder with a whole model, or a hub name that the hub (or its local cache) knows. Raises
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
    # every failure of the network and of the hub means the same to the user
    except Exception as error:
        raise ModelError(
            f"model {name!r}: not a folder here, not in the hub's cache, and the hub did not give "
            f"it ({_on_one_line(error)[:120]}); check the name and the network, or pass a folder"
        ) from None
    return name


def load_tokenizer(name: str, trust_remote_code: bool = False) -> Any:
    from transformers import AutoTokenizer

    path = resolve_model(name)
    try:
        return AutoTokenizer.from_pretrained(path, trust_remote_code=trust_remote_code)
    # a damaged file raises whatever the library that reads it likes to
    except Exception as error:
        raise ModelError(
            f"model {name!r}: its tokenizer cannot be loaded: {_on_one_line(error)}"
        ) from None


def load_model(name: str, trust_remote_code: bool = False) -> Any:
    """The causal language model in fp32 on the CPU, or on the GPU where there is one."""
    import torch
    from transformers import AutoModelForCausalLM

    path = resolve_model(name)
    try:
        model, found = AutoModelForCausalLM.from_pretrained(
            path,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
        )
    except Exception as error:
        raise ModelError(f"model {name!r}: cannot be loaded: {_on_one_line(error)}") from None
    if found["missing_keys"]:
        # transformers would leave them random, with a warning
        missing = ", ".join(sorted(found["missing_keys"])[:3])
        count = len(found["missing_keys"])
        raise ModelError(
            f"model {name!r}: cannot be loaded: its files lack {count} weights ({missing}, ...)"
        )
    return model.to("cuda") if torch.cuda.is_available() else model


def block_count(name: str) -> int:
    """Transformer blocks of a model, from its config alone."""
    path = resolve_model(name)
    from transformers import AutoConfig  # after the checks that need no slow import

    try:
        config = AutoConfig.from_pretrained(path)
    except Exception as error:
        raise ModelError(
            f"model {name!r}: its config cannot be read: {_on_one_line(error)}"
        ) from None
    return int(
        getattr(config, "num_hidden_layers", 0)
        or getattr(config.get_text_config(), "num_hidden_layers", 0)
    )


def moved_parameters(name: str, frozen_layers: int) -> int:
    """How many parameters of a model move in full fine-tuning, from its config alone."""
    path = resolve_model(name)
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from mtray.training.freezing import freeze_bottom

    with torch.device("meta"):  # shapes without weights
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(path))
    model.tie_weights()
    return freeze_bottom(model, frozen_layers)


def _on_one_line(error: Exception) -> str:
    """The start of an error's text; the first line alone is often only a heading."""
    return (" ".join(str(error).split()) or type(error).__name__)[:200]
