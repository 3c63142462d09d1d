"""Whether 4-bit training (QLoRA) is possible."""

from __future__ import annotations

from mtray.errors import ConfigError


def check_qlora(gpus: float) -> None:
    """ConfigError where a trial could not train with `method: qlora`."""
    from importlib.util import find_spec

    if not gpus:
        raise ConfigError(
            "method is qlora, whose 4-bit weights need a GPU, and `resources.gpus_per_worker` is "
            "0; allowed here: full, lora"
        )
    if find_spec("bitsandbytes") is None:
        raise ConfigError("method is qlora, which needs bitsandbytes: pip install bitsandbytes")
