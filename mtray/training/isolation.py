"""A process that trains one model after another: each begins alike and leaves no memory behind."""

from __future__ import annotations

import gc
import random
from dataclasses import dataclass, field

import numpy as np

FIRST = 3  # jobs whose memory says how much is usual
FACTOR, SPARE = 1.5, 1 << 29  # of usual memory, and half a GiB
GPU_SPARE = 1 << 28  # a quarter of a GiB


def begin_alike() -> None:
    """Whatever a job draws without a seed of its own, and the settings of torch, are the same at
    its beginning, whichever jobs came before."""
    import torch

    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float32)
    torch.set_grad_enabled(True)


def give_back_memory() -> None:
    """What no one refers to any more, to the system and to other processes on the GPU."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@dataclass
class MemoryWatch:
    """What a process holds after each of its jobs, in bytes, in main memory and on the GPU."""

    host: list[int] = field(default_factory=list)
    gpu: list[int] = field(default_factory=list)

    def note(self) -> None:
        """After a job."""
        import psutil
        import torch

        self.host.append(psutil.Process().memory_info().rss)
        self.gpu.append(torch.cuda.memory_allocated() if torch.cuda.is_available() else 0)

    def grown(self) -> bool:
        """Whether it is so much more than after the first jobs that something is left behind."""
        if len(self.host) <= FIRST:
            return False
        usual = max(self.host[:FIRST])
        return (
            self.host[-1] > FACTOR * usual + SPARE
            or self.gpu[-1] > max(self.gpu[:FIRST]) + GPU_SPARE
        )
