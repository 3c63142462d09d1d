"""An optimiser's parameters and state as a flat mapping of tensors, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mtray.compat.deepspeed import scaler_fields, set_scaler_fields

if TYPE_CHECKING:
    import torch

SCALE = "scale of the loss/"  # prefix of the state of fp16 loss scaling


def scaler_numbers(scaler: Any) -> dict[str, float]:
    """The state of a loss scaler, torch's or DeepSpeed's; empty without one."""
    if scaler is None:
        return {}
    if hasattr(scaler, "state_dict"):
        return dict(scaler.state_dict())
    return scaler_fields(scaler)


def slots_state(
    slots: Mapping[str, torch.Tensor], optimizer: Any, scaler: Any
) -> dict[str, torch.Tensor]:
    """The tensors that an optimiser trains, by name, its state of each, and the loss scaler's
    state."""
    import torch

    found = {
        f"{SCALE}{name}": torch.tensor(float(number), dtype=torch.float64)
        for name, number in scaler_numbers(scaler).items()
    }
    for name, weight in slots.items():
        found[f"{name}/weight"] = weight.detach()
        for field, value in optimizer.state.get(weight, {}).items():
            found[f"{name}/{field}"] = value if torch.is_tensor(value) else torch.tensor(value)
    return found


def load_slots(
    slots: Mapping[str, torch.Tensor],
    optimizer: Any,
    scaler: Any,
    tensors: Mapping[str, torch.Tensor],
) -> None:
    """Restore what `slots_state` returned."""
    kinds = {name: type(number) for name, number in scaler_numbers(scaler).items()}
    numbers = {n: kind(tensors[f"{SCALE}{n}"].item()) for n, kind in kinds.items()}
    if hasattr(scaler, "load_state_dict"):
        scaler.load_state_dict(numbers)
    elif numbers:
        set_scaler_fields(scaler, numbers)
    on_device = any(g.get("fused") or g.get("capturable") for g in optimizer.param_groups)
    for key in (key for key in tensors if not key.startswith(SCALE)):
        name, _, field = key.rpartition("/")
        value, weight = tensors[key], slots[name]
        if field == "weight":
            weight.data.copy_(value)
        elif value.dim() or on_device:
            optimizer.state[weight][field] = value.to(weight.device)
        else:  # a step count: AdamW's is a float tensor on the CPU, others' a plain integer
            counts = value.dtype.is_floating_point
            optimizer.state[weight][field] = value if counts else value.item()
