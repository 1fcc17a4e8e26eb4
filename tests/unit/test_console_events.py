"""Events reach whoever looks, or it is told that some are missing: whatever the store's stream does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from metriq_gym.errors import Permanent, Unavailable
from metriq_gym.jobs import Job, JobState
from metriq_gym.store import Store
from metriq_gym.store.changes import Event
from services.console import events
from services.console.events import RESET, Hub
from tests.support.jobs import ended_job
from tests.support.patience import PATIENCE


class Scripted:
    """A store whose streams give what they are told to, one stream after the other."""

    def __init__(self) -> None:
        self.streams: list[asyncio.Queue[Event | Exception]] = [asyncio.Queue() for _ in range(3)]
        self.after: list[str | None] = []
        """Where each stream began."""
        self.past: list[Event | Exception] = []
        """What a stream gives that has an end."""
        self.on_brief: Callable[[], None] = lambda: None
        self.changes = self.catalogue = self

    async def events(self, after: str | None = None, until: str | None = None) -> AsyncIterator[Event]:
        if until is not None:
            for each in self.past:
                yield _given(each)
            return
        stream = self.streams[len(self.after)]
        self.after.append(after)
        while True:
            yield _given(await stream.get())

    async def brief(self, job_ids: Sequence[str]) -> dict[str, Job]:
        self.on_brief()
        return {each: ended_job(each) for each in job_ids}

    def tell(self, *told: Event | Exception, stream: int = 0) -> None:
        for each in told:
            self.streams[stream].put_nowait(each)


def _given(told: Event | Exception) -> Event:
    if isinstance(told, Exception):
        raise told
    return told


def opened(token: str) -> Event:
    return Event(token, "opened", "")


def moved(token: str, job_id: str = "one", state: str = JobState.SCORED) -> Event:
    return Event(token, "job", job_id, state)


@asynccontextmanager
async def hub_of(store: Scripted) -> AsyncIterator[Hub]:
    hub = Hub(cast(Store, store), retry_seconds=0)
    async with asyncio.timeout(PATIENCE), hub.running():
        yield hub


async def the_next(frames: AsyncGenerator[bytes, None]) -> bytes:
    """The next frame that tells anything."""
    while (frame := await anext(frames)).startswith(b"retry:"):
        pass
    return frame


async def listening(hub: Hub, **options: Any) -> AsyncGenerator[bytes, None]:
    frames = hub.stream(**options)
    assert (await anext(frames)).startswith(b"retry:")
    return frames


async def test_one_who_comes_back_while_the_stream_is_lost_is_told_that_something_is_missing() -> None:
    store = Scripted()
    store.tell(opened("10"))
    async with hub_of(store) as hub:
        frames = await listening(hub)
        store.tell(moved("11"))
        assert b"id: 11" in await the_next(frames)
        store.tell(Permanent("not kept any more"))
        with pytest.raises(StopAsyncIteration):
            await anext(frames)
        back = asyncio.create_task(the_next(hub.stream(last="11")))
        store.past = [Permanent("not kept any more")]
        store.tell(opened("20"), stream=1)
        assert await back == RESET
    assert store.after == [None, None]


async def test_a_stream_that_broke_goes_on_after_the_last_event_that_was_told() -> None:
    store = Scripted()
    store.tell(opened("10"))
    store.tell(moved("12"), stream=1)
    async with hub_of(store) as hub:
        frames = await listening(hub)
        store.tell(moved("11"), Unavailable("away"))
        assert b"id: 11" in await the_next(frames)
        assert b"id: 12" in await the_next(frames)
    assert store.after == [None, "11"]


async def test_an_event_that_cannot_be_told_ends_no_stream_for_good() -> None:
    store = Scripted()

    def broken() -> None:
        store.on_brief = lambda: None
        raise ValueError("a defect")

    store.on_brief = broken
    store.tell(opened("10"))
    async with hub_of(store) as hub:
        frames = await listening(hub)
        store.tell(moved("11"))
        with pytest.raises(StopAsyncIteration):
            await anext(frames)
        store.tell(opened("20"), stream=1)
        frames = await listening(hub, last="20")
        store.tell(moved("21"), stream=1)
        assert b"id: 21" in await the_next(frames)


async def test_a_state_of_a_later_version_is_told_without_it() -> None:
    store = Scripted()
    store.tell(opened("10"))
    async with hub_of(store) as hub:
        frames = await listening(hub)
        store.tell(moved("11", state="teleported"), moved("12"))
        odd, known = await the_next(frames), await the_next(frames)
    assert b'"moved":false' in odd
    assert b'"moved":true' in known


async def test_one_who_is_told_of_one_job_comes_back_to_where_all_others_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else it would have the store go through all that others were told since its own last event."""
    monkeypatch.setattr(events, "PING_SECONDS", 0.01)
    store = Scripted()
    store.tell(opened("10"))
    async with hub_of(store) as hub:
        frames = await listening(hub, job_id="mine")
        store.tell(moved("12", "another"))
        while not (frame := await the_next(frames)).startswith(b"id: 12"):
            assert b"data:" not in frame
        assert b"data:" not in frame
        store.tell(moved("13", "mine"))
        while b"data:" not in (frame := await the_next(frames)):
            pass
    assert b"id: 13" in frame


@pytest.mark.parametrize("odd", ["FF", "8" * 500])
async def test_one_who_comes_back_from_a_place_that_is_not_yet_is_told_what_comes(odd: str) -> None:
    """Such a place is of another store, or made up: nothing would ever come after it."""
    store = Scripted()
    store.tell(opened("10"))
    async with hub_of(store) as hub:
        frames = await listening(hub, last=odd)
        assert await the_next(frames) == RESET
        store.tell(moved("11"))
        assert b"id: 11" in await the_next(frames)
