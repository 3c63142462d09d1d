"""A model that may be wrapped in a peft adapter, which hides its names and arguments."""

from __future__ import annotations

import inspect
from typing import Any


def unwrapped(model: Any) -> Any:
    """The model inside an adapter, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def accepts_argument(model: Any, *arguments: str) -> bool:
    """Whether the model's `forward` has all these arguments."""
    return set(arguments) <= set(inspect.signature(unwrapped(model).forward).parameters)
