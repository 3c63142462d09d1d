"""The training engines, DeepSpeed's and plain torch: the only place that knows DeepSpeed's
configuration."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from mtray.compat.deepspeed import (
    gathered,
    inner_optimizer,
    loss_scaler,
    shards,
    shards_written,
    without_compiled_all_reduce,
)
from mtray.errors import ConfigError, TrainError
from mtray.schema import Training
from mtray.training.optimizer_state import load_slots, slots_state
from mtray.training.trainable_weights import trainable_weights

if TYPE_CHECKING:
    import torch
    from torch import nn


BETAS = (0.9, 0.999)  # AdamW's, the same in every engine


class Engine(Protocol):
    """What the training loop needs: one optimiser step that accumulates any number of
    micro-batches.

    `state`: the trainable parameters and their optimiser state, as far as only this worker has
    them; empty on all but the first worker where all hold the same. `load_state` takes what the
    worker of the same rank returned, or the first one's where that was empty.
    """

    device: torch.device

    def forward(self, **inputs: Any) -> Any: ...
    def backward(self, loss: torch.Tensor, last: bool) -> None: ...
    def step(self, learning_rate: float) -> None: ...
    def whole(self) -> AbstractContextManager[Any]: ...
    def close(self) -> None: ...
    def state(self) -> dict[str, torch.Tensor]: ...
    def load_state(self, tensors: Mapping[str, torch.Tensor]) -> None: ...


def native_bf16(device_type: str) -> bool:
    """Whether the device computes in bf16 natively; elsewhere it is emulated and slower than
    fp32."""
    if device_type == "cuda":
        import torch

        return bool(torch.cuda.is_bf16_supported())
    try:
        with open("/proc/cpuinfo") as info:
            text = info.read()
    except OSError:
        return False
    return "avx512_bf16" in text or "amx_bf16" in text


def resolve_precision(training: Training, device_type: str) -> str:
    """The precision to train in. Raises ConfigError for fp16 without a GPU."""
    if training.precision == "fp16" and device_type != "cuda":
        raise ConfigError(
            "training.precision is fp16, which needs a GPU; this worker has none; "
            "allowed here: auto, bf16, fp32"
        )
    if training.precision != "auto":
        return training.precision
    return "bf16" if native_bf16(device_type) else "fp32"


def deepspeed_config(training: Training, precision: str) -> dict[str, Any]:
    """Accumulation is done by the caller (micro-batches differ in size), so DeepSpeed sees one
    micro-batch a step and plain sums."""
    zero: dict[str, Any] = {"stage": training.zero_stage}
    if training.offload != "none":
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
    if training.offload == "parameters":
        zero["offload_param"] = {"device": "cpu", "pin_memory": True}
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": training.gradient_clipping,
        "zero_optimization": zero,
        # with offload, torch's own optimiser also runs on the CPU
        "zero_force_ds_cpu_optimizer": False,
        "optimizer": {
            "type": "AdamW",
            "params": {
                "lr": 0.0,
                "betas": list(BETAS),
                "weight_decay": training.weight_decay,
                "torch_adam": True,  # DeepSpeed's own kernels are compiled at first use
                "fused": True,
            },
        },
        # weights and optimiser state stay fp32; matrix products run in 16 bits, in fp16 with a
        # loss scale
        "torch_autocast": {
            "enabled": precision != "fp32",
            "dtype": "float16" if precision == "fp16" else "bfloat16",
        },
        "steps_per_print": 1 << 30,
        "wall_clock_breakdown": False,
    }


def import_deepspeed() -> Any:
    """Import the package with its device set."""
    import torch

    device_type = "cuda" if torch.cuda.is_available() else "cpu"
    os.environ.setdefault("DS_ACCELERATOR", device_type)
    import deepspeed
    from deepspeed.utils import logger

    logger.setLevel("ERROR")
    without_compiled_all_reduce()
    return deepspeed


class DeepSpeedEngine:
    """`Engine` on `deepspeed.initialize`. On the CPU no C++ kernel is built: gloo reduces the
    gradients."""

    def __init__(self, model: nn.Module, training: Training, precision: str) -> None:
        import torch

        self._linear = torch.nn.functional.linear
        self._engine, *_ = import_deepspeed().initialize(
            model=model,
            model_parameters=list(trainable_weights(model).values()),
            config=deepspeed_config(training, precision),
        )
        self.device = self._engine.device
        self._world = int(self._engine.world_size)

    @property
    def module(self) -> Any:
        return self._engine.module

    @contextmanager
    def whole(self) -> Iterator[Any]:
        """The module with all its weights, to be used without the other workers; all workers must
        enter and leave together. ZeRO-3 gathers the shards."""
        if self._engine.zero_optimization_stage() < 3:
            yield self.module
            return
        with gathered(self._engine), self._linear_of_torch():
            yield self.module

    @contextmanager
    def _linear_of_torch(self) -> Iterator[None]:
        """Within, linear layers are torch's own: those of ZeRO-3 cast the weights to 16 bits at
        every call, and stay for as long as the process lives."""
        import torch

        functional = torch.nn.functional
        before, functional.linear = functional.linear, self._linear
        try:
            yield
        finally:
            functional.linear = before

    def close(self) -> None:
        """Remove hooks and free buffers; the engine cannot be used afterwards."""
        import torch

        self._engine.destroy()
        # ZeRO-3 leaves its own in its place for as long as the process lives
        torch.nn.functional.linear = self._linear

    def forward(self, **inputs: Any) -> Any:
        return self._engine(**inputs)

    def backward(self, loss: torch.Tensor, last: bool) -> None:
        self._engine.set_gradient_accumulation_boundary(last)
        # DeepSpeed averages gradients over the workers; the loop's losses are terms of one sum
        self._engine.backward(loss * self._world)
        if not last:
            self._engine.step()

    def step(self, learning_rate: float) -> None:
        for group in self._engine.optimizer.param_groups:
            group["lr"] = learning_rate
        self._engine.step()

    def _slots(self) -> tuple[dict[str, torch.Tensor], Any]:
        """What the optimiser trains, and the optimiser: with ZeRO this worker's flat shards, else
        the module's own parameters."""
        optimizer = inner_optimizer(self._engine)
        if not self._engine.zero_optimization_stage():
            return trainable_weights(self.module), optimizer
        return {f"part {i}": part for i, part in enumerate(shards(self._engine))}, optimizer

    def state(self) -> dict[str, torch.Tensor]:
        import torch

        if not self._engine.zero_optimization_stage() and torch.distributed.get_rank():
            return {}
        return slots_state(*self._slots(), loss_scaler(self._engine))

    def load_state(self, tensors: Mapping[str, torch.Tensor]) -> None:
        with shards_written(self._engine):
            load_slots(*self._slots(), loss_scaler(self._engine), tensors)


class TorchEngine:
    """`Engine` without DeepSpeed, for one process: the reference in tests, and the fallback where
    DeepSpeed is missing."""

    def __init__(self, model: nn.Module, training: Training, precision: str) -> None:
        import torch

        self.module = model
        self.device = next(model.parameters()).device
        self._precision, self._clip = precision, training.gradient_clipping
        self._trainable = trainable_weights(model)
        self._optimizer = torch.optim.AdamW(
            list(self._trainable.values()),
            lr=0.0,
            betas=BETAS,
            weight_decay=training.weight_decay,
            fused=True,
        )
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=precision == "fp16")

    @contextmanager
    def whole(self) -> Iterator[Any]:
        yield self.module

    def close(self) -> None:
        """There is nothing to free."""

    def forward(self, **inputs: Any) -> Any:
        import torch

        dtype = torch.float16 if self._precision == "fp16" else torch.bfloat16
        with torch.autocast(self.device.type, dtype, enabled=self._precision != "fp32"):
            return self.module(**inputs)

    def backward(self, loss: torch.Tensor, last: bool) -> None:
        self._scaler.scale(loss).backward()

    def step(self, learning_rate: float) -> None:
        import torch

        self._scaler.unscale_(self._optimizer)
        torch.nn.utils.clip_grad_norm_(self._trainable.values(), self._clip)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad(set_to_none=True)

    def state(self) -> dict[str, torch.Tensor]:
        return slots_state(self._trainable, self._optimizer, self._scaler)

    def load_state(self, tensors: Mapping[str, torch.Tensor]) -> None:
        load_slots(self._trainable, self._optimizer, self._scaler, tensors)


ENGINES: dict[str, type[DeepSpeedEngine] | type[TorchEngine]] = {
    "deepspeed": DeepSpeedEngine,
    "torch": TorchEngine,
}


def build_engine(name: str, model: nn.Module, training: Training, precision: str) -> Any:
    if name not in ENGINES:
        raise TrainError(f"engine {name!r} is unknown; known: {', '.join(ENGINES)}")
    return ENGINES[name](model, training, precision)
