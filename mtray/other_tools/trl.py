"""TRL: tokenised rows, which its `SFTTrainer` takes as they are, and a script."""

from __future__ import annotations

import pprint
from typing import Any

from mtray.other_tools.differences import common_differences
from mtray.other_tools.plan import (
    DEEPSPEED,
    ROWS,
    Files,
    Plan,
    trainer_arguments,
)

TRIED = "1.16.0"
SCRIPT = "train.py"
TEXT = '''\
"""Trial {trial} of the mtray run {run}, trained with TRL. Run it in this folder: python {script}"""

import torch
from datasets import load_dataset
{imports}from transformers import AutoModelForCausalLM, AutoTokenizer{bits_import}
from trl import SFTConfig, SFTTrainer

MODEL = {model!r}
settings = {settings}
{cpu}
rows = load_dataset("json", data_files={rows!r}, split="train")
rows = rows.select_columns(["input_ids", "labels"])  # -100 where there is no loss
tokenizer = AutoTokenizer.from_pretrained(MODEL, trust_remote_code={remote})
if tokenizer.pad_token is None:
    tokenizer.pad_token = tokenizer.eos_token
model = AutoModelForCausalLM.from_pretrained(
    MODEL, trust_remote_code={remote}, dtype={dtype}{bits}
)
{freezing}trainer = SFTTrainer(
    model=model,
    args=SFTConfig(**settings),
    train_dataset=rows,
    processing_class=tokenizer,{adapter}
)
trainer.train()
trainer.save_model()
'''
CPU = """\
settings["use_cpu"] = not torch.cuda.is_available()  # bf16 on a CPU must be asked for
"""
FREEZING = """\
frozen = {names}
for name, weight in model.named_parameters():
    if name.startswith(frozen):
        weight.requires_grad_(False)
"""
ADAPTER = """
    peft_config=LoraConfig(
        r={r}, lora_alpha={alpha}, lora_dropout={dropout}, bias="none", task_type="CAUSAL_LM",
        target_modules={targets},{layers}
    ),"""
BITS = """,
    quantization_config=BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    ),"""


def trl(plan: Plan, tokenizer: Any) -> Files:
    return Files(
        {SCRIPT: script(plan)},
        f"python {SCRIPT}",
        f"trl=={TRIED}" + (" peft" if plan.adapter else ""),
        common_differences(plan),
        f'add `"deepspeed": "{DEEPSPEED}"` to the settings in `{SCRIPT}` and start it with '
        f"`accelerate launch --use_deepspeed {SCRIPT}`",
        plan.rows,
    )


def script(plan: Plan) -> str:
    """The training as a Python script."""
    few_bits = plan.recipe.method == "qlora"
    return TEXT.format(
        trial=plan.trial,
        run="".join(c if c.isprintable() and c not in '"\\' else "_" for c in plan.run),
        script=SCRIPT,
        rows=ROWS,
        model=plan.model,
        remote=plan.trust_remote_code,
        settings=pprint.pformat(_settings(plan), width=90, sort_dicts=False),
        imports="from peft import LoraConfig\n" if plan.adapter else "",
        bits_import=", BitsAndBytesConfig" if few_bits else "",
        bits=BITS if few_bits else "",
        dtype="torch.bfloat16" if few_bits else "torch.float32",
        cpu=CPU if plan.precision == "bf16" else "",
        freezing=_freezing(plan),
        adapter=_adapter(plan),
    )


def _settings(plan: Plan) -> dict[str, Any]:
    training = plan.training
    return {
        **trainer_arguments(plan),
        "max_length": None,  # the rows fit
        "packing": False,
        "shuffle_dataset": False,
        "train_sampling_strategy": "sequential",
        "num_train_epochs": 1,
        "gradient_checkpointing": training.gradient_checkpointing,
    }


def _freezing(plan: Plan) -> str:
    parts = plan.parts
    if plan.adapter or not parts.freezes:
        return ""
    names = (*(f"{parts.blocks[i]}." for i in parts.frozen_blocks), *parts.frozen_outside)
    return FREEZING.format(names=pprint.pformat(names, width=90))


def _adapter(plan: Plan) -> str:
    if not plan.adapter:
        return ""
    parts, recipe = plan.parts, plan.recipe
    layers = ""
    if parts.frozen_blocks:
        layers = f"\n        layers_to_transform={list(parts.trained_blocks)},"
    return ADAPTER.format(
        r=recipe.lora_rank, alpha=plan.lora_alpha, dropout=recipe.lora_dropout,
        targets=list(parts.adapted_leaves), layers=layers,
    )  # fmt: skip
