"""Values that fit the size of a model, of data and of a machine. All of them are rough: they are
written into files that the user edits."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import Any, Literal

from mtray.control_group import memory_limit

GB = 1e9
# bytes a parameter: fp32 weights, gradients and AdamW's two moments, and a fifth for activations
FULL_BYTES, LORA_BYTES, QLORA_BYTES = 20, 5, 1
CPU_FLOPS, GPU_FLOPS = 4e10, 1e14  # that a core and a GPU of some years ago sustain in training
TRIAL_SECONDS = 1200  # of the largest recipe
ANSWER_SECONDS = 300  # of all evaluation requests of a trial
RAY_BYTES = 3 * GB  # Ray's own processes and the metric's
LARGE = 1.5e9  # parameters from which adapters are the usual choice
Method = Literal["full", "lora", "qlora"]


@dataclass(frozen=True)
class Machine:
    """Cores, bytes of main memory, GPUs and bytes of the smallest GPU's memory."""

    cpus: int
    memory: float
    gpus: int = 0
    gpu_memory: float = 0.0


@dataclass(frozen=True)
class ModelFacts:
    """What a model's config and tokenizer say. `positions`: None: not said."""

    name: str
    parameters: int
    blocks: int
    positions: int | None
    chats: bool
    encodes: bool
    tokenizer: Any


@dataclass(frozen=True)
class Fit:
    """How a model is trained on a machine; `short_gb`: memory that is missing, 0: it fits."""

    method: Method
    cpus_per_worker: int
    gpus_per_worker: int
    short_gb: float = 0.0


def this_machine() -> Machine:
    import psutil
    import torch

    memory = min(psutil.virtual_memory().total, memory_limit() or math.inf)
    gpus = torch.cuda.device_count()
    each = [torch.cuda.get_device_properties(i).total_memory for i in range(gpus)]
    return Machine(os.cpu_count() or 1, memory, gpus, min(each, default=0))


def model_facts(name: str) -> ModelFacts:
    """From config and tokenizer; the weights are not loaded. Raises ModelError."""
    from mtray.data.chat import chat_form
    from mtray.evaluation.inference.requests import positions_of
    from mtray.training.models import block_count, empty_model, load_config, load_tokenizer
    from mtray.training.parameter_counts import parameter_count

    config, tokenizer = load_config(name, False), load_tokenizer(name, False)
    return ModelFacts(
        name=name, parameters=parameter_count(empty_model(name, False)),
        blocks=block_count(name, False),
        positions=positions_of(config), chats=chat_form(tokenizer) is not None,
        encodes=bool(getattr(config, "is_encoder_decoder", False)), tokenizer=tokenizer,
    )  # fmt: skip


def fit(parameters: int, machine: Machine, four_bits: bool = False) -> Fit:
    """Full fine-tuning where the memory allows and the model is not large, else adapters; on 4-bit
    weights (`four_bits`: whether their package is there) if nothing else fits a GPU."""
    if machine.gpus:
        room = 0.9 * machine.gpu_memory
        method: Method = "full" if parameters < LARGE else "lora"
        if method == "full" and FULL_BYTES * parameters > room:
            method = "lora"
        if method == "lora" and LORA_BYTES * parameters > room and four_bits:
            method = "qlora"
        cores = max(1, machine.cpus // machine.gpus)
        return Fit(method, min(4, cores), 1, _short(method, parameters, room))
    room = max(0.0, 0.7 * machine.memory - RAY_BYTES)
    method = "full" if parameters < LARGE and FULL_BYTES * parameters <= room else "lora"
    each = _bytes(method) * parameters
    at_once = max(1, min(machine.cpus, int(room // each)))
    return Fit(method, max(1, machine.cpus // at_once), 0, _short(method, parameters, room))


def _bytes(method: Method) -> int:
    return {"full": FULL_BYTES, "lora": LORA_BYTES, "qlora": QLORA_BYTES}[method]


def _short(method: Method, parameters: int, room: float) -> float:
    return max(0.0, _bytes(method) * parameters - room) / GB


def flops(found: Fit) -> float:
    """Of one trial, a second."""
    return GPU_FLOPS if found.gpus_per_worker else CPU_FLOPS * found.cpus_per_worker


def most_examples(found: Fit, parameters: int, tokens: float) -> int:
    """As many examples of so many tokens as a trial trains on in `TRIAL_SECONDS`: a forward pass
    takes two operations a parameter and token, training three times as many, of adapters two."""
    passes = 6 if found.method == "full" else 4
    return int(TRIAL_SECONDS * flops(found) / (passes * parameters * max(1.0, tokens)))


def set_size(found: Fit, parameters: int, tokens: float, sets: int, rows: int) -> int:
    """Segments of each evaluation set."""
    seconds = 2 * parameters * tokens / flops(found) * 4  # generation uses a machine less well
    affordable = int(ANSWER_SECONDS / (sets * seconds))
    return min(rows, max(60, min(500, affordable)))


def learning_rates(method: Method, parameters: int) -> tuple[float, float, float]:
    """Low, high, and the value to begin with."""
    if method != "full":
        return 5e-5, 1e-3, 2e-4
    for below, rates in ((5e7, (1e-4, 2e-3, 5e-4)), (5e8, (2e-5, 5e-4, 1e-4))):
        if parameters < below:
            return rates
    return 2e-6, 5e-5, 1e-5


def rounded_down(number: float, digits: int = 2) -> float:
    """To so many significant digits, such as 12,345 to 12,000."""
    if number <= 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(number)) - digits + 1)
    return round(math.floor(number / unit + 1e-9) * unit, 10)


def rounded_up(number: float, unit: int, low: int, high: int) -> int:
    return min(high, max(low, math.ceil(number / unit) * unit))


def quantile(values: list[int], share: float) -> int:
    found = sorted(values)
    return found[min(len(found) - 1, int(share * len(found)))] if found else 1
