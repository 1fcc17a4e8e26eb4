"""The points at which a process can die: before and after every call to the store, the provider and the queue.

Which calls there are is found by reflection, so that a new one has its points from the day it is written.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import replace
from datetime import datetime
from functools import cache, partial
from typing import Any, Literal, NamedTuple

from metriq_gym.bus.port import Bus, Delivery, Handler, LockedLetter, Queue, Subscription
from metriq_gym.messages import Message
from metriq_gym.providers.plugin import ProviderPlugin, installed
from metriq_gym.providers.provider import Provider
from metriq_gym.settings import Settings
from metriq_gym.store import Store

Call = Callable[[], Awaitable[Any]]
Around = Callable[[str, Call], Awaitable[Any]]
surrounding: ContextVar[Around] = ContextVar("surrounding")
"""What carries out the calls of the process that runs here."""


class Point(NamedTuple):
    """The `number`-th call of that name in a process, and the side of it."""

    call: str
    number: int
    side: Literal["before", "after"]

    def __str__(self) -> str:
        return f"{self.side} {self.call} {self.number}"

    @classmethod
    def parse(cls, text: str) -> Point:
        side, *words, number = text.split(" ")
        return cls(" ".join(words), int(number), "before" if side == "before" else "after")


def methods(port: object) -> Sequence[str]:
    """Return the names of the public asynchronous methods of a port or its class, but for closing it."""
    return _methods(port if isinstance(port, type) else type(port))


@cache
def _methods(kind: type) -> Sequence[str]:
    found = inspect.getmembers(kind, inspect.iscoroutinefunction)
    return tuple(name for name, _ in found if not name.startswith("_") and name != "aclose")


def surround(port: object, name: str, around: Around) -> None:
    """Let `around` carry out every call of a port's methods."""
    for method in methods(port):
        setattr(port, method, partial(_carried_out, around, f"{name}.{method}", getattr(port, method)))


async def _carried_out(
    around: Around, name: str, call: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any
) -> Any:
    return await around(name, partial(call, *args, **kwargs))


def surround_store(store: Store, around: Around) -> None:
    """Let `around` carry out every call of the store's ports."""
    for name, port in ports(store).items():
        surround(port, f"store.{name}", around)


def ports(store: Store) -> dict[str, object]:
    """Return the store's ports by name."""
    return {name: port for name, port in vars(store).items() if not name.startswith("_")}


@contextmanager
def surrounded_providers() -> Iterator[None]:
    """Let every provider that is opened be surrounded by what `surrounding` says then."""
    plugins = installed().plugins
    before = dict(plugins)

    def surrounded(plugin: ProviderPlugin) -> ProviderPlugin:
        def opened(settings: Settings) -> Provider:
            provider = plugin.open(settings)
            surround(provider, "provider", surrounding.get())
            return provider

        return replace(plugin, open=opened)

    plugins.update({name: surrounded(plugin) for name, plugin in before.items()})
    try:
        yield
    finally:
        plugins.update(before)


class SurroundedBus:
    """A bus whose publishing and handling `around` carries out; a handler's end is the moment before its ack."""

    def __init__(self, bus: Bus, around: Around) -> None:
        self._bus = bus
        self._around = around

    async def __aenter__(self) -> SurroundedBus:
        return self

    async def __aexit__(self, *_: object) -> None:
        """The bus outlives the process."""

    @property
    def connected(self) -> bool:
        return self._bus.connected

    @property
    def refused(self) -> bool:
        return self._bus.refused

    async def publish(self, message: Message) -> None:
        await self._around(f"publish {message.routing_key}", partial(self._bus.publish, message))

    async def set_aside(self, delivery: Delivery, lane: Queue) -> None:
        await self._around("set aside", partial(self._bus.set_aside, delivery, lane))

    async def waiting(self) -> Mapping[str, int]:
        return await self._bus.waiting()

    def old_letters(self, before: datetime, *, most: int) -> AbstractAsyncContextManager[Sequence[LockedLetter]]:
        return self._bus.old_letters(before, most=most)

    async def consumers(self) -> Mapping[str, int]:
        return await self._bus.consumers()

    async def consume(self, queue: Queue, handler: Handler, *, prefetch: int) -> Subscription:
        async def surrounded(delivery: Delivery) -> None:
            await self._around(f"handle {delivery.routing_key}", partial(handler, delivery))

        return await self._bus.consume(queue, surrounded, prefetch=prefetch)


class Crashed(BaseException):
    """What follows in this process never happened."""


class Fuse:
    """Notes every point that a process passes, and stops it dead at one of them.

    From then on nothing the process does reaches the outside: its calls hang until it is buried, as those of a killed
    process do, and only then are its tasks unwound.
    """

    def __init__(self, at: Point | None = None) -> None:
        self._at = at
        self._calls = Counter[str]()
        self.passed: list[Point] = []
        self.blown = asyncio.Event()
        self.buried = asyncio.Event()

    async def around(self, name: str, call: Call) -> Any:
        self._calls[name] += 1
        number = self._calls[name]
        await self._pass(Point(name, number, "before"))
        try:
            return await call()
        finally:
            await self._pass(Point(name, number, "after"))

    async def _pass(self, point: Point) -> None:
        if not self.blown.is_set():
            self.passed.append(point)
            if point == self._at:
                self.blown.set()
        if self.blown.is_set():
            await self.buried.wait()
            raise Crashed
