"""What requests to the API have in common: ids, pages and filters."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import Depends, Header, Path, Query
from pydantic import Field, StringConstraints

from metriq_gym.errors import InvalidRequest, Problem
from metriq_gym.jobs import Job, JobState
from metriq_gym.messages import JobId, Name, ScheduleName, Tag
from metriq_gym.store.catalogue import Filter

JobPath = Annotated[JobId, Path(description="A job's id.")]
SuitePath = Annotated[JobId, Path(description="A suite's id.")]
SchedulePath = Annotated[ScheduleName, Path(description="A schedule's name.")]
IdempotencyKey = Annotated[
    Annotated[str, StringConstraints(min_length=1, max_length=255)] | None,
    Header(description="Names the request: sent again, it is the same one."),
]
Limit = Annotated[int, Query(ge=1, le=500, description="At most so many.")]
Sort = Annotated[Literal["newest", "oldest"], Query(description="Which come first.")]
Cursor = Annotated[
    Annotated[str, StringConstraints(max_length=500, pattern=r"^[A-Za-z0-9_=-]*$")] | None,
    Query(description="`next` of the page before."),
]
Wanted = Annotated[Name | None, Query()]
Score = Annotated[
    Annotated[float, Field(allow_inf_nan=False)] | None, Query(description="Only those with such a `score`.")
]
At = Annotated[datetime | None, Query(description="ISO 8601; UTC unless it says else.")]


def filtered(
    state: Annotated[list[JobState] | None, Query(description="Any of these.")] = None,
    benchmark: Wanted = None,
    provider: Wanted = None,
    device: Wanted = None,
    suite: Annotated[JobId | None, Query(description="A suite's id.")] = None,
    suite_name: Wanted = None,
    text: Annotated[
        Name | None, Query(description="Stands in the id, benchmark, device, suite's name or remarks.")
    ] = None,
    since: At = None,
    until: At = None,
    held: Annotated[bool, Query(description="Only those that wait for an operator.")] = False,
    tag: Annotated[list[Tag] | None, Query(description="All of these.", max_length=20)] = None,
    least_score: Score = None,
    most_score: Score = None,
) -> Filter:
    """Return the filter that a request's query says; raises `InvalidRequest` for a time that there is not."""
    return Filter(
        states=tuple(dict.fromkeys(state or ())),
        benchmark=benchmark,
        provider=provider,
        device=device,
        suite=suite,
        suite_name=suite_name,
        text=text,
        since=_in_utc("since", since),
        until=_in_utc("until", until),
        held=held,
        tags=tuple(dict.fromkeys(tag or ())),
        least_score=least_score,
        most_score=most_score,
    )


Which = Annotated[Filter, Depends(filtered)]


def id_of_key(key: str | None, kind: str = "key") -> JobId | None:
    """Return the id of the request that an idempotency key names, if there is one."""
    return None if key is None else f"{kind}-{hashlib.sha256(key.encode()).hexdigest()[:40]}"


def encode_cursor(job: Job) -> str:
    """Return what stands for a job's place in a list."""
    place = json.dumps([job.created_at.isoformat(), job.id]).encode()
    return base64.urlsafe_b64encode(place).decode()


def decode_cursor(cursor: str | None) -> tuple[datetime, str] | None:
    """Return the place that a cursor stands for; raises `InvalidRequest`."""
    if not cursor:
        return None
    try:
        at, job_id = json.loads(base64.urlsafe_b64decode(cursor))
        str(job_id).encode()  # half a character is no id
        return datetime.fromisoformat(at).astimezone(UTC), str(job_id)
    except (binascii.Error, ValueError, TypeError, OverflowError):
        raise InvalidRequest([Problem("query.after", "is no cursor that this API has given")]) from None


def _in_utc(name: str, at: datetime | None) -> datetime | None:
    if at is None:
        return None
    try:
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (OverflowError, ValueError):
        raise InvalidRequest([Problem(f"query.{name}", "is no time that there is")]) from None
