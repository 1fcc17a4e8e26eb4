"""Events for whoever looks: one change stream a process, fanned out, so that many viewers cost the store no more.

An event's id is its place in the store's stream. A viewer that comes back with the last one it has seen gets what it
has missed: from memory if that goes back far enough, else from the store, whichever process it had been connected to.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, TypeVar

import structlog
from pydantic import BaseModel

from metriq_gym.errors import Permanent, Transient
from metriq_gym.jobs import Job, JobState, TaskState
from metriq_gym.jobs.documents import EstimateAnswer
from metriq_gym.store import Store
from metriq_gym.store.changes import Event

log = structlog.get_logger()
S = TypeVar("S", JobState, TaskState)

KEPT = 5000
"""Events that are kept for viewers that come back."""
BEHIND = 1000
"""Events that a viewer may be behind before it is cut off: it comes back and goes on where it was."""
PING_SECONDS = 15.0
RESET = b"event: reset\ndata: {}\n\n"
"""Tells a viewer to look at everything anew."""
_AT_ONCE = 200
_CATCHING_UP = 4
"""Viewers that may read what they have missed from the store at a time."""


class JobEvent(BaseModel):
    """What is told of a change."""

    job_id: str
    kind: Literal["job", "task", "deleted"]
    state: JobState | None = None
    """The job's; of a job that moved, the one that it has entered."""
    moved: bool = False
    held: bool = False
    benchmark_name: str = ""
    provider: str = ""
    device: str = ""
    suite_id: str | None = None
    task_state: TaskState | None = None
    """Of a task of the job that moved: the state that it has entered."""
    task_count: int = 0
    at: datetime
    """When it was read."""


@dataclass(frozen=True, slots=True)
class Frame:
    """An event as it is sent."""

    token: str
    job_id: str
    suite_id: str | None
    data: bytes


@dataclass(eq=False, slots=True)
class Viewer:
    """Somebody who listens."""

    job_id: str | None
    suite_id: str | None
    frames: asyncio.Queue[Frame | None] = field(default_factory=lambda: asyncio.Queue(BEHIND))

    def wants(self, frame: Frame) -> bool:
        return (self.job_id is None or frame.job_id == self.job_id) and (
            self.suite_id is None or frame.suite_id == self.suite_id
        )


class Hub:
    """Reads the stream while `running`."""

    def __init__(self, store: Store, retry_seconds: float = 1.0) -> None:
        self._store = store
        self._retry_seconds = retry_seconds
        self._kept: deque[Frame] = deque(maxlen=KEPT)
        self._viewers: set[Viewer] = set()
        self._head: str | None = None
        self._opened = asyncio.Event()
        self._catching_up = asyncio.Semaphore(_CATCHING_UP)
        self._answered: dict[str, asyncio.Event] = {}

    @property
    def viewers(self) -> int:
        """How many listen."""
        return len(self._viewers)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read the stream while inside; on leaving, every viewer's stream ends."""
        reading = asyncio.create_task(self._read())
        try:
            yield
        finally:
            reading.cancel()
            await asyncio.wait([reading])
            for viewer in list(self._viewers):
                self._cut(viewer)

    async def stream(
        self, *, job_id: str | None = None, suite_id: str | None = None, last: str | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Yield events as they are sent; with `last`, first those after it. Ends when the viewer falls behind."""
        viewer = Viewer(job_id, suite_id)
        await self._opened.wait()
        # From here on everything comes to the viewer; what it gets twice, from here and from the past, is told apart
        # by its place.
        self._viewers.add(viewer)
        head = self._head or ""
        try:
            yield b"retry: 1000\n\n"
            async for frame in self._missed(last, head):
                if frame is None:
                    last = head
                    yield RESET
                    continue
                last = frame.token
                if viewer.wants(frame):
                    yield frame.data
            while True:
                try:
                    async with asyncio.timeout(PING_SECONDS):
                        current = await viewer.frames.get()
                except TimeoutError:
                    if viewer.frames.empty():  # it has all there was: what others were told it need not be told later
                        last = max(last or "", self._head or "")
                    yield f"id: {last or ''}\n: still here\n\n".encode()
                    continue
                if current is None:
                    return
                if last is None or current.token > last:
                    yield current.data
        finally:
            self._viewers.discard(viewer)

    async def answer(
        self, estimate_id: str, ask: Callable[[], Awaitable[None]], seconds: float
    ) -> EstimateAnswer | None:
        """Return the answer to an estimate that `ask` requests; None if there is none in time."""
        answered = self._answered[estimate_id] = asyncio.Event()
        try:
            await ask()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await answered.wait()
            return await self._store.estimates.get(estimate_id)
        finally:
            del self._answered[estimate_id]

    async def _missed(self, last: str | None, head: str) -> AsyncIterator[Frame | None]:
        """Yield the frames after `last` up to `head`; None when what was missed cannot be had."""
        if last is None or last == head:
            return
        if last > head:  # of another store, or made up, or of a replica that is ahead: what comes is told again
            yield None
            return
        if self._kept and last >= self._kept[0].token:  # nothing is missing between those
            for frame in list(self._kept):
                if last < frame.token <= head:
                    yield frame
            return
        async with self._catching_up:
            try:
                async for event in self._store.changes.events(after=last, until=head):
                    for frame in await self._frames([event]):
                        yield frame
            except (Permanent, Transient):
                yield None

    async def _read(self) -> None:
        while True:
            try:
                await self._follow()
            except Permanent as error:
                log.warning("events were lost", error=str(error))
                self._begin_anew()
            except Transient as error:
                log.warning("no events for now", error=str(error))
            except Exception as error:  # a defect: what could not be told is passed over, and everything after it told
                log.exception("an event could not be told", error=str(error))
                self._begin_anew()
            await asyncio.sleep(self._retry_seconds)

    def _begin_anew(self) -> None:
        """Go on from now; whoever comes back waits for that, and is told that something is missing."""
        self._head = None
        self._opened.clear()
        self._kept.clear()
        for viewer in list(self._viewers):
            self._cut(viewer)

    async def _follow(self) -> None:
        waiting: asyncio.Queue[Event] = asyncio.Queue(10 * _AT_ONCE)

        async def read() -> None:
            async for event in self._store.changes.events(after=self._head):
                await waiting.put(event)

        reading = asyncio.create_task(read())
        next_one: asyncio.Task[Event] | None = None
        try:
            while True:
                next_one = asyncio.create_task(waiting.get())
                await asyncio.wait([reading, next_one], return_when=asyncio.FIRST_COMPLETED)
                if not next_one.done():
                    await reading
                    return
                events = [next_one.result()]
                while len(events) < _AT_ONCE and not waiting.empty():
                    events.append(waiting.get_nowait())
                for frame in await self._frames(events):
                    self._tell(frame)
                self._head = events[-1].token
                self._opened.set()
        finally:
            if next_one is not None:
                next_one.cancel()
            reading.cancel()
            await asyncio.wait([reading])
            if not reading.cancelled():
                reading.exception()

    async def _frames(self, events: Sequence[Event]) -> list[Frame]:
        for event in events:
            if event.kind == "estimate" and event.id in self._answered:
                self._answered[event.id].set()
        told = [event for event in events if event.kind in ("job", "task", "deleted")]
        ids = {event.id for event in told if event.kind != "deleted"}
        jobs = await self._store.catalogue.brief(sorted(ids)) if ids else {}
        return [_frame(event, jobs.get(event.id)) for event in told]

    def _tell(self, frame: Frame) -> None:
        self._kept.append(frame)
        for viewer in list(self._viewers):
            if viewer.wants(frame):
                try:
                    viewer.frames.put_nowait(frame)
                except asyncio.QueueFull:
                    self._cut(viewer)

    def _cut(self, viewer: Viewer) -> None:
        self._viewers.discard(viewer)
        while not viewer.frames.empty():
            viewer.frames.get_nowait()
        viewer.frames.put_nowait(None)


def _frame(event: Event, job: Job | None) -> Frame:
    entered = _known(JobState, event) if event.kind == "job" else None
    told = JobEvent(
        job_id=event.id,
        kind="task" if event.kind == "task" else "deleted" if event.kind == "deleted" else "job",
        state=entered or (job.state if job else None),
        moved=entered is not None,
        task_state=_known(TaskState, event) if event.kind == "task" else None,
        held=job is not None and job.held is not None,
        benchmark_name=job.benchmark_name if job else "",
        provider=job.provider if job else "",
        device=job.device if job else "",
        suite_id=job.suite_id if job else None,
        task_count=job.task_count if job else 0,
        at=datetime.now(UTC),
    )
    data = f"id: {event.token}\nevent: job\ndata: {told.model_dump_json()}\n\n".encode()
    return Frame(event.token, event.id, told.suite_id, data)


def _known(states: type[S], event: Event) -> S | None:
    """Return the state that was entered; None for none, or one of a later version's."""
    return next((each for each in states if each == event.state), None)
