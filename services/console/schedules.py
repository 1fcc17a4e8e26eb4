"""Schedules: request, list, look at, pause, resume, run, delete."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, Field

from metriq_gym.errors import NotFound
from metriq_gym.jobs.schedules import Schedule, ShownSchedule, Tick, TickState, newest, shown
from metriq_gym.jobs.ticks import check, id_of, upcoming
from metriq_gym.messages import ScheduleAction, ScheduleRequested
from metriq_gym.schema_validator import NAME_KEY

from .access import Operator, Submitter, Viewer
from .desk import Desk, desk
from .parameters import IdempotencyKey, SchedulePath, id_of_key
from .problems import RESPONSES

router = APIRouter(prefix="/schedules", tags=["schedules"], responses=RESPONSES)
At = Annotated[Desk, Depends(desk)]


class RunAccepted(BaseModel):
    """A tick beside those of the schedule's times."""

    id: str = Field(description="The id of the job or suite that it requests.")
    state: TickState
    reason: str | None = Field(description="Why it waits, or was skipped.")


@router.post("", status_code=201)
async def add_schedule(
    wanted: ScheduleRequested, response: Response, at: At, _: Submitter, idempotency_key: IdempotencyKey = None
) -> ShownSchedule:
    """Have a benchmark or a suite run again and again. The same schedule, or the same key, again changes nothing.

    Waits until a dispatcher keeps it. Another schedule of that name is changed only with `replace`.
    """
    check(wanted)
    asked = wanted.model_dump(exclude={"name", "request_id", "schema_version"})
    request_id = wanted.request_id or id_of_key(idempotency_key, "schedule-key")
    kept = await at.client.add_schedule(wanted.name, **asked, request_id=request_id)
    response.headers["Location"] = f"/api/v1/schedules/{kept.name}"
    return shown(kept)


@router.get("")
async def list_schedules(at: At, _: Viewer) -> list[ShownSchedule]:
    """List schedules, by name."""
    return [shown(each) for each in await at.store.schedules.all()]


@router.get("/{name}")
async def get_schedule(name: SchedulePath, at: At, _: Viewer) -> ShownSchedule:
    """Return a schedule, and what became of its last ticks."""
    return shown(await _there(at, name))


@router.get("/{name}/next")
async def next_ticks(
    name: SchedulePath,
    at: At,
    _: Viewer,
    count: Annotated[int, Query(ge=1, le=100, description="How many.")] = 5,
) -> list[datetime]:
    """Return when a schedule runs next, by its zone's clocks; never while it is paused."""
    schedule = await _there(at, name)
    if schedule.paused:
        return []
    now, zone = datetime.now(UTC), ZoneInfo(schedule.asked.timezone)
    coming = await asyncio.to_thread(lambda: list(islice(upcoming(schedule.asked, now), count)))
    return [each.astimezone(zone) for each in coming]


@router.post("/{name}/pause")
async def pause_schedule(
    name: SchedulePath, at: At, _: Submitter, idempotency_key: IdempotencyKey = None
) -> ShownSchedule:
    """Let a schedule rest. What it has requested goes on."""
    return shown(await _changed(at, name, "pause", idempotency_key))


@router.post("/{name}/resume")
async def resume_schedule(
    name: SchedulePath, at: At, _: Submitter, idempotency_key: IdempotencyKey = None
) -> ShownSchedule:
    """Let a schedule that rests go on. What would have run meanwhile does not."""
    return shown(await _changed(at, name, "resume", idempotency_key))


@router.post("/{name}/run", status_code=202)
async def run_schedule(
    name: SchedulePath, response: Response, at: At, _: Submitter, idempotency_key: IdempotencyKey = None
) -> RunAccepted:
    """Run a schedule's benchmark or suite now; its budget may hold it. The same key again is the same run."""
    schedule = await _changed(at, name, "run", idempotency_key)
    request_id = id_of_key(idempotency_key, "schedule-key")
    runs = [each for each in newest(schedule) if each.manual]
    named = [each for each in runs if request_id is None or each.id == id_of(name, request_id)]
    if not named:
        raise NotFound(f"schedule {name} does not remember that run any more")
    response.headers["Location"] = f"/api/v1/{_kind(schedule)}/{named[0].id}"
    return RunAccepted(id=named[0].id, state=named[0].state, reason=named[0].reason)


@router.delete("/{name}", status_code=204)
async def delete_schedule(name: SchedulePath, at: At, _: Operator) -> None:
    """Delete a schedule, and none of its jobs."""
    await at.client.change_schedule(name, "delete")


@dataclass(frozen=True, slots=True)
class Row:
    """A schedule on the page that lists them."""

    schedule: Schedule
    what: str
    last: Tick | None
    """The newest tick."""
    link: str | None
    """Where the job or the suite of that tick is shown."""
    state: str
    """How the last tick, or what it has requested, stands."""


async def standing(at: Desk) -> list[Row]:
    """Return every schedule with what became of its last tick."""
    return list(await asyncio.gather(*(_row(at, each) for each in await at.store.schedules.all())))


async def _row(at: Desk, schedule: Schedule) -> Row:
    config = schedule.asked.config
    what = config.get(NAME_KEY) if config is not None else (schedule.asked.suite or {}).get("name")
    last = next(iter(newest(schedule)), None)
    link = state = None
    if last is not None and last.state is TickState.REQUESTED:
        link = f"/{_kind(schedule)}/{last.id}"
        with suppress(NotFound):
            state = await _state(at, schedule, last.id)
    return Row(schedule, str(what), last, link, state or (last.state.value if last is not None else ""))


async def _state(at: Desk, schedule: Schedule, requested: str) -> str:
    """Return how a job or a suite stands; raises `NotFound`."""
    if _kind(schedule) == "jobs":
        job = await at.store.jobs.get(requested)
        return "held" if job.held else job.state.value
    for run in await at.store.catalogue.suite_runs([requested]):
        return f"{run.progress.ended} of {run.progress.size} ended"
    raise NotFound(f"there is no suite {requested}")


def _kind(schedule: Schedule) -> str:
    return "suites" if schedule.asked.config is None else "jobs"


async def _there(at: Desk, name: str) -> Schedule:
    if (found := await at.store.schedules.get(name)) is None:
        raise NotFound(f"there is no schedule {name!r}")
    return found


async def _changed(at: Desk, name: str, action: ScheduleAction, key: str | None) -> Schedule:
    schedule = await at.client.change_schedule(name, action, id_of_key(key, "schedule-key"))
    assert schedule is not None  # noqa: S101  (it is not deleted)
    return schedule
