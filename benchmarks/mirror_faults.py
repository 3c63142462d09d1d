"""An S3 server on this machine (moto's), and between it and the copying process a connection that
can be cut and slowed down."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

BUCKET = "sweeps"
# moto accepts any; the checks look for them in everything that is written
KEYS = {"AWS_ACCESS_KEY_ID": "made-up-key-id", "AWS_SECRET_ACCESS_KEY": "made-up-secret-key"}
BLOCK = 1 << 16


class Cable:
    """Passes connections on to the server.

    delay: seconds by which every block on its way to the server is late.
    cut: whether connections are refused and open ones closed.
    """

    def __init__(self, port: int) -> None:
        self._server = port
        self.delay, self.cut = 0.0, False
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.bytes = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                client, _ = self._listener.accept()
                if self.cut:
                    client.close()
                    continue
                server = socket.create_connection(("127.0.0.1", self._server))
                self._open |= {client, server}
                for source, target, late in ((client, server, True), (server, client, False)):
                    threading.Thread(
                        target=self._pass, args=(source, target, late), daemon=True
                    ).start()

    def _pass(self, source: socket.socket, target: socket.socket, late: bool) -> None:
        with contextlib.suppress(OSError):
            while block := source.recv(BLOCK):
                if late and self.delay:
                    time.sleep(self.delay)
                if self.cut:
                    break
                self.bytes += len(block) * late
                target.sendall(block)
        for end in (source, target):
            self._open.discard(end)
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def cut_off(self) -> None:
        self.cut = True
        for end in list(self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self.cut, self.delay = False, 0.0


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@contextlib.contextmanager
def s3_server(python: str = sys.executable) -> Iterator[Cable]:
    """moto's server with a bucket `BUCKET`, run by an interpreter that has moto; the environment of
    this process and its children leads there, by the cable."""
    port = free_port()
    command = [python, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    server = subprocess.Popen(
        command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    before = dict(os.environ)
    try:
        wait_for(lambda: _answers(port), "moto's server answers", 60)
        cable = Cable(port)
        os.environ.update(KEYS, AWS_ENDPOINT_URL=f"http://127.0.0.1:{cable.port}")
        direct(port).create_dir(BUCKET)
        yield cable
    finally:
        os.environ.clear()
        os.environ.update(before)
        server.kill()
        server.wait()


def direct(port: int) -> Any:
    """The server without the cable."""
    from pyarrow import fs

    return fs.S3FileSystem(
        endpoint_override=f"127.0.0.1:{port}", scheme="http", region="us-east-1",
        allow_bucket_creation=True,
    )  # fmt: skip


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def wait_for(happened: Callable[[], Any], what: str, seconds: float = 120.0) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := happened():
            return found
        time.sleep(0.1)
    raise TimeoutError(f"{what}: not within {seconds:.0f} s")


def holds(folder: Path, text: str) -> list[Path]:
    """The files below a folder that hold a text."""
    wanted = text.encode()
    return [p for p in folder.rglob("*") if p.is_file() and wanted in p.read_bytes()]
