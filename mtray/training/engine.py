"""The DeepSpeed engine: the only place that knows its configuration."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from mtray.errors import ConfigError, TrainError
from mtray.schema import Training
from mtray.training.moved import moving_weights
from mtray.training.optimizer_state import load_slots, slots_state

if TYPE_CHECKING:
    import torch
    from torch import nn


BETAS = (0.9, 0.999)  # of AdamW, the same in every engine


class Engine(Protocol):
    """What the training loop needs: one accumulated step of any number of micro-batches.

    `state`: the weights that move and the optimiser's state of them, as far as this worker alone
    has them: nothing where all workers have the same and it is not the first. `load_state` takes
    what a worker of the same place gave, or the first one's where that was nothing."""

    device: torch.device

    def forward(self, **inputs: Any) -> Any: ...
    def backward(self, loss: torch.Tensor, last: bool) -> None: ...
    def step(self, learning_rate: float) -> None: ...
    def whole(self) -> AbstractContextManager[Any]: ...
    def close(self) -> None: ...
    def state(self) -> dict[str, torch.Tensor]: ...
    def load_state(self, tensors: Mapping[str, torch.Tensor]) -> None: ...


def native_bf16(device_type: str) -> bool:
    """Whether the device computes in bf16 itself; elsewhere it is emulated and slower than fp32."""
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
    """Raises ConfigError for fp16 without a GPU."""
    if training.precision == "fp16" and device_type != "cuda":
        raise ConfigError(
            "training.precision is fp16, which needs a GPU; this worker has none; "
            "allowed here: auto, bf16, fp32"
        )
    if training.precision != "auto":
        return training.precision
    return "bf16" if native_bf16(device_type) else "fp32"


def deepspeed_config(training: Training, precision: str) -> dict[str, Any]:
    """Accumulation is done by hand (micro-batches differ in size), so DeepSpeed sees one
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
        # torch's own optimiser steps on the CPU's side, too
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
        # weights and optimiser stay fp32; matrix products run in 16 bits, in fp16 with a loss scale
        "torch_autocast": {
            "enabled": precision != "fp32",
            "dtype": "float16" if precision == "fp16" else "bfloat16",
        },
        "steps_per_print": 1 << 30,
        "wall_clock_breakdown": False,
    }


def import_deepspeed() -> Any:
    """The package, told which device it is on."""
    import torch

    device_type = "cuda" if torch.cuda.is_available() else "cpu"
    os.environ.setdefault("DS_ACCELERATOR", device_type)
    import deepspeed
    import deepspeed.ops
    from deepspeed.utils import logger

    logger.setLevel("ERROR")
    # the shared-memory all-reduce is compiled at first use, half a minute of a C++ compiler in
    # every new environment; killed in between, its lock file makes the next process wait for ever
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    return deepspeed


class DeepSpeedEngine:
    """`Engine` on `deepspeed.initialize`. On the CPU no C++ kernel is built: gloo moves the
    gradients."""

    def __init__(self, model: nn.Module, training: Training, precision: str) -> None:
        self._engine, *_ = import_deepspeed().initialize(
            model=model,
            model_parameters=list(moving_weights(model).values()),
            config=deepspeed_config(training, precision),
        )
        self.device = self._engine.device
        self._world = int(self._engine.world_size)

    @property
    def module(self) -> Any:
        return self._engine.module

    @contextmanager
    def whole(self) -> Iterator[Any]:
        """The module with all its weights, to be used without the other workers; entered and left
        by all together. ZeRO-3 gathers what the workers hold in parts."""
        if self._engine.zero_optimization_stage() < 3:
            yield self.module
            return
        import deepspeed

        # its hooks gather and release the weights of every layer, with the other workers
        hooks = self._engine.optimizer.parameter_offload
        hooks._remove_module_hooks()
        try:
            with deepspeed.zero.GatheredParameters(list(self.module.parameters())):
                yield self.module
        finally:
            hooks.setup_zero_stage3_hooks()

    def close(self) -> None:
        """Take off hooks and give back buffers; no use of the engine after that."""
        self._engine.destroy()

    def forward(self, **inputs: Any) -> Any:
        return self._engine(**inputs)

    def backward(self, loss: torch.Tensor, last: bool) -> None:
        self._engine.set_gradient_accumulation_boundary(last)
        # DeepSpeed averages gradients over the workers; the loop's losses are parts of one sum
        self._engine.backward(loss * self._world)
        if not last:
            self._engine.step()

    def step(self, learning_rate: float) -> None:
        for group in self._engine.optimizer.param_groups:
            group["lr"] = learning_rate
        self._engine.step()

    def _slots(self) -> tuple[dict[str, torch.Tensor], Any]:
        """What the optimiser moves, and itself: with ZeRO this worker's flat parts, else the
        module's own parameters."""
        outer, stage = self._engine.optimizer, self._engine.zero_optimization_stage()
        if not stage:
            return moving_weights(self.module), outer
        parts = (
            outer.fp32_partitioned_groups_flat if stage == 3 else
            outer.single_partition_of_fp32_groups
        )  # fmt: skip
        return {f"part {i}": part for i, part in enumerate(parts)}, outer.optimizer

    def state(self) -> dict[str, torch.Tensor]:
        import torch

        if not self._engine.zero_optimization_stage() and torch.distributed.get_rank():
            return {}
        return slots_state(*self._slots(), self._scaler())

    def _scaler(self) -> Any:
        """What scales the loss in fp16."""
        if self._engine.zero_optimization_stage():
            return self._engine.optimizer.loss_scaler
        return self._engine.torch_autocast_z0_gradscaler

    def load_state(self, tensors: Mapping[str, torch.Tensor]) -> None:
        outer, stage = self._engine.optimizer, self._engine.zero_optimization_stage()
        if stage == 3:
            outer.checkpoint_event_prologue()  # what is kept whole is put into parts again
        load_slots(*self._slots(), self._scaler(), tensors)
        if stage == 3:
            for index in range(len(outer.fp32_partitioned_groups_flat)):
                outer._reassign_or_swap_out_partitioned_parameters(index)
            outer.checkpoint_event_epilogue()
        elif stage:
            outer.update_lp_params()


class TorchEngine:
    """`Engine` without DeepSpeed, for one process: what the tests hold the other against, and what
    runs where it is missing."""

    def __init__(self, model: nn.Module, training: Training, precision: str) -> None:
        import torch

        self.module = model
        self.device = next(model.parameters()).device
        self._precision, self._clip = precision, training.gradient_clipping
        self._moving = moving_weights(model)
        self._optimizer = torch.optim.AdamW(
            list(self._moving.values()),
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
        """Nothing is held elsewhere."""

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
        torch.nn.utils.clip_grad_norm_(self._moving.values(), self._clip)
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad(set_to_none=True)

    def state(self) -> dict[str, torch.Tensor]:
        return slots_state(self._moving, self._optimizer, self._scaler)

    def load_state(self, tensors: Mapping[str, torch.Tensor]) -> None:
        load_slots(self._moving, self._optimizer, self._scaler, tensors)


ENGINES: dict[str, type[DeepSpeedEngine] | type[TorchEngine]] = {
    "deepspeed": DeepSpeedEngine,
    "torch": TorchEngine,
}


def build_engine(name: str, model: nn.Module, training: Training, precision: str) -> Any:
    if name not in ENGINES:
        raise TrainError(f"engine {name!r} is unknown; known: {', '.join(ENGINES)}")
    return ENGINES[name](model, training, precision)
