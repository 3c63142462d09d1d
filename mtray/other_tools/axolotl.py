"""Axolotl: tokenised rows, which it takes as they are, and the YAML of a training."""

from __future__ import annotations

from typing import Any

import yaml

from mtray.other_tools.differences import common_differences
from mtray.other_tools.plan import (
    DEEPSPEED,
    OUTPUT,
    ROWS,
    SCHEDULES,
    Files,
    Plan,
    optimisation,
)

TRIED = "0.19.0"
YAML = "train.yaml"


def axolotl(plan: Plan, tokenizer: Any) -> Files:
    settings = _settings(plan)
    if not plan.pads:
        settings["special_tokens"] = {"pad_token": tokenizer.eos_token}
    held = f"most weights, and their optimiser state, in {plan.precision}"
    text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, width=10_000)
    return Files(
        {YAML: text},
        f"axolotl train {YAML}",
        f"axolotl=={TRIED}",
        [*common_differences(plan, held), *_differences(plan)],
        f"add the line `deepspeed: {DEEPSPEED}` to `{YAML}`",
        plan.rows,
        with_mask=True,
    )


def _differences(plan: Plan) -> list[str]:
    if plan.warmup_steps != 1:
        return []
    return ["It makes two steps out of a warm-up of one."]


def _settings(plan: Plan) -> dict[str, Any]:
    training = plan.training
    return {
        "base_model": plan.model,
        "trust_remote_code": plan.trust_remote_code,
        **_trained(plan),
        # rows with ids, labels and mask are taken as they are
        "datasets": [{"path": ROWS, "ds_type": "json", "type": ""}],
        "dataset_prepared_path": "prepared",
        "val_set_size": 0.0,
        "sequence_len": plan.rows.longest,
        "sample_packing": False,
        "pad_to_sequence_len": False,
        "shuffle_merged_datasets": False,
        "curriculum_sampling": True,
        "output_dir": OUTPUT,
        "num_epochs": 1,
        "micro_batch_size": plan.micro,
        **optimisation(plan),
        "lr_scheduler": SCHEDULES[training.schedule],
        "optimizer": "adamw_torch_fused",
        "tf32": False,
        "gradient_checkpointing": training.gradient_checkpointing,
        "attn_implementation": "sdpa",
    }


def _trained(plan: Plan) -> dict[str, Any]:
    recipe, parts = plan.recipe, plan.parts
    if not plan.adapter:
        if not parts.freezes:
            return {}
        blocks = [f"^{parts.blocks[i]}." for i in parts.trained_blocks]
        return {"unfrozen_parameters": [*blocks, *(f"^{name}$" for name in parts.outside)]}
    found: dict[str, Any] = {
        "adapter": recipe.method,
        "lora_r": recipe.lora_rank,
        "lora_alpha": plan.lora_alpha,
        "lora_dropout": recipe.lora_dropout,
        "lora_target_modules": list(parts.adapted_leaves),
    }
    if parts.frozen_blocks:
        found["peft_layers_to_transform"] = list(parts.trained_blocks)
    if recipe.method == "qlora":
        found["load_in_4bit"] = True
    return found
