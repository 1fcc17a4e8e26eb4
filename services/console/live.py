"""Events as they happen, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import StreamingResponse
from pydantic import StringConstraints

from metriq_gym.errors import Unavailable
from metriq_gym.messages import JobId

from .access import Viewer
from .desk import Desk, desk
from .problems import RESPONSES

OPEN_SECONDS = 10.0
router = APIRouter(tags=["events"], responses=RESPONSES)
LastEventId = Annotated[
    Annotated[str, StringConstraints(max_length=500, pattern=r"^[0-9A-F]*$")] | None,
    Header(description="The last event that was seen: what came after it comes first."),
]


@router.get("/events", response_class=StreamingResponse)
async def events(
    at: Annotated[Desk, Depends(desk)],
    _: Viewer,
    last_event_id: LastEventId = None,
    suite: Annotated[JobId | None, Query(description="Only of this suite's jobs.")] = None,
) -> StreamingResponse:
    """Send what happens to jobs: `event: job`, with an id to go on after. `event: reset` says: look at all anew."""
    return await event_stream(at, suite_id=suite, last=last_event_id)


async def event_stream(
    at: Desk, *, job_id: str | None = None, suite_id: str | None = None, last: str | None = None
) -> StreamingResponse:
    """Return the answer that sends events until the viewer goes; when it begins, nothing more is missed."""
    frames = at.hub.stream(job_id=job_id, suite_id=suite_id, last=last or None)
    try:
        async with asyncio.timeout(OPEN_SECONDS):
            first = await anext(frames)
    except TimeoutError:
        raise Unavailable("the store does not tell of changes now") from None
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_all(first, frames), headers=headers, media_type="text/event-stream")


async def _all(first: bytes, others: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    async with aclosing(others):
        yield first
        async for each in others:
            yield each
