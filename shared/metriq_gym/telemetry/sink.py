"""Where log lines go: a thread writes them, so that neither a full disk nor a reader that is gone holds up work.

A line that cannot be written is dropped and counted; when there is room again a line says how many were.
"""

from __future__ import annotations

import io
import json
import os
import select
import threading
import time
from collections import deque
from datetime import UTC, datetime
from typing import Any, TextIO

from metriq_gym.telemetry.harmless import harmless

MOST_LINES = 10_000
"""So many lines wait to be written at most; a service logs some hundreds a second."""
MOST_BYTES = 16 * 2**20
"""And so many bytes of them: a line may be long."""
LAST_SECONDS = 2.0
"""How long the end of a process waits for what is left to be written."""


class Direct:
    """Writes to a stream in memory, at once."""

    lost = 0

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        """Write; raises nothing."""
        with harmless():
            self._stream.write(text)

    def flush(self) -> None:
        """Do nothing: it is there."""

    def close(self) -> None:
        """Do nothing: there is nothing left to write."""


class Sink:
    """Writes to a stream without ever making who logs wait or fail."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._descriptor = _descriptor(stream)
        self._waiting: deque[str] = deque()
        self._bytes = 0
        self._lost = 0
        self.lost = 0
        """How many lines have been dropped so far."""
        self._torn = False
        self._changed = threading.Condition()
        self._closing = False
        self._idle = True
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(self, text: str) -> None:
        """Take lines to be written; raises nothing, and waits for nothing but the thread's taking of others."""
        with self._changed:
            if len(self._waiting) >= MOST_LINES or self._bytes + len(text) > MOST_BYTES:
                self._lose()
                return
            self._waiting.append(text)
            self._bytes += len(text)
            self._changed.notify()

    def flush(self) -> None:
        """Do nothing: the thread writes as soon as it can."""

    def close(self) -> None:
        """Return when all is written, or cannot be for the time that is left to a process that ends."""
        deadline = time.monotonic() + LAST_SECONDS
        with self._changed:
            self._closing = True
            self._changed.notify()
            while (self._waiting or not self._idle) and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)

    def _lose(self) -> None:
        self._lost += 1
        self.lost += 1

    def _run(self) -> None:
        while True:
            with self._changed:
                self._idle = True
                self._changed.notify_all()
                while not self._waiting:
                    if self._closing:
                        return
                    self._changed.wait()
                self._idle = False
                lines = list(self._waiting)
                self._waiting.clear()
                self._bytes = 0
            for line in lines:
                if not self._put(line):
                    with self._changed:
                        self._lose()

    def _put(self, line: str) -> bool:
        try:
            if self._lost:
                lost = self._lost
                self._write(_said_of(lost))
                with self._changed:
                    self._lost -= lost
            self._write(line)
        except Exception:
            return False
        return True

    def _write(self, text: str) -> None:
        if self._descriptor is None:
            self._stream.write(text)
            self._stream.flush()
            return
        # Not by way of the stream, whose buffer would keep what could not be written and fail once more at the end.
        left = memoryview(("\n" * self._torn + text).encode(errors="backslashreplace"))
        while left:
            try:
                written = os.write(self._descriptor, left)
            except BlockingIOError:
                select.select([], [self._descriptor], [], 1.0)
                continue
            self._torn = written < len(left)
            left = left[written:]
        self._torn = False


def sink_for(stream: TextIO) -> Sink | Direct:
    """Return what writes to a stream: one in memory at once, any other by a thread."""
    in_memory = isinstance(stream, io.StringIO) or isinstance(getattr(stream, "buffer", None), io.BytesIO)
    return Direct(stream) if in_memory else Sink(stream)


def _descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None


def _said_of(lost: int) -> str:
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    event = {"event": "log lines lost", "lines": lost, "level": "warning", "timestamp": now}
    return json.dumps(event) + "\n"
