"""A trained model as a plain Hugging Face folder, which `transformers` (or, for an adapter, `peft`)
loads without mtray. Written atomically."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mtray.compat.peft import adapted_layers, added_by_adapters, name_without_adapter
from mtray.errors import ConfigError, TrainError
from mtray.files import share, sync
from mtray.full_disk import naming
from mtray.training.generation_settings import hand_on, write_own
from mtray.training.older_readers import write_for_older


def check_empty(folder: Path) -> None:
    """ConfigError unless a model can be written there: the folder must be absent or empty."""
    if folder.is_dir() and any(folder.iterdir()):
        raise ConfigError(
            f"{folder}: not empty; give a folder that does not exist yet, or remove it"
        )
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; give a folder that does not exist yet")
    home = next(p for p in folder.absolute().parents if p.exists())
    if not home.is_dir() or not os.access(home, os.W_OK):
        raise ConfigError(f"{folder}: cannot be created, {home} is not writable; choose another")


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder next to `folder`, which is moved there at the end and removed on failure.
    Raises FullDisk for `folder`."""
    partial = folder.absolute().with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with naming(folder, partial):
            partial.mkdir(parents=True)
            yield partial
            for file in partial.iterdir():
                share(file)
                sync(file)
            sync(partial)
            check_empty(folder)
            if folder.is_dir():
                folder.rmdir()
            os.replace(partial, folder.absolute())
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def is_adapter(module: Any) -> bool:
    return hasattr(module, "merge_and_unload")


def save_model(module: Any, tokenizer: Any, folder: Path, merge: bool) -> str:
    """Write config, safetensors, tokenizer and generation config; for a model with an adapter only
    the adapter, unless `merge`. Returns which: `model` or `adapter`."""
    adapter = is_adapter(module)
    if adapter and merge:
        few_bits = getattr(module, "is_quantized", False)
        module, adapter = plain(module) if few_bits else module.merge_and_unload(), False
    module.save_pretrained(folder)
    if not adapter:
        write_own(module, folder)
    tokenizer.save_pretrained(folder)
    write_for_older(folder)
    return "adapter" if adapter else "model"


def plain(module: Any) -> Any:
    """The model with its adapters' products merged into the dequantized 4-bit weights, in fp32 on
    the CPU, with no trace of adapters or quantization."""
    from bitsandbytes.functional import dequantize_4bit

    inner = module.get_base_model()
    state = {name: buffer.detach().cpu() for name, buffer in inner.named_buffers()}
    for name, weight in inner.named_parameters():
        quantised = getattr(weight, "quant_state", None)
        value = dequantize_4bit(weight.data, quantised) if quantised else weight.detach()
        state[name_without_adapter(name)] = value.float().cpu()
    for name, layer in adapted_layers(inner):
        for added in added_by_adapters(layer):
            state[f"{name}.weight"] += added.float().cpu()
    made = unquantised(inner)
    # for tied weights, `named_parameters` yields only the first name, as above
    kept = {n for n, _ in [*made.named_parameters(), *made.named_buffers()]} & set(
        made.state_dict()
    )
    if lacking := kept - set(state):
        raise TrainError(f"weights that cannot be merged: {', '.join(sorted(lacking)[:3])}")
    made.load_state_dict({name: state[name] for name in kept}, strict=False)
    made.tie_weights()
    hand_on(inner, made)
    return made


def unquantised(model: Any) -> Any:
    """A new fp32 model of the same class and config, without its quantization settings."""
    kept = {k: v for k, v in model.config.to_dict().items() if k != "quantization_config"}
    config = type(model.config).from_dict(kept)
    config.dtype = "float32"
    return type(model)(config)
