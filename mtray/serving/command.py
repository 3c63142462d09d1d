"""`serve`: the page of runs, live or finished, on this machine's loopback interface."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from mtray.commands.run_argument import run_folder
from mtray.serving.access import Access
from mtray.serving.app import App
from mtray.serving.http_server import LOOPBACK, Server, listen
from mtray.serving.run_view import RunView
from mtray.side_process import begin_beside


def serve(paths: Sequence[Path], port: int, beside: bool = False) -> int:
    """Serve the page until Ctrl-C, or, `beside` a sweep, until standard input ends, which is when
    the sweep's process does. RunError when a path is no run, ConfigError for a port in use."""
    over = begin_beside() if beside else None
    folders = [path.absolute() if beside else run_folder(path) for path in paths]
    server, address = started(folders, port)
    print(f"page: {address}  (the token in it works once)", flush=True)
    if over is not None:
        threading.Thread(target=_end_after, args=(over, server), daemon=True).start()
    else:
        print("Ctrl-C ends it", flush=True)
    try:
        server.serve_forever(poll_interval=0.2)
    except KeyboardInterrupt:
        print("the page has ended")
    finally:
        server.server_close()
    return 0


def started(folders: Sequence[Path], port: int) -> tuple[Server, str]:
    """A server that is ready to serve the runs, and its address with a token."""
    server = listen(port)
    access = Access(server.port)
    server.respond = App([RunView(folder) for folder in folders], access).respond
    return server, f"http://{LOOPBACK}:{server.port}/?token={access.issue()}"


def _end_after(over: threading.Event, server: Server) -> None:
    over.wait()
    server.shutdown()
