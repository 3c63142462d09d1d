"""The DeepSpeed configuration of a trial, for transformers' trainer."""

from __future__ import annotations

import json

from mtray.schema import Training
from mtray.training.engine import deepspeed_config


def deepspeed_text(training: Training, precision: str) -> str:
    """JSON. What the trainer's own settings say (batch, precision, clipping) is `auto`, and the
    optimiser is the trainer's; ZeRO and offloading are the trial's."""
    own = deepspeed_config(training, precision)
    found = {
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "bf16": {"enabled": "auto"},
        "fp16": {"enabled": "auto"},
        "zero_optimization": own["zero_optimization"],
        "zero_force_ds_cpu_optimizer": own["zero_force_ds_cpu_optimizer"],
        "zero_allow_untested_optimizer": True,
    }
    return json.dumps(found, indent=2) + "\n"
