"""What a trial's training was, in the terms of trainers that are built on transformers'."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtray.data.tokenization import Ids
from mtray.model_paths import resolve_model
from mtray.other_tools.rows import TrialRows
from mtray.other_tools.trained_parts import TrainedParts
from mtray.schema import Recipe, Training
from mtray.training.step import MICRO_BATCH_TOKENS

ROWS = "train.jsonl"
DEEPSPEED = "deepspeed.json"
OUTPUT = "output"  # the folder, in the export's, that the other tool writes
SCHEDULES = {"cosine": "cosine", "linear": "linear", "constant": "constant_with_warmup"}


@dataclass(frozen=True)
class Plan:
    """A trial's training.

    - `trial`, `run`: what it is called.
    - `model`: the base model's folder or hub name.
    - `training`: the settings of study and recipe.
    - `precision`: that of the trial: fp32, bf16 or fp16.
    - `batch`: rows of a step, the mean where the trial counted tokens.
    - `micro`: rows that fit a device at once, a divisor of `batch`.
    - `pads`: whether the tokenizer has a padding token.
    """

    trial: int
    run: str
    study: str
    model: str
    trust_remote_code: bool
    recipe: Recipe
    training: Training
    precision: str
    seed: int
    rows: TrialRows
    parts: TrainedParts
    batch: int
    micro: int
    pads: bool = True

    @property
    def steps(self) -> int:
        """Steps of a tool that takes `batch` rows at each."""
        return math.ceil(len(self.rows) / self.batch)

    @property
    def warmup_steps(self) -> int:
        return math.ceil(self.training.warmup * self.rows.planned)

    @property
    def accumulation(self) -> int:
        return self.batch // self.micro

    @property
    def adapter(self) -> bool:
        return self.recipe.method != "full"

    @property
    def lora_alpha(self) -> float:
        found = self.recipe.lora_scale * self.recipe.lora_rank
        return int(found) if found == int(found) else found


def batch_of(rows: TrialRows, training: Training) -> int:
    if training.batch_tokens is None:
        return min(training.batch_examples, len(rows))
    return max(1, round(len(rows) / len(rows.steps)))


def micro_batch(batch: int, longest: int, training: Training) -> int:
    """The largest divisor of `batch` of which that many rows fit a micro-batch of the trial."""
    fits = max(1, (training.micro_batch_tokens or MICRO_BATCH_TOKENS) // longest)
    return max(n for n in range(1, min(batch, fits) + 1) if batch % n == 0)


def model_path(name: str) -> str:
    """A model as the other tool finds it: an absolute path, or a hub name."""
    found = str(resolve_model(name))
    return str(Path(found).absolute()) if Path(found).is_dir() else found


@dataclass(frozen=True)
class Files:
    """What a tool gets beside the rows and the DeepSpeed file.

    - `texts`: the content of its files, by name.
    - `command`: trains, when run in the folder.
    - `install`: the package, in the version that the export was tried with.
    - `differs`: what the tool does otherwise, a sentence or more each.
    - `deepspeed`: how to use the DeepSpeed file; empty: it needs none.
    - `rows`: those of the plan, with texts as the tool needs them.
    - `with_mask`: whether it needs a mask of attention.
    """

    texts: dict[str, str]
    command: str
    install: str
    differs: Sequence[str]
    deepspeed: str
    rows: TrialRows
    with_mask: bool = False


def same_ids(tokenizer: Any, texts: Sequence[str]) -> list[Ids]:
    """The ids of texts whose special tokens are written out."""
    return list(tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"])


def optimisation(plan: Plan) -> dict[str, Any]:
    """The settings that have one name in all tools."""
    training = plan.training
    return {
        "gradient_accumulation_steps": plan.accumulation,
        "learning_rate": plan.recipe.learning_rate,
        "warmup_steps": plan.warmup_steps,
        "weight_decay": training.weight_decay,
        "max_grad_norm": training.gradient_clipping,
        "bf16": plan.precision == "bf16",
        "fp16": plan.precision == "fp16",
        "seed": plan.seed,
        "logging_steps": 1,
    }


def trainer_arguments(plan: Plan) -> dict[str, Any]:
    """Those of transformers' `TrainingArguments`."""
    return {
        "output_dir": OUTPUT,
        "per_device_train_batch_size": plan.micro,
        "lr_scheduler_type": SCHEDULES[plan.training.schedule],
        "optim": "adamw_torch_fused",
        **optimisation(plan),
        "save_strategy": "no",
        "report_to": "none",
    }
