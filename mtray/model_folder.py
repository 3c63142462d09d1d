"""What can be wrong with the files of a model's folder, found without reading the weights: Git LFS
pointers, missing shards, files that are cut off, adapters, pickles, and code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mtray.errors import ModelError
from mtray.git_lfs import MOST_BYTES, is_pointer

INDEX = "model.safetensors.index.json"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
CUSTOM_GENERATE = Path("custom_generate", "generate.py")
# by families: most of today; Llama 2; GPT-2; T5; XLM-R and mBART; BERT; Marian
TOKENIZERS = (
    "tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model", "sentencepiece.bpe.model",
    "vocab.txt", "source.spm",
)  # fmt: skip
BYTE_TOKENIZERS = ("ByT5Tokenizer",)  # have no vocabulary
HEADER = 8  # bytes; the length of a safetensors file's header, little-endian


def check_folder(path: Path) -> None:
    """ModelError unless the folder holds a whole model with its tokenizer. Reads JSON and the
    headers of safetensors files only."""
    if not path.is_dir():
        raise ModelError(
            f"model {path}: not a folder; give the folder that holds config.json and the weights"
        )
    _check_adapter(path)
    config = path / "config.json"
    if not config.is_file():
        raise ModelError(f"model {path}: no config.json in that folder")
    _read_json(config)
    check_weights(path)
    _check_tokenizer(path)


def check_no_code(path: str, trust_remote_code: bool) -> None:
    """ModelError for a folder with `custom_generate/generate.py`, unless its code is trusted:
    transformers runs it when it loads the model, whatever its own `trust_remote_code` says. For a
    name on the hub transformers refuses it itself."""
    file = Path(path) / CUSTOM_GENERATE
    if not trust_remote_code and file.exists():
        raise ModelError(
            f"model {path}: holds {CUSTOM_GENERATE}, code that would be run, and "
            "`trust_remote_code` is false; use a copy without that folder, or set "
            "`trust_remote_code: true` in the study if you trust the code"
        )


def left_over_adapter(path: str) -> bool:
    """Whether a folder with whole weights has an `adapter_config.json` without an adapter."""
    return (Path(path) / ADAPTER_CONFIG).is_file()


def generation_settings(path: str) -> Mapping[str, Any]:
    """The contents of a folder's generation_config.json; empty where there is none."""
    file = Path(path) / "generation_config.json"
    return _read_json(file) if file.is_file() else {}


def _check_adapter(path: Path) -> None:
    adapter = path / ADAPTER_CONFIG
    if not adapter.is_file():
        return
    base = _read_json(adapter).get("base_model_name_or_path")
    merge = "merge it with its base model (peft's `merge_and_unload`, then `save_pretrained`)"
    if not (path / "config.json").is_file() or not _whole_weights(path):
        raise ModelError(
            f"model {path}: is an adapter of {base!r} ({ADAPTER_CONFIG}), not a whole model; "
            f"{merge} and give that folder"
        )
    if weights := next((name for name in ADAPTER_WEIGHTS if (path / name).is_file()), None):
        raise ModelError(
            f"model {path}: holds whole weights and an adapter of {base!r} ({weights}), so it is "
            f"not clear which model is meant; move {ADAPTER_CONFIG} and {weights} away to use the "
            f"whole weights alone, or {merge} and give that folder"
        )


def _whole_weights(path: Path) -> bool:
    return any(p.name not in ADAPTER_WEIGHTS for p in path.glob("*.safetensors"))


def check_weights(path: Path) -> None:
    """Raise ModelError unless the folder holds all of a model's weights, in safetensors."""
    if not _whole_weights(path):
        old = ", ".join(p.name for p in sorted(path.glob("*.bin"))[:3])
        hint = (
            f" ({old} is a pickle and is not loaded; convert it to safetensors: load it with "
            "transformers where you trust it, and `save_pretrained` it)"
        )
        raise ModelError(
            f"model {path}: no weights (*.safetensors) in that folder{hint if old else ''}"
        )
    for name in _shards(path):
        _check_safetensors(path / name)


def _shards(path: Path) -> list[str]:
    """The files with weights, where all are there."""
    found = sorted(p.name for p in path.glob("*.safetensors"))
    index = path / INDEX
    if "model.safetensors" in found:
        return ["model.safetensors"]
    if not index.is_file():
        if any("-of-" in name for name in found):
            raise ModelError(
                f"model {path}: {found[0]} is a shard, and {INDEX}, which lists all shards, is "
                "missing; copy or download it again"
            )
        return found
    listed = _read_json(index).get("weight_map")
    if not isinstance(listed, dict) or not listed:
        raise ModelError(f"model {path}: {INDEX} has no `weight_map`; copy or download it again")
    wanted = sorted(set(map(str, listed.values())))
    if absent := [name for name in wanted if name not in found]:
        shown = ", ".join(absent[:3]) + (", ..." if len(absent) > 3 else "")
        raise ModelError(
            f"model {path}: {len(absent)} of {len(wanted)} files that {INDEX} lists are missing: "
            f"{shown}; copy or download them again"
        )
    return wanted


def _check_safetensors(file: Path) -> None:
    """ModelError unless the file is as long as its header says (the format:
    https://github.com/huggingface/safetensors#format)."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        start = opened.read(HEADER)
        _refuse_pointer(file, start + opened.read(MOST_BYTES))
        opened.seek(HEADER)
        length = int.from_bytes(start, "little")
        cut = len(start) < HEADER or HEADER + length > size
        header = b"" if cut else opened.read(length)
    try:
        tensors = {} if cut else json.loads(header)
        tensors.pop("__metadata__", None)
        needed = HEADER + length + max((t["data_offsets"][1] for t in tensors.values()), default=0)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(
            f"model {file.parent}: {file.name} is no safetensors file ({error}); copy or download "
            "it again"
        ) from None
    if cut or needed > size:
        of = "" if cut else f" of {needed:,}"
        raise ModelError(
            f"model {file.parent}: {file.name} is cut off: {size:,}{of} bytes are there; copy or "
            "download it again"
        )


def _check_tokenizer(path: Path) -> None:
    found = [path / name for name in TOKENIZERS if (path / name).is_file()]
    for file in found:
        with file.open("rb") as opened:
            _refuse_pointer(file, opened.read(MOST_BYTES))
    settings = path / "tokenizer_config.json"
    of = _read_json(settings).get("tokenizer_class") if settings.is_file() else None
    if not found and of not in BYTE_TOKENIZERS:
        raise ModelError(
            f"model {path}: no tokenizer (tokenizer.json) in that folder; read are "
            f"{', '.join(TOKENIZERS)}"
        )


def _refuse_pointer(file: Path, start: bytes) -> None:
    if is_pointer(start):
        raise ModelError(
            f"model {file.parent}: {file.name} is a Git LFS pointer, not the file itself; run "
            "`git lfs pull` in that folder"
        )


def _read_json(file: Path) -> dict[str, Any]:
    content = file.read_bytes()
    _refuse_pointer(file, content)
    try:
        found = json.loads(content)
    except ValueError as error:
        raise ModelError(f"model {file.parent}: {file.name} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ModelError(
            f"model {file.parent}: {file.name} holds a {type(found).__name__}, not an object"
        )
    return found
