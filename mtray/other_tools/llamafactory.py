"""LLaMA-Factory: a data set with its entry in `dataset_info.json`, and the YAML of a training.

It tokenises prompt and answer separately, so the special tokens are part of the texts, and
its template `empty` adds none.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import yaml

from mtray.errors import ConfigError
from mtray.other_tools.differences import common_differences
from mtray.other_tools.plan import (
    DEEPSPEED,
    ROWS,
    Files,
    Plan,
    same_ids,
    trainer_arguments,
)
from mtray.other_tools.rows import Row, TrialRows

TRIED = "0.9.5"
NAME = "mtray"  # of the data set
YAML = "train.yaml"
AT_ONCE = 4096  # rows that are tokenised at once


def llamafactory(plan: Plan, tokenizer: Any) -> Files:
    """Raises ConfigError for frozen blocks that it cannot freeze."""
    rows, others = retokenised(plan.rows, tokenizer)
    info = {NAME: {"file_name": ROWS, "columns": {"prompt": "prompt", "response": "target"}}}
    settings = _settings(plan)
    return Files(
        {
            "dataset_info.json": json.dumps(info, indent=2) + "\n",
            YAML: yaml.safe_dump(settings, sort_keys=False, allow_unicode=True, width=10_000),
        },
        f"llamafactory-cli train {YAML}",
        f"llamafactory=={TRIED}",
        [*common_differences(plan, _held(plan)), *_differences(plan, others)],
        f"add the line `deepspeed: {DEEPSPEED}` to `{YAML}` and set `FORCE_TORCHRUN=1` before the "
        "command",
        rows,
    )


def _held(plan: Plan) -> str:
    frozen = plan.adapter or plan.parts.freezes
    return f"weights that are not trained in {plan.precision}, and the others in fp32" * frozen


def _settings(plan: Plan) -> dict[str, Any]:
    training = plan.training
    return {
        "model_name_or_path": plan.model,
        "trust_remote_code": plan.trust_remote_code,
        "stage": "sft",
        "do_train": True,
        **_trained(plan),
        "dataset": NAME,
        "dataset_dir": ".",
        "template": "empty",
        "cutoff_len": plan.rows.longest + 1,
        "packing": False,
        "disable_shuffling": True,
        **trainer_arguments(plan),
        "num_train_epochs": 1.0,
        "disable_gradient_checkpointing": not training.gradient_checkpointing,
    }


def _trained(plan: Plan) -> dict[str, Any]:
    recipe, parts = plan.recipe, plan.parts
    if not plan.adapter:
        return _freezing(plan) if parts.freezes else {"finetuning_type": "full"}
    found: dict[str, Any] = {
        "finetuning_type": "lora",
        "lora_rank": recipe.lora_rank,
        "lora_alpha": plan.lora_alpha,
        "lora_dropout": recipe.lora_dropout,
        # whole names, where some blocks have no adapter
        "lora_target": ",".join(parts.adapted if parts.frozen_blocks else parts.adapted_leaves),
    }
    if recipe.method == "qlora":
        found |= {"quantization_method": "bnb", "quantization_bit": 4}
        found |= {"quantization_type": "nf4", "double_quantization": True}
    return found


def _freezing(plan: Plan) -> dict[str, Any]:
    parts = plan.parts
    if not parts.blocks:
        raise _cannot(plan, "embeddings are frozen, and no block is")
    trained, count = parts.trained_blocks, len(parts.blocks)
    last, first = tuple(range(count - len(trained), count)), tuple(range(len(trained)))
    if trained not in (first, last):
        frozen = ", ".join(map(str, parts.frozen_blocks))
        raise _cannot(plan, f"blocks {frozen} are frozen, which are not the first or the last ones")
    names = dict.fromkeys(name.split(".")[-2] for name in parts.outside)
    return {
        "finetuning_type": "freeze",
        "freeze_trainable_layers": len(trained) * (1 if trained == last else -1),
        "freeze_extra_modules": ",".join(names),
    }


def _cannot(plan: Plan, why: str) -> ConfigError:
    return ConfigError(
        f"--to llamafactory: trial {plan.trial} cannot be written for it: {why}; export it "
        "--to trl, axolotl or mtray"
    )


def retokenised(rows: TrialRows, tokenizer: Any) -> tuple[TrialRows, list[Row]]:
    """The rows with targets that give the trial's ids when they are tokenised apart from their
    prompts, and those rows for which no form of the target does. SentencePiece puts a space before
    every text, so there a target comes without its own."""
    found, others = dict(rows.distinct), list[Row]()
    places = list(found)
    for start in range(0, len(places), AT_ONCE):
        some = places[start : start + AT_ONCE]
        for place, row in zip(some, _fitting([found[p] for p in some], tokenizer), strict=True):
            if row is None:
                others.append(found[place])
            else:
                found[place] = row
    return replace(rows, distinct=found), others


def _fitting(rows: Sequence[Row], tokenizer: Any) -> list[Row | None]:
    """Each row in the first form that gives its ids; None where none does."""
    heads = same_ids(tokenizer, [row.prompt for row in rows])
    wanted = [
        row.ids[len(head) :] if row.ids[: len(head)] == head else None
        for row, head in zip(rows, heads, strict=True)
    ]
    found: list[Row | None] = [None] * len(rows)
    for form in (str, _without_space):
        texts = [form(row.target) for row in rows]
        for place, ids in enumerate(same_ids(tokenizer, texts)):
            row = rows[place]
            # the loss begins where the tool's answer does; a first token is never predicted
            begins = len(row.ids) - len(ids) == row.loss_from
            if found[place] is None and ids == wanted[place] and begins:
                found[place] = replace(row, target=texts[place])
    return found


def _without_space(text: str) -> str:
    return text.removeprefix(" ")


def _differences(plan: Plan, others: Sequence[Row]) -> list[str]:
    found = [
        "It tokenises prompt and target separately, while mtray tokenises them as one text. "
        + (
            f"All {len(plan.rows.distinct):,} distinct rows have the same token ids with this "
            "tokenizer either way."
            if not others
            else f"{len(others):,} of {len(plan.rows.distinct):,} distinct rows get different "
            f"token ids there, such as the one with the target {others[0].target[:60]!r}."
        )
    ]
    if plan.precision == "bf16":
        found.append(f"bf16 on a machine without a GPU needs the line `use_cpu: true` in `{YAML}`.")
    if plan.parts.frozen_blocks and not plan.adapter:
        found.append(
            "It trains every module whose name contains one of `freeze_extra_modules`: with `norm` "
            "among them, the norms within frozen blocks too, which the trial froze."
        )
    return found
