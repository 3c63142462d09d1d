"""Workers of one trial without Ray: processes of a group, for tests that train in them."""

from __future__ import annotations

import os
import socket
import sys
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import torch

from mtray.training.worker import ProcessGroup, join_process_group

UNIT = str(Path(__file__).parent.parent / "unit")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def join_group(rank: int, world: int, port: int) -> ProcessGroup:
    """This process becomes a worker, with a thread of its own and the unit tests' helpers."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)}
    sys.path.insert(0, UNIT)
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"tcp://127.0.0.1:{port}",
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=300),
    )
    return join_process_group(rank, world)


def leave_group() -> NoReturn:
    """End this process as soon as no worker waits for another one. Without the barrier, gloo's
    thread aborts a worker (SIGABRT) whose peer has already left; the interpreter's own end, with
    the threads of native libraries, is not what the tests are about."""
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
