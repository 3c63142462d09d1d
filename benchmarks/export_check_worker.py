"""Runs in the environment of another tool, in the folder of an export: trains two steps as the
export says and writes what the tool's trainer saw. Imports nothing of mtray.

    python export_check_worker.py TOOL REPORT
"""

from __future__ import annotations

import json
import runpy
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

STEPS = 2
PACKAGES = {"llamafactory": "llamafactory", "axolotl": "axolotl", "trl": "trl"}


def watched() -> list[dict[str, Any]]:
    """Patch transformers' trainer, of which all three are subclasses: it stops after two steps, and
    each micro-batch becomes an entry of the list that is returned. bf16 on a CPU is allowed, which
    Axolotl has no setting for."""
    import torch
    from transformers import Trainer, TrainingArguments

    seen: list[dict[str, Any]] = []
    begin, step = Trainer.__init__, Trainer.training_step
    check = TrainingArguments.__post_init__

    def checked(self: Any) -> None:
        self.use_cpu = not torch.cuda.is_available()
        check(self)

    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        begin(self, *args, **kwargs)
        self.args.max_steps = STEPS

    def training_step(self: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        masks = inputs["attention_mask"].bool().tolist()
        rows = [
            [[v for v, kept in zip(row, mask, strict=True) if kept] for row, mask in
             zip(inputs[name].tolist(), masks, strict=True)]
            for name in ("input_ids", "labels")
        ]  # fmt: skip
        loss = step(self, model, inputs, *args, **kwargs)
        trained = [p for p in model.parameters() if p.requires_grad]
        seen.append(
            {
                "step": self.state.global_step,
                "ids": rows[0],
                "labels": rows[1],
                "loss": float(loss),
                "rate": self.optimizer.param_groups[0]["lr"],
                "trainable": sum(p.numel() for p in trained),
                "dtypes": sorted({str(p.dtype) for p in trained}),
            }
        )
        return loss

    Trainer.__init__, Trainer.training_step = init, training_step
    TrainingArguments.__post_init__ = checked
    return seen


def train(tool: str) -> None:
    if tool == "trl":
        runpy.run_path("train.py", run_name="__main__")
    elif tool == "llamafactory":
        sys.argv = ["llamafactory-cli", "train.yaml"]
        from llamafactory.train.tuner import run_exp

        run_exp()
    else:
        import torch
        from axolotl.cli.train import do_cli

        # its own kernels for adapters, which it uses unless told otherwise, need a GPU
        kernels = [f"lora_{part}_kernel" for part in ("mlp", "qkv", "o")]
        do_cli("train.yaml", **({} if torch.cuda.is_available() else dict.fromkeys(kernels, False)))


def main(tool: str, report: Path) -> None:
    seen = watched()
    train(tool)
    package = PACKAGES[tool]
    report.write_text(json.dumps({"package": f"{package} {version(package)}", "seen": seen}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).absolute())
