"""Worker processes for CPU-bound work, each on its own, so that one that dies takes no other's work with it."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection
from typing import ParamSpec, Self, TypeVar

from metriq_gym.errors import MetriqGymError

P = ParamSpec("P")
T = TypeVar("T")


_PRELOAD = ["qiskit.qpy", "qiskit.compiler", "qiskit_aer", "metriq_gym.plan", "metriq_gym.scoring"]
"""Imported once, by the server that workers are forked from; what is not installed is passed over."""


class WorkerDied(MetriqGymError):
    """A worker process died at its work, perhaps for want of memory."""


class Pool:
    """`size` worker processes. Use it as an asynchronous context manager."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(_PRELOAD)
        self._idle: asyncio.LifoQueue[ProcessPoolExecutor] = asyncio.LifoQueue()
        self._workers: set[ProcessPoolExecutor] = set()

    async def __aenter__(self) -> Self:
        for _ in range(self.size):
            self._idle.put_nowait(self._new())
        return self

    async def __aexit__(self, *_: object) -> None:
        for worker in self._workers:
            _kill(worker)
        self._workers.clear()

    def warm(self) -> None:
        """Start the processes and their imports now, so that the first call need not wait for them."""
        for worker in self._workers:
            worker.submit(_nothing)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a picklable call in a worker, waiting for an idle one; raises `WorkerDied` if that process dies.

        Cancelling the call kills the worker: there is no other way to stop computing.
        """
        worker = await self._idle.get()
        try:
            return await asyncio.wrap_future(worker.submit(function, *args, **kwargs))
        except (BrokenProcessPool, asyncio.CancelledError) as error:
            _kill(worker)
            self._workers.discard(worker)
            worker = self._new()
            if isinstance(error, BrokenProcessPool):
                raise WorkerDied from error
            raise
        finally:
            self._idle.put_nowait(worker)

    def _new(self) -> ProcessPoolExecutor:
        worker = ProcessPoolExecutor(1, mp_context=self._context, initializer=_initialize)
        self._workers.add(worker)
        return worker


def _nothing() -> None: ...


def _kill(worker: ProcessPoolExecutor) -> None:
    processes = worker._processes or {}  # no public way to stop a worker that is busy
    for process in list(processes.values()):
        process.kill()
    worker.shutdown(wait=False, cancel_futures=True)


def _initialize() -> None:
    # Ctrl-C and SIGTERM are for the parent to handle, which then decides what becomes of its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101  (this runs in workers only)
    connection.wait([parent.sentinel])
    os._exit(1)
