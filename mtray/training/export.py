"""A trained model as a plain Hugging Face folder: what `transformers` (or, for an adapter, `peft`)
loads without mtray. Whole or not at all."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mtray.errors import ConfigError, TrainError
from mtray.files import share, sync
from mtray.training.adapters import BASE_LAYER


def check_empty(folder: Path) -> None:
    """ConfigError unless a model can be written there: the folder is absent or empty."""
    if folder.is_dir() and any(folder.iterdir()):
        raise ConfigError(f"{folder}: not empty; give a folder that is not there yet, or remove it")
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder}: is a file; give a folder that is not there yet")
    home = next(p for p in folder.absolute().parents if p.exists())
    if not home.is_dir() or not os.access(home, os.W_OK):
        raise ConfigError(f"{folder}: cannot be made, {home} cannot be written; choose another one")


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` to write into, which is moved there at the end; gone if it fails."""
    partial = folder.absolute().with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
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
    """Config, safetensors, tokenizer and generation config; of a model with an adapter the adapter
    alone, unless it is to be merged. Returns which: `model` or `adapter`."""
    adapter = is_adapter(module)
    if adapter and merge:
        few_bits = getattr(module, "is_quantized", False)
        module, adapter = plain(module) if few_bits else module.merge_and_unload(), False
    module.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return "adapter" if adapter else "model"


def plain(module: Any) -> Any:
    """The model with its adapters' products added to the weights of 4 bits, as they are multiplied
    with: in fp32 on the CPU, without a trace of either."""
    from bitsandbytes.functional import dequantize_4bit
    from peft.tuners.lora import LoraLayer

    from mtray.training.models import class_for

    inner = module.get_base_model()
    state = {name: buffer.detach().cpu() for name, buffer in inner.named_buffers()}
    for name, weight in inner.named_parameters():
        quantised = getattr(weight, "quant_state", None)
        value = dequantize_4bit(weight.data, quantised) if quantised else weight.detach()
        state[name.replace(f".{BASE_LAYER}.", ".")] = value.float().cpu()
    for name, layer in inner.named_modules():
        if isinstance(layer, LoraLayer):
            for adapter in layer.active_adapters:
                state[f"{name}.weight"] += layer.get_delta_weight(adapter).detach().float().cpu()
    config = copy.deepcopy(inner.config)
    for name in ("quantization_config", "_pre_quantization_dtype"):
        vars(config).pop(name, None)
    config.dtype = "float32"
    made = class_for(config).from_config(config)
    own, tied = set(made.state_dict()), set(made._tied_weights_keys or ())
    if lacking := own - tied - set(state):
        raise TrainError(f"weights that cannot be merged: {', '.join(sorted(lacking)[:3])}")
    made.load_state_dict({name: state[name] for name in own & set(state)}, strict=False)
    made.tie_weights()
    made.generation_config = inner.generation_config
    return made
