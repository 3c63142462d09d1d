"""The README.md of an export."""

from __future__ import annotations

from collections.abc import Sequence

from mtray.other_tools.plan import DEEPSPEED, ROWS, Files, Plan
from mtray.report.parameters import parameter_text, parameters

TITLES = {"llamafactory": "LLaMA-Factory", "axolotl": "Axolotl", "trl": "TRL", "mtray": "mtray"}


def readme(plan: Plan, tool: str, files: Files) -> str:
    """Markdown: what the folder is, the command, and what the tool does otherwise."""
    title = TITLES[tool]
    lines = [
        f"# Trial {plan.trial} of the mtray run {plan.run}, for {title}",
        "",
        f"The recipe of trial {plan.trial} of the study {plan.study}, on the rows that it was "
        f"trained on: {len(plan.rows):,} in {len(plan.rows.steps):,} steps, "
        f"{len(plan.rows.distinct):,} of them different.",
        "",
        "## Train",
        "",
        *_command(tool, files),
        "",
        *_batch(plan, tool),
        *([f"For DeepSpeed, {files.deepspeed}.", ""] if files.deepspeed else []),
        f"## What {title} does differently" if tool != "mtray" else "## What to know",
        "",
        *(f"- {sentence}" for sentence in files.differs),
        "",
        "## Files",
        "",
        *_files(files),
        "",
        "## Recipe",
        "",
        *_recipe(plan),
    ]
    return "\n".join([*lines, ""])


def _command(tool: str, files: Files) -> list[str]:
    if tool == "mtray":
        return ["```", files.command, "```", "",
                "Run it in mtray's folder, with FOLDER the path of this one."]  # fmt: skip
    tried = "Run both in this folder. The export was tested with this version."
    return ["```", f"pip install {files.install}", files.command, "```", "", tried]


def _batch(plan: Plan, tool: str) -> list[str]:
    if tool == "mtray":
        return []
    return [
        f"A step has {plan.batch:,} rows: a micro-batch of {plan.micro:,} times "
        f"{plan.accumulation:,} accumulation steps. With N devices, divide one of the two by N, so "
        "that a step keeps its size.",
        "",
    ]


def _files(files: Files) -> Sequence[str]:
    return [
        f"- `{ROWS}`: a row a line, in the order of training. `prompt` has no loss, `target` has; "
        "special tokens are written out in both. `input_ids` are the tokens of the two, and "
        "`labels` the same with -100 where there is no loss. `source` names the row's source.",
        f"- {', '.join(f'`{name}`' for name in files.texts)}: the settings.",
        *([f"- `{DEEPSPEED}`: ZeRO and offloading as in the trial."] if files.deepspeed else []),
    ]


def _recipe(plan: Plan) -> list[str]:
    rows = [
        f"| `{name}` | {parameter_text(value)} |"
        for name, value in parameters(plan.recipe).items()
        if value is not None
    ]
    return ["| parameter | value |", "| --- | --- |", *rows]
