"""What a poller writes down of a provider that it keeps away from: once, and again before it lapses."""

from __future__ import annotations

from typing import Any

from metriq_gym.errors import Unavailable
from metriq_gym.service.parking import RENEW_SECONDS, Parking


class Store:
    """Remembers what is written down; the first call fails where that is said."""

    def __init__(self, failing: int = 0) -> None:
        self.parked = self
        self.calls: list[tuple[str, ...]] = []
        self.failing = failing

    def _called(self, *call: str) -> None:
        self.calls.append(call)
        if len(self.calls) <= self.failing:
            raise Unavailable("the store is away")

    async def keep_away(self, provider: str, reason: str, _: float) -> None:
        self._called("away", provider, reason)

    async def come_back(self, provider: str) -> None:
        self._called("back", provider)


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def parking(store: Any) -> tuple[Parking, Clock]:
    clock = Clock()
    return Parking(store, clock), clock


async def test_it_is_written_once_and_again_before_it_lapses() -> None:
    store = Store()
    noted, clock = parking(store)
    await noted.tell_away("cloud", "HTTP 503")
    await noted.tell_away("cloud", "HTTP 503")
    assert store.calls == [("away", "cloud", "HTTP 503")]
    clock.seconds = RENEW_SECONDS
    await noted.tell_away("cloud", "HTTP 502")
    assert store.calls[1:] == [("away", "cloud", "HTTP 502")]


async def test_that_it_is_back_is_written_once_and_only_if_it_was_away() -> None:
    store = Store()
    noted, _ = parking(store)
    await noted.tell_away("cloud", None)
    assert store.calls == []
    await noted.tell_away("cloud", "HTTP 503")
    await noted.tell_away("cloud", None)
    await noted.tell_away("cloud", None)
    assert store.calls[1:] == [("back", "cloud")]


async def test_what_could_not_be_written_is_written_the_next_time() -> None:
    store = Store(failing=1)
    noted, _ = parking(store)
    await noted.tell_away("cloud", "HTTP 503")
    await noted.tell_away("cloud", "HTTP 503")
    assert store.calls == [("away", "cloud", "HTTP 503")] * 2
