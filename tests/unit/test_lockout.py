"""A process that servers do not let in says so after a while; one whose servers are away does not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from metriq_gym.bus.memory import MemoryBus
from metriq_gym.errors import Refused, Unavailable
from metriq_gym.service.lockout import LOCKED_OUT_SECONDS, Lockout
from metriq_gym.testing import memory_store


async def test_it_is_not_alive_once_a_server_has_refused_it_for_long_and_alive_again_when_let_in() -> None:
    clock = [0.0]
    lockout = Lockout(lambda: clock[0])
    assert await lockout.over() is True
    lockout.note("MongoDB", refused=True)
    clock[0] = LOCKED_OUT_SECONDS
    lockout.note("MongoDB", refused=True)
    assert await lockout.over() is True
    clock[0] += 1
    assert await lockout.over() == "MongoDB has refused the user for 5 min"
    lockout.note("MongoDB", refused=False)
    assert await lockout.over() is True


@pytest.mark.parametrize(("error", "refuses"), [(Refused("no"), True), (Unavailable("away"), None), (None, False)])
async def test_a_store_that_is_away_refuses_nothing(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None, refuses: bool | None
) -> None:
    async with memory_store() as store:

        async def unseen(_: Any) -> list[str]:
            if error is not None:
                raise error
            return []

        monkeypatch.setattr(store.jobs, "unseen", unseen)
        assert await store.refuses() is refuses


class Broker(MemoryBus):
    """A broker that lets nobody in, or is away."""

    def __init__(self, *, refuses: bool) -> None:
        super().__init__()
        self.looked = asyncio.Event()
        self._refuses = refuses

    @property
    def refused(self) -> bool:
        self.looked.set()
        return self._refuses


@pytest.mark.parametrize("refuses", [True, False])
async def test_a_broker_that_is_away_locks_nobody_out(refuses: bool) -> None:
    clock, bus = [0.0], Broker(refuses=refuses)  # which is not connected
    lockout = Lockout(lambda: clock[0])
    async with memory_store() as store:
        watching = asyncio.create_task(lockout.watch(store, bus))
        await bus.looked.wait()
        await asyncio.sleep(0)  # it waits for its next look by then
        watching.cancel()
    clock[0] = LOCKED_OUT_SECONDS + 1
    assert (await lockout.over() is True) is not refuses
