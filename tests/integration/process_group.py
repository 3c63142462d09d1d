"""Workers of one trial without Ray: processes of a group, for tests that train in them."""

from __future__ import annotations

import functools
import os
import socket
import sys
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import torch

from mtray.training.worker import ProcessGroup, join_process_group

UNIT = str(Path(__file__).parent.parent / "unit")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def worker(work: Callable[..., None]) -> Callable[..., NoReturn]:
    """`work(place, ...)` as the function of a process of its own, `(rank, world, port, ...)`: a
    worker of a group, with a thread of its own and the unit tests' helpers.

    The process ends with 0 or, after an error, with 1, without the end of the interpreter: there
    the threads of native libraries abort some workers whose peer has left ("terminate called
    without an active exception", SIGABRT), which is not what the tests are about.
    """

    @functools.wraps(work)
    def run(rank: int, world: int, port: int, *others: Any) -> NoReturn:
        code = 1
        try:
            work(_join_group(rank, world, port), *others)
            torch.distributed.barrier()  # no worker leaves while another one waits for it
            torch.distributed.destroy_process_group()
            code = 0
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    return run


def _join_group(rank: int, world: int, port: int) -> ProcessGroup:
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
