"""One running process that speaks the protocol of `worker/protocol.py`: its pipes, the limit on the
time that it has for an answer, and what it wrote to standard error."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from mtray.errors import EvaluationError, MetricOutOfMemory, ModelError
from mtray.evaluation.metrics.worker.protocol import KINDS, VERSION, line, parsed

START_SECONDS = 300.0  # until the process has said hello
STOP_SECONDS = 2.0  # to end by itself once its standard input has ended
MOST_BYTES = 2**28  # of one answer
STDERR_LINES, STDERR_WIDTH = 5, 300  # what an error repeats
ERRORS = dict(zip(KINDS, (ModelError, EvaluationError, MetricOutOfMemory), strict=True))
GARBAGE = 80  # characters of it that an error repeats


class ChildEnded(Exception):
    """The process ended without having answered; the text says how."""


class Child:
    """A process that was started and has said hello.

    Raises ModelError if it cannot be started or speaks another version of the protocol. `what` is
    how errors call it.
    """

    def __init__(self, command: Sequence[str], what: str, env: Mapping[str, str]) -> None:
        self.what = what
        self.owner = os.getpid()
        self.loaded: dict[Any, dict[str, Any]] = {}  # answers to `load`
        self._number = 0
        self._busy = True  # an answer is awaited
        self._rest = bytearray()
        self._wrote: deque[str] = deque(maxlen=STDERR_LINES)
        try:
            # a session of its own: Ctrl-C in a terminal is for the parent, whose end it sees
            self._popen = subprocess.Popen(
                list(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, env=dict(env), bufsize=0, start_new_session=True,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            raise ModelError(f"{what}: cannot be started: {error}") from error
        assert self._popen.stdin and self._popen.stdout
        self._to, self._from = self._popen.stdin.fileno(), self._popen.stdout.fileno()
        os.set_blocking(self._to, False)
        self._drain = threading.Thread(target=self._read_stderr, daemon=True)
        self._drain.start()
        try:
            self._greet()
        except BaseException:
            self.stop()
            raise

    def _greet(self) -> None:
        try:
            hello = self._answer(time.monotonic() + START_SECONDS)
        except TimeoutError:
            raise ModelError(
                f"{self.what}: it has not said hello within {START_SECONDS:,.0f} s"
                f"{self.last_words()}"
            ) from None
        except (ChildEnded, EvaluationError) as error:
            prefix = "" if isinstance(error, EvaluationError) else f"{self.what}: "
            raise ModelError(f"{prefix}{error}") from None
        if hello.get("hello") != VERSION:
            raise ModelError(
                f"{self.what}: it speaks version {hello.get('hello')!r} of the protocol, and this "
                f"mtray version {VERSION}; take a metric of this mtray"
            )
        self._busy = False
        found = hello.get("versions")
        self.versions: dict[str, Any] = found if isinstance(found, dict) else {}

    def ask(self, request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """The answer to a request. Raises ChildEnded if the process ends instead, ModelError or
        EvaluationError for its own errors, and EvaluationError if it takes longer than `seconds` or
        writes anything else; the process is stopped then."""
        self._number += 1
        until = time.monotonic() + seconds
        self._busy = True
        try:
            self._write(line({"id": self._number, **request}), until)
            found = self._answer(until)
            if found.get("id") != self._number:
                raise self._garbage(str(found))
        except TimeoutError:
            self.stop()
            raise EvaluationError(
                f"{self.what}: no answer to `{request['do']}` within {seconds:,.0f} s"
                f"{self.last_words()}"
            ) from None
        except BaseException:  # an interruption too: the answer would be taken for the next one's
            self.stop()
            raise
        self._busy = False
        if "error" in found:
            kind = ERRORS.get(str(found["error"]), EvaluationError)
            raise kind(str(found.get("message", "an error without a message")))
        return found

    def _write(self, data: bytes, until: float) -> None:
        left = memoryview(data)
        while left:
            _wait(self._to, select.POLLOUT, until)
            try:
                left = left[os.write(self._to, left[:65536]) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise ChildEnded(self._end()) from None

    def _answer(self, until: float) -> dict[str, Any]:
        """The next message. Raises TimeoutError, ChildEnded, and EvaluationError for anything
        else."""
        start = 0
        while (end := self._rest.find(b"\n", start)) < 0:
            start = len(self._rest)
            _wait(self._from, select.POLLIN, until)
            if not (block := os.read(self._from, 1 << 20)):
                raise ChildEnded(self._end())
            self._rest += block
            if len(self._rest) > MOST_BYTES:
                raise self._garbage(self._rest[:GARBAGE].decode(errors="replace"))
        found = bytes(self._rest[:end])
        del self._rest[: end + 1]
        try:
            return parsed(found)
        except ValueError:
            raise self._garbage(found[:GARBAGE].decode(errors="replace")) from None

    def _garbage(self, found: str) -> EvaluationError:
        return EvaluationError(
            f"{self.what}: {found[:GARBAGE]!r} on its standard output, which is for the protocol "
            f"alone; print to standard error{self.last_words()}"
        )

    def _end(self) -> str:
        """How the process ended, and what it said last."""
        try:
            status = self._popen.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            return f"it closed its standard output{self.last_words()}"
        if status >= 0:
            return f"it ended with status {status}{self.last_words()}"
        name = signal.Signals(-status).name if -status in set(signal.Signals) else str(-status)
        memory = " (memory may have run out)" if -status == signal.SIGKILL else ""
        return f"it was killed by {name}{memory}{self.last_words()}"

    def _read_stderr(self) -> None:
        assert self._popen.stderr
        with contextlib.suppress(OSError, ValueError):  # closed while it is read
            for written in self._popen.stderr:
                if text := written.decode(errors="replace").strip():
                    self._wrote.append(text[-STDERR_WIDTH:])

    def last_words(self) -> str:
        """What the process wrote to standard error last, as the end of a sentence."""
        if self._popen.poll() is not None:
            self._drain.join(STOP_SECONDS)
        return "; it wrote last: " + " | ".join(self._wrote) if self._wrote else ""

    @property
    def running(self) -> bool:
        """Whether it runs and is this process's own: after a fork the pipes are the parent's."""
        return self.owner == os.getpid() and self._popen.poll() is None

    @property
    def pid(self) -> int:
        return self._popen.pid

    def stop(self) -> None:
        """End it: by the end of its standard input, which it notices between two requests, or by
        force. Does not raise."""
        if self.owner != os.getpid():
            return
        assert self._popen.stdin and self._popen.stdout and self._popen.stderr
        with contextlib.suppress(OSError):
            self._popen.stdin.close()
        try:
            self._popen.wait(0.0 if self._busy else STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self._drain.join(STOP_SECONDS)
        self._popen.stdout.close()
        if not self._drain.is_alive():  # else a process of its own holds the pipe
            self._popen.stderr.close()


def _wait(descriptor: int, event: int, until: float) -> None:
    """Until the descriptor is ready or its other end closed; TimeoutError after `until`. By poll,
    since select takes no descriptor above 1023."""
    poll = select.poll()
    poll.register(descriptor, event)
    left = until - time.monotonic()
    if left <= 0 or not poll.poll(left * 1000):
        raise TimeoutError
