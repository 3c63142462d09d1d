"""peft: its names of weights and layers with an adapter. Tested with 0.21.2."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

BASE_LAYER = "base_layer"  # the original layer inside an adapted layer
LORA_PART = "lora_"  # in the names of weights that an adapter adds


def is_base_weight(name: str) -> bool:
    """Whether a parameter of a model with adapters, by its name, is the base weight of an adapted
    layer.

    Private: the name. Without it no weight matches, and `merged` could not restore them; a test
    merges and unmerges.
    """
    return BASE_LAYER in name.split(".")


def name_without_adapter(name: str) -> str:
    """The name that a base weight had before the adapter was added. Private: as for
    `is_base_weight`; the public `merge_and_unload` does not merge into 4-bit weights without
    loss."""
    return name.replace(f".{BASE_LAYER}.", ".")


def is_adapter_weight(name: str) -> bool:
    """Whether a parameter belongs to an adapter. Private: the name; peft's public functions return
    copies of the adapters' weights under other names."""
    return LORA_PART in name


def adapted_layers(module: Any) -> Iterator[tuple[str, Any]]:
    """Every layer with an adapter (LoRA), with the name of the original layer.

    Private: the attribute `lora_A`, which identifies them without importing peft for a model that
    has none; the public `peft.tuners.lora.LoraLayer` has it, which a test checks.
    """
    for name, layer in module.named_modules():
        if hasattr(layer, "lora_A"):
            yield name, layer


def added_by_adapters(layer: Any) -> Iterator[Any]:
    """The delta that each active adapter adds to its layer's weight, in that weight's shape.

    Undocumented: `get_delta_weight`, the product that `merge_and_unload` adds. The public interface
    gives only the difference of the weights before and after a merge, which has rounding errors.
    """
    for adapter in layer.active_adapters:
        yield layer.get_delta_weight(adapter).detach()


def base_weight(layer: Any) -> Any:
    """The base weight of an adapted layer, as a plain tensor even if it is quantized to 4 or 8
    bits.

    Undocumented: `get_base_layer` and `dequantize_module_weight`. Without them only 4-bit weights
    can be dequantized, by bitsandbytes itself.
    """
    from peft.utils.integrations import dequantize_module_weight

    return dequantize_module_weight(layer.get_base_layer()).detach()
