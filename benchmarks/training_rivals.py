"""Hugging Face's `Trainer` and TRL's `SFTTrainer` on `training.py`'s model and examples."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from typing import Any

RATE, WARMUP = 5e-4, 0.05  # of the learning rate, on all sides


def _arguments(args: argparse.Namespace) -> dict[str, Any]:
    return {
        "output_dir": tempfile.mkdtemp(), "per_device_train_batch_size": args.batch,
        "num_train_epochs": 1, "learning_rate": RATE, "lr_scheduler_type": "cosine",
        "warmup_ratio": WARMUP, "weight_decay": 0.0, "max_grad_norm": 1.0, "seed": args.seed,
        "bf16": args.precision == "bf16", "use_cpu": args.device == "cpu", "save_strategy": "no",
        "report_to": "none", "logging_strategy": "no", "disable_tqdm": True,
        "dataloader_pin_memory": args.device != "cpu",
        "gradient_checkpointing": args.checkpointing,
    }  # fmt: skip


def by_trainer(args: argparse.Namespace, model: Any, examples: list[Any]) -> Any:
    from datasets import Dataset
    from transformers import DataCollatorForSeq2Seq, Trainer, TrainingArguments

    from mtray.training.models import load_tokenizer

    rows = [
        {
            "input_ids": ids.tolist(),
            "labels": [-100] * start + ids[start:].tolist(),
            "length": len(ids),
        }
        for ids, start in examples
    ]
    grouped = {"group_by_length": True} if args.side == "trainer-grouped" else {}
    trainer = Trainer(
        model,
        TrainingArguments(**_arguments(args), **grouped),
        train_dataset=Dataset.from_list(rows),
        data_collator=DataCollatorForSeq2Seq(load_tokenizer(args.model), pad_to_multiple_of=8),
    )
    return _timed(trainer, model)


def by_trl(args: argparse.Namespace, model: Any, examples: list[Any]) -> Any:
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    from mtray.training.models import load_tokenizer

    rows = [
        {"input_ids": ids.tolist(), "completion_mask": [0] * start + [1] * (len(ids) - start)}
        for ids, start in examples
    ]
    options = {**_arguments(args), "max_length": args.length, "completion_only_loss": True}
    if args.side == "sft-packed":
        mean = statistics.mean(len(ids) for ids, _ in examples)
        options |= {"packing": True, "max_length": int(args.batch * mean)}
        options |= {"per_device_train_batch_size": 1}
    trainer = SFTTrainer(
        model,
        SFTConfig(**options),
        train_dataset=Dataset.from_list(rows),
        processing_class=load_tokenizer(args.model),
    )
    return _timed(trainer, model)


def _timed(trainer: Any, model: Any) -> Any:
    start = time.perf_counter(), time.process_time()
    trainer.train()
    return start, model
