"""Worker processes for CPU-bound work, each on its own, so that one that dies takes no other's work with it."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from typing import Any, ParamSpec, Self, TypeVar

from metriq_gym.errors import MetriqGymError

P = ParamSpec("P")
T = TypeVar("T")

_PRELOAD = ("qiskit.qpy", "qiskit_aer", "metriq_gym.jobs.plan", "metriq_gym.jobs.scoring")
"""What workers import before their first call; what is not installed is passed over."""


_UNTOLD = "ignore:resource_tracker:UserWarning"
"""What loky says of a worker that is stopped while it starts; its tracker, a process, clears up and is done."""


JOB_SECONDS = 20 * 60.0
"""How long building or scoring one job may take: minutes are much, and after 30 RabbitMQ takes its message for lost."""


class WorkerDied(MetriqGymError):
    """A worker process died at its work, perhaps for want of memory."""


class Pool:
    """`size` worker processes, started when first needed. Use it as an asynchronous context manager."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._workers: set[Any] = set()
        self._idle: asyncio.LifoQueue[Any] = asyncio.LifoQueue()

    async def __aenter__(self) -> Self:
        for _ in range(self.size):
            self._idle.put_nowait(self._new())
        return self

    async def __aexit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.shutdown(wait=False, kill_workers=True)
        self._workers.clear()

    def warm(self) -> None:
        """Start the processes and their imports now, so that the first call need not wait for them."""
        for worker in self._workers:
            worker.submit(_preload)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a picklable call in a worker, waiting for an idle one; raises `WorkerDied` if that process dies.

        Cancelling the call kills the worker: there is no other way to stop computing.
        """
        return await self.run_within(None, function, *args, **kwargs)

    async def run_within(self, seconds: float | None, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call as `run` does; raises `TimeoutError` if that takes longer, the wait for a worker not counted."""
        from loky.process_executor import ShutdownExecutorError

        worker = await self._idle.get()
        try:
            async with asyncio.timeout(seconds):
                result: T = await asyncio.wrap_future(worker.submit(function, *args, **kwargs))
            return result
        except (BrokenExecutor, ShutdownExecutorError) as error:
            worker = self._replace(worker)
            raise WorkerDied from error
        except (asyncio.CancelledError, TimeoutError):
            worker = self._replace(worker)
            raise
        finally:
            self._idle.put_nowait(worker)

    def _replace(self, worker: Any) -> Any:
        worker.shutdown(wait=False, kill_workers=True)
        self._workers.discard(worker)
        return self._new()

    def _new(self) -> Any:
        # loky starts workers without importing the caller's main module, which may be a script without a guard.
        from loky import ProcessPoolExecutor
        from loky.backend import get_context

        if _UNTOLD not in sys.warnoptions:
            sys.warnoptions.append(_UNTOLD)
        context = get_context("loky")
        # Threads of the linear algebra library would compete with the other workers for the same cores.
        environment = {"OPENBLAS_NUM_THREADS": "1"}
        worker = ProcessPoolExecutor(
            1, context=context, initializer=_initialize, initargs=(os.getpid(),), env=environment
        )
        self._workers.add(worker)
        return worker


def _initialize(parent: int) -> None:
    # Ctrl-C and SIGTERM are for the parent to handle, which then decides what becomes of its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_die_with, args=(parent,), daemon=True).start()


def _die_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _preload() -> None:
    for name in _PRELOAD:
        with suppress(ModuleNotFoundError):
            importlib.import_module(name)
