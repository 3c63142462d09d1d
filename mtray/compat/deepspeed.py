"""DeepSpeed: its build of a kernel, the hooks of ZeRO-3, and the shards of ZeRO. Tested with
0.19.8.

Its own `save_checkpoint` and `load_checkpoint` resume bit for bit with every stage, with and
without adapters. But the files of ZeRO 1 to 3 are pickles of DeepSpeed's own classes: torch refuses
them with `weights_only`, and `load_checkpoint` reads them without it. They are written directly to
their final path, so not atomically. `safe_get_full_optimizer_state` and similar functions lack the
step count and the loss scale. So the shards are read and written here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mtray.errors import TrainError

SHM_ALL_REDUCE = "deepspeed_shm_comm"


def without_compiled_all_reduce() -> None:
    """Disable the compiled all-reduce in shared memory. It is compiled at first use, half a minute
    of a C++ compiler in every new environment; if that is killed, its lock file blocks the next
    process forever.

    Private: `__compatible_ops__`, by which DeepSpeed decides whether it can be compiled, and the
    kernel's name in it; no option disables it. Without them it is compiled.
    """
    import deepspeed.ops

    known = getattr(deepspeed.ops, "__compatible_ops__", None)
    if known is not None:
        known[SHM_ALL_REDUCE] = False


def is_sharded(weight: Any) -> bool:
    """Whether a parameter is sharded over several workers (ZeRO-3).

    Undocumented: `ds_id`, which DeepSpeed's `is_zero_param` checks as well; this avoids importing
    DeepSpeed in processes that do not use it.
    """
    return hasattr(weight, "ds_id")


@contextmanager
def gathered(engine: Any) -> Iterator[None]:
    """In this context all weights of a ZeRO-3 engine are whole on every worker, and the module
    computes without the other workers. All workers must enter and leave it together.

    Private: `parameter_offload` and `_remove_module_hooks`; the hooks gather and release the
    weights of every layer together with the other workers. Without them a single worker uses the
    public `deepspeed.zero.unwrap_model_for_generation`. That leaves the module's own hook, which in
    the first two steps synchronises with the other workers at every forward. Workers with unequal
    numbers of batches would wait for each other forever, so several workers raise TrainError.
    """
    import deepspeed

    hooks: Any = getattr(engine.optimizer, "parameter_offload", None)
    if not hasattr(hooks, "_remove_module_hooks"):
        yield from _unwrapped(engine)
        return
    hooks._remove_module_hooks()
    try:
        with deepspeed.zero.GatheredParameters(list(engine.module.parameters())):
            yield
    finally:
        hooks.setup_zero_stage3_hooks()


def _unwrapped(engine: Any) -> Iterator[None]:
    """The public way, whose hooks are not restored after an error."""
    import deepspeed

    if engine.world_size > 1:
        raise TrainError(
            f"training.zero_stage 3 with {engine.world_size} workers cannot be measured with "
            f"deepspeed {deepspeed.__version__}, which mtray does not know; allowed: 0, 1, 2, or "
            "one worker (`resources.workers: 1`)"
        )
    error = None
    with deepspeed.zero.unwrap_model_for_generation(engine):
        try:
            yield
        except Exception as caught:
            error = caught
    if error is not None:
        raise error


def shards(engine: Any) -> list[Any]:
    """This worker's flat fp32 shards of the weights in a ZeRO engine, which its inner optimiser
    updates.

    Undocumented: the attributes' names. The public interface gives the weights by parameter,
    gathered from all workers, without the optimiser's step count.
    """
    optimizer = engine.optimizer
    if engine.zero_optimization_stage() == 3:
        return list(optimizer.fp32_partitioned_groups_flat)
    return list(optimizer.single_partition_of_fp32_groups)


def inner_optimizer(engine: Any) -> Any:
    """torch's optimiser, which ZeRO wraps. Undocumented: `optimizer` of the wrapper."""
    return engine.optimizer.optimizer if engine.zero_optimization_stage() else engine.optimizer


def loss_scaler(engine: Any) -> Any:
    """The loss scaler of fp16, torch's or DeepSpeed's; None if there is none. Undocumented: the
    attributes' names."""
    if engine.zero_optimization_stage():
        return engine.optimizer.loss_scaler
    return engine.torch_autocast_z0_gradscaler


def scaler_fields(scaler: Any) -> dict[str, float]:
    """The state of DeepSpeed's own loss scaler. Private: that its state is its attributes; it has
    no `state_dict`."""
    return {k: v for k, v in vars(scaler).items() if type(v) in (int, float)}


def set_scaler_fields(scaler: Any, fields: dict[str, float]) -> None:
    """Restore the state returned by `scaler_fields`."""
    vars(scaler).update(fields)


@contextmanager
def shards_written(engine: Any) -> Iterator[None]:
    """In this context `shards` may be written; on leaving it, they are copied to the weights that
    the module computes with.

    Private: `_reassign_or_swap_out_partitioned_parameters`, which copies a shard back.
    Undocumented: `checkpoint_event_prologue` and `..._epilogue`, between which no weight is kept
    whole, and `update_lp_params`, which gathers the shards of ZeRO 1 and 2. DeepSpeed's
    `load_checkpoint` does the same after reading its files.
    """
    optimizer, stage = engine.optimizer, engine.zero_optimization_stage()
    if stage == 3:
        optimizer.checkpoint_event_prologue()
    yield
    if stage == 3:
        for index in range(len(optimizer.fp32_partitioned_groups_flat)):
            optimizer._reassign_or_swap_out_partitioned_parameters(index)
        optimizer.checkpoint_event_epilogue()
    elif stage:
        optimizer.update_lp_params()
