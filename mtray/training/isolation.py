"""Isolation of jobs in a process that trains one model after another: each starts from the same
state and its memory is freed."""

from __future__ import annotations

import gc
import random
from dataclasses import dataclass, field

import numpy as np

FIRST = 3  # jobs that set the baseline of memory use
FACTOR, SPARE = 1.5, 1 << 29  # allowed growth: a factor of the baseline, and 0.5 GiB
GPU_SPARE = 1 << 28  # 0.25 GiB


def begin_alike() -> None:
    """Reset global random seeds and torch's settings, so that a job does not depend on the jobs
    before it."""
    import torch

    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)


def give_back_memory() -> None:
    """Free unreferenced memory, for the system and for other processes on the GPU."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@dataclass
class MemoryWatch:
    """Memory held by a process after each of its jobs, in bytes, in main memory and on the GPU."""

    host: list[int] = field(default_factory=list)
    gpu: list[int] = field(default_factory=list)

    def note(self) -> None:
        """Called after each job."""
        import psutil
        import torch

        self.host.append(psutil.Process().memory_info().rss)
        self.gpu.append(torch.cuda.memory_allocated() if torch.cuda.is_available() else 0)

    def grown(self) -> bool:
        """Whether memory use has grown so much since the first jobs that something leaks."""
        if len(self.host) <= FIRST:
            return False
        usual = max(self.host[:FIRST])
        return (
            self.host[-1] > FACTOR * usual + SPARE
            or self.gpu[-1] > max(self.gpu[:FIRST]) + GPU_SPARE
        )
