"""The asynchronous client for synchronous callers: a thread with an event loop, in scripts and notebooks alike.

The thread starts with the first call. What it opens stays open until the process ends, so that jobs go on between two
calls; what is unfinished then is finished by the next process.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from functools import cache
from typing import Any, Generic, TypeVar

from metriq_gym.client.client import Client, brief, connect, open_store
from metriq_gym.settings import Settings
from metriq_gym.store import Store

T = TypeVar("T")


class _Kept(Generic[T]):
    """A context kept open: entered and left by one task, since what is inside may be bound to it."""

    def __init__(self, context: AbstractAsyncContextManager[T]) -> None:
        self._opened: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._closing = asyncio.Event()
        self._task = asyncio.create_task(self._keep(context))

    async def _keep(self, context: AbstractAsyncContextManager[T]) -> None:
        try:
            async with context as opened:
                self._opened.set_result(opened)
                await self._closing.wait()
        except Exception as error:
            if self._opened.done():
                raise
            self._opened.set_exception(error)

    async def get(self) -> T:
        return await asyncio.shield(self._opened)

    async def close(self) -> None:
        self._closing.set()
        await self._task


class Session:
    """Runs coroutines for synchronous callers, on a store or a client that it opens when first needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = brief(settings)
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._store: _Kept[Store] | None = None
        self._client: _Kept[Client] | None = None
        self._at_work = False
        """Whether workers have been started in this process."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the session's thread and return its result."""
        future = asyncio.run_coroutine_threadsafe(work, self._started())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def on_store(self, work: Callable[[Store], Awaitable[T]]) -> T:
        """Run `work` on the store."""

        async def call() -> T:
            return await work(await self._opened_store())

        return self.run(call())

    def on_client(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """Run `work` on a client; from then on, without servers, the embedded runtime is at work."""

        async def call() -> T:
            return await work(await self._opened_client())

        return self.run(call())

    def close(self) -> None:
        """Close what is open; the next call opens it again."""
        with self._lock:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._close(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

    async def _opened_store(self) -> Store:
        if self._client is not None:
            return (await self._opened_client()).store
        if self._store is None:
            self._store = _Kept(open_store(self._settings))
        try:
            return await self._store.get()
        except Exception:
            self._store = None
            raise

    async def _opened_client(self) -> Client:
        if self._client is None:
            self._client = _Kept(connect(self._settings))
        try:
            client = await self._client.get()
        except Exception:
            self._client = None
            raise
        if not self._at_work:
            self._at_work = True
            _at_exit(self.close)
        return client

    async def _close(self) -> None:
        kept = [each for each in (self._client, self._store) if each is not None]
        self._client = self._store = None
        for each in kept:
            await each.close()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                quiet()
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="metriq-gym", daemon=True)
                self._thread.start()
                # Which is when the thread pool of the database driver registers its end.
                import concurrent.futures.thread  # noqa: F401

                _at_exit(self.close)
            return self._loop


@cache
def session_for(settings: Settings) -> Session:
    """Return this process's session with these settings."""
    return Session(settings)


def quiet() -> None:
    """Keep the services' logs out of a script's output, unless the script has said where they go."""
    import structlog

    from metriq_gym.telemetry.logs import harmless_logger

    if not structlog.is_configured():
        structlog.configure(
            wrapper_class=harmless_logger("critical"),
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        )


def _at_exit(close: Callable[[], None]) -> None:
    # `atexit` comes too late: by then no thread pool and no worker process takes work any more. Those register their
    # ends in this way; the last one registered is called first, so this has to come after they have.
    threading._register_atexit(close)  # type: ignore[attr-defined]
