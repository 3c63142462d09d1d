"""The loop of the process: reads requests from standard input and answers until it ends."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import select
import sys
from collections.abc import Iterator
from typing import IO, Any

from .checkpoint import Unloadable
from .comet_model import Loaded, gpus_of, load
from .protocol import VERSION, line, parsed

PACKAGES = ("unbabel-comet", "transformers", "torch", "numpy", "pytorch-lightning", "protobuf")
ORPHAN_SECONDS = 10.0  # between two looks at whether the parent is still there


def own_pipes() -> tuple[int, IO[bytes]]:
    """The descriptors of the protocol. What anything else prints goes to standard error, and
    nothing can be read from standard input: a question there gets no answer."""
    requests, answers = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, os.fdopen(answers, "wb")


def lines(descriptor: int) -> Iterator[bytes]:
    """Lines from the pipe until it ends or the parent is gone: a process that the parent forked
    may hold the pipe open."""
    parent, rest = os.getppid(), b""
    while os.getppid() == parent:
        if not select.select([descriptor], [], [], ORPHAN_SECONDS)[0]:
            continue
        if not (block := os.read(descriptor, 1 << 20)):
            return
        *whole, rest = (rest + block).split(b"\n")
        yield from whole


class Server:
    """The models that were loaded, with their answers to `load`, by model, name and device."""

    def __init__(self) -> None:
        self._loaded: dict[tuple[str, str, str], tuple[Loaded, dict[str, Any]]] = {}

    def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The answer without its id."""
        try:
            return self._answer(asked)
        except Unloadable as error:
            return {"error": "model", "message": str(error)}
        except Exception as error:  # told to whoever asked; the process goes on
            kind = "model" if asked.get("do") == "load" else "evaluation"
            kind = "memory" if is_memory(error) else kind
            return {"error": kind, "message": f"comet: {type(error).__name__}: {error}"}

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        model, name = str(asked["model"]), str(asked.get("name", ""))
        device = str(asked.get("device", "auto"))
        if asked["do"] == "load":
            found = self._held(model, name, device) or load(model, name, device)
            self._loaded[model, name, device] = found
            return found[1]
        loaded = self._loaded[model, name, device][0]
        if asked["do"] == "score":
            use_threads(asked.get("threads"))
            return loaded.score(asked["segments"])
        if asked["do"] == "count":
            return loaded.count(asked["texts"])
        return {"error": "evaluation", "message": f"comet: unknown request {asked['do']!r}"}

    def _held(self, model: str, name: str, device: str) -> tuple[Loaded, dict[str, Any]] | None:
        """The same model under another name of the same device: auto may be the CPU."""
        for (held, called, _), found in self._loaded.items():
            if (held, called) == (model, name) and found[0].gpus == gpus_of(device):
                return found
        return None


def is_memory(error: Exception) -> bool:
    """Whether memory of the machine or the GPU ran out; torch raises RuntimeError for both."""
    words = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, MemoryError) or any(word in str(error) for word in words)


def use_threads(count: int | None) -> None:
    """As many threads as the process that asks has: the order of sums, so the last digits of a
    score, may depend on it."""
    if count:
        import torch

        torch.set_num_threads(count)


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def send(answers: IO[bytes], message: dict[str, Any]) -> None:
    answers.write(line(message))
    answers.flush()


def main() -> None:
    requests, answers = own_pipes()
    server = Server()
    with contextlib.suppress(BrokenPipeError):  # nobody is left to be answered
        send(answers, {"hello": VERSION, "versions": versions()})
        for request in lines(requests):
            asked = parsed(request)
            send(answers, {"id": asked.get("id"), **server.answer(asked)})
    sys.stderr.flush()
    os._exit(0)  # torch takes a second to end in order, which nobody needs
