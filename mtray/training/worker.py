"""One worker of a trial: its place in the process group, and its means to report progress and to be
stopped."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtray.training.base_model import BaseModels

Progress = Callable[[dict[str, Any]], None]


def _alone(value: Any) -> list[Any]:
    return [value]


@dataclass(frozen=True)
class ProcessGroup:
    """This worker in its trial's process group (with several workers: `any_worker`,
    `sum_over_workers`, `gather_from_workers`).

    - `agree`: True on every worker when any calls it with True.
    - `total`: the sum of the workers' values.
    - `gather`: the list of the workers' values on rank 0.
    """

    rank: int = 0
    world: int = 1
    agree: Callable[[bool], bool] = bool
    total: Callable[[float], float] = float
    gather: Callable[[Any], list[Any]] = _alone


def _silent(fields: dict[str, Any]) -> None:
    pass


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Worker:
    """One worker of a trial.

    - `batch_share`: share of the usual tokens in a micro-batch and in an evaluation batch.
    - `progress`: receives progress reports.
    - `should_stop`: stays True once it is; TrialStopped is raised soon after.
    - `models`: loads the base model; None: from its files.
    """

    process_group: ProcessGroup = ProcessGroup()
    batch_share: float = 1.0
    progress: Progress = _silent
    should_stop: Callable[[], bool] = _never
    models: BaseModels | None = None


def any_worker(flag: bool) -> bool:
    """Whether any worker of the process group has the flag set. All must leave the loop at the same
    step, or those that stay wait for the others forever."""
    return sum_over_workers(float(flag)) > 0


def sum_over_workers(value: float) -> float:
    """The sum over the workers of the process group; NaN when any worker has NaN."""
    import torch

    values = torch.tensor(
        [value], dtype=torch.float64, device="cuda" if torch.cuda.is_available() else "cpu"
    )
    torch.distributed.all_reduce(values)
    return float(values.item())


def gather_from_workers(value: Any) -> list[Any]:
    """The values of all workers of the process group, by rank, on rank 0; nothing elsewhere."""
    import torch

    group = torch.distributed
    found: list[Any] = [None] * group.get_world_size() if group.get_rank() == 0 else []
    group.gather_object(value, found or None)
    return found


def join_process_group(rank: int, world: int) -> ProcessGroup:
    """Join as one worker of the process group; a single worker needs none."""
    if world == 1:
        return ProcessGroup()
    return ProcessGroup(rank, world, any_worker, sum_over_workers, gather_from_workers)
