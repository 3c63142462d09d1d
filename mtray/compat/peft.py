"""peft: the names that it gives to weights and layers with an adapter. Tried with 0.21.2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

BASE_LAYER = "base_layer"  # the part of an adapted layer that was the layer before
LORA_PART = "lora_"  # in the names of what an adapter adds


def is_base_weight(name: str) -> bool:
    """Whether a parameter of a model with adapters, by its name, has an adapter beside it.

    Private: the name. Without it no weight has one, and `merged` could not put them back; a test
    merges and unmerges."""
    return BASE_LAYER in name.split(".")


def name_without_adapter(name: str) -> str:
    """The name that a base weight had before the adapter. Private: as of `is_base_weight`; public
    is `merge_and_unload` alone, which does not merge into weights of 4 bits without loss."""
    return name.replace(f".{BASE_LAYER}.", ".")


def is_adapter_weight(name: str) -> bool:
    """Whether a parameter belongs to an adapter. Private: the name; peft's public functions give
    adapters' weights as copies under other names."""
    return LORA_PART in name


def adapted_layers(module: Any) -> Iterator[tuple[str, Any]]:
    """Every layer with an adapter (LoRA), with its name, which is that of the layer before.

    Private: the attribute `lora_A`, by which they are known without importing peft for a model that
    has none; `peft.tuners.lora.LoraLayer` is public and has it, which a test holds."""
    for name, layer in module.named_modules():
        if hasattr(layer, "lora_A"):
            yield name, layer


def added_by_adapters(layer: Any) -> Iterator[Any]:
    """What each active adapter adds to its layer's weight, of that weight's shape.

    Undocumented: `get_delta_weight`, the product that `merge_and_unload` adds. Public is only the
    difference of the weights before and after a merge, which rounding changes."""
    for adapter in layer.active_adapters:
        yield layer.get_delta_weight(adapter).detach()


def base_weight(layer: Any) -> Any:
    """The weight beside the adapter, as a plain tensor also where it is held in 4 or 8 bits.

    Undocumented: `get_base_layer` and `dequantize_module_weight`. Without them only weights of 4
    bits can be had, by bitsandbytes itself."""
    from peft.utils.integrations import dequantize_module_weight

    return dequantize_module_weight(layer.get_base_layer()).detach()
