"""A service that is only half working does not go on; one that drains waits for all that it has to cancel."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from metriq_gym.bus.memory import MemoryBus
from metriq_gym.bus.port import POLLER, Delivery
from metriq_gym.messages import JobDispatched
from metriq_gym.service.loop import Loop
from metriq_gym.service.pool import Pool
from metriq_gym.service.service import Context, Service, running, until_broken
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from tests.support.patience import PATIENCE


class Slow(Service):
    """Holds every delivery until it is cancelled, and then takes its time."""

    name = "slow"
    queue = POLLER
    default_port = 0
    uses_workers = False

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.handling = asyncio.Event()
        self.handed_back = False
        self.fault: Exception | None = None
        self._loop = Loop("beside", self._beside, 600)

    def loops(self) -> Sequence[Loop]:
        return (self._loop,)

    async def start(self) -> None:
        await super().start()
        self._loop.start()

    async def handle(self, delivery: Delivery) -> None:
        self.handling.set()
        try:
            await asyncio.sleep(600)
        finally:
            await asyncio.sleep(0.05)
            self.handed_back = True

    async def _beside(self) -> None:
        if self.fault is not None:
            raise self.fault


def slow(bus: MemoryBus) -> Slow:
    return Slow(Context(Settings(), bus, Store(client={"metriq": _Nothing()}), Pool(0)))


class _Nothing:
    def __getattr__(self, name: str) -> None:
        return None


async def test_when_a_loop_ends_the_process_does() -> None:
    async with MemoryBus() as bus:
        service = slow(bus)
        async with running([service], 1), asyncio.timeout(PATIENCE):
            waiting = asyncio.create_task(until_broken([service]))
            await asyncio.sleep(0)
            assert not waiting.done()
            service.fault = ValueError("bug")
            service.loops()[0].wake()
            with pytest.raises(ValueError, match="bug"):
                await waiting


async def test_after_its_grace_a_handler_is_cancelled_and_has_handed_back_when_the_service_has_stopped() -> None:
    async with asyncio.timeout(PATIENCE), MemoryBus() as bus:
        service = slow(bus)
        async with running([service], 0.05):
            await bus.publish(JobDispatched(job_id="j"))
            await service.handling.wait()
        assert service.handed_back
