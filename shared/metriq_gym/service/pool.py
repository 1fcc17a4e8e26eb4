"""Worker processes for CPU-bound work, each on its own, so that one that dies takes no other's work with it.

They are forked from one process that has imported what they need (`metriq_gym.service.forkserver`), so that starting
one, also in place of one that died, takes some hundredths of a second.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ParamSpec, Self, TypeVar

import structlog

from metriq_gym.errors import MetriqGymError, NoMeans
from metriq_gym.service import forkserver, waiting
from metriq_gym.service.forkserver import LENGTH, ORDER, frame, frozen
from metriq_gym.service.turns import Turns

log = structlog.get_logger()
P = ParamSpec("P")
T = TypeVar("T")

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from metriq_gym.service.forkserver import serve; serve(int(sys.argv[1]))"
)
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Threads of the linear algebra library would compete with other workers for the same cores, and cannot be forked."""
_READ_AHEAD = 2**20

JOB_SECONDS = 20 * 60.0
"""How long building or scoring one job may take: minutes are much, and after 30 RabbitMQ takes its message for lost."""


START_PAUSES = (0.2, 10.0)
"""Seconds before the first try to start a worker once more, and at most before any other."""
START_SECONDS = 60.0
"""How long a call waits for a worker that cannot be started, before it is put off."""


class WorkerDied(MetriqGymError):
    """A worker process died at its work, perhaps for want of memory."""


class _Server:
    """The process that workers are forked from, started when it is first needed, and again should it die."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._running: tuple[subprocess.Popen[bytes], socket.socket] | None = None

    def start(self) -> socket.socket:
        """Start the process, and return the socket that takes its orders."""
        if self._running is None:
            ours, theirs = socket.socketpair()
            with theirs:
                process = subprocess.Popen(  # noqa: S603
                    [sys.executable, "-c", _START, str(theirs.fileno()), json.dumps(sys.path)],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env=os.environ | _ONE_THREAD,
                    # A session, and so a process group, that is gone with all its workers at one signal.
                    start_new_session=True,
                )
            ours.setblocking(False)
            self._running = process, ours
            asyncio.get_running_loop().add_reader(ours, self.close)  # it says nothing, but it may end
        return self._running[1]

    def fork(self) -> tuple[int, socket.socket]:
        """Return the number of a new worker, and the connection to it: calls may be sent before it is there."""
        number = next(self._numbers)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            try:
                self._order(forkserver.FORK, number, theirs.fileno())
            except ConnectionError:  # the process has died just now
                self.close()
                self._order(forkserver.FORK, number, theirs.fileno())
        return number, ours

    def kill(self, number: int) -> None:
        """End a worker, whatever it does."""
        if self._running is not None:
            with suppress(OSError):  # the process has died, and with it its workers will
                self._order(forkserver.KILL, number)

    def _order(self, order: bytes, number: int, *descriptors: int) -> None:
        socket.send_fds(self.start(), [ORDER.pack(order, number)], descriptors)

    def close(self) -> None:
        """End the process and all its workers."""
        if self._running is not None:
            (process, orders), self._running = self._running, None
            asyncio.get_running_loop().remove_reader(orders)
            orders.close()
            with suppress(ProcessLookupError, PermissionError):  # it has died by itself, and had no workers
                os.killpg(process.pid, signal.SIGKILL)  # not waited for yet, so the number is its own
            process.wait()


class _Worker:
    """One worker process, forked for its first call."""

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._forked: tuple[int, socket.socket] | None = None
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._started = False

    async def call(self, call: bytes) -> Any:
        """Return what a pickled call returns, or raise what it raises; raises `WorkerDied` and `NoMeans`."""
        try:
            reader, writer = await self._connect()
            writer.write(frame(call))
            if not self._started:
                await reader.readexactly(len(forkserver.HERE))
                self._started = True
            await writer.drain()
            header = await reader.readexactly(LENGTH.size)
            done, outcome = pickle.loads(await reader.readexactly(*LENGTH.unpack(header)))  # noqa: S301  (our worker's)
        except (OSError, EOFError, MemoryError) as error:
            if not self._started:
                raise NoMeans(f"no worker process can be started: {error}") from error
            raise WorkerDied from error
        if done:
            return outcome
        raised, raised.__cause__ = outcome
        raise raised

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            self._forked = self._server.fork()
            self._streams = await asyncio.open_unix_connection(sock=self._forked[1], limit=_READ_AHEAD)
        return self._streams

    def end(self) -> None:
        """End the process, whatever it does."""
        if self._forked is not None:
            (number, connection), self._forked = self._forked, None
            self._server.kill(number)
            self._streams[1].close() if self._streams is not None else connection.close()


class Pool:
    """`size` worker processes, started when first needed. Use it as an asynchronous context manager."""

    def __init__(self, size: int, beside: Pool | None = None) -> None:
        """Have `size` workers, forked from the same process as those of `beside`, which is closed later."""
        self.size = size
        self._server: _Server = _Server() if beside is None else beside._server
        self._owns_server = beside is None
        self._workers: set[_Worker] = set()
        self._idle: Turns[_Worker] = Turns()
        self.wants: str | None = None
        """Why no worker can be started, if that is so."""

    async def __aenter__(self) -> Self:
        for _ in range(self.size):
            self._idle.put(self._new())
        return self

    async def __aexit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.end()
        self._workers.clear()
        if self._owns_server:
            self._server.close()

    def warm(self) -> None:
        """Start the imports now, so that the first call need not wait for them."""
        try:
            self._server.start()
        except OSError as error:
            log.warning("workers cannot be started yet", reason=str(error))  # the first call waits for that

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a picklable call in a worker, waiting for an idle one; raises `WorkerDied` if that process dies.

        Cancelling the call kills the worker: there is no other way to stop computing.
        """
        return await self.run_within(None, function, *args, **kwargs)

    async def run_within(self, seconds: float | None, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call as `run` does; raises `TimeoutError` if that takes longer, the wait for a worker not counted.

        What keeps a worker from being started is waited out; raises `NoMeans` when it lasts.
        """
        call = frozen((function, args, kwargs))
        now = asyncio.get_running_loop().time
        pause, longest = START_PAUSES
        patience = now() + START_SECONDS
        while True:
            try:
                result: T = await self._run(seconds, call)
            except NoMeans as error:
                self.wants = str(error)
                if now() + pause > patience:
                    raise
                log.warning("worker cannot be started", reason=str(error), next_try_seconds=pause)
                await waiting.wait(asyncio.sleep(pause))
                pause = min(2 * pause, longest)
            else:
                self.wants = None
                return result

    async def _run(self, seconds: float | None, call: bytes) -> Any:
        worker = await waiting.wait(self._idle.get())
        try:
            async with asyncio.timeout(seconds):
                return await worker.call(call)
        except (WorkerDied, NoMeans, asyncio.CancelledError, TimeoutError):
            worker = self._replace(worker)
            raise
        finally:
            self._idle.put(worker)

    def _replace(self, worker: _Worker) -> _Worker:
        worker.end()
        self._workers.discard(worker)
        return self._new()

    def _new(self) -> _Worker:
        worker = _Worker(self._server)
        self._workers.add(worker)
        return worker
