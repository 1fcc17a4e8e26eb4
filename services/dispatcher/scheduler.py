"""The scheduler: keeps schedules, and requests the job or suite of each of their ticks exactly once.

Every dispatcher does it; a schedule is written by compare-and-set, so that one of several that do the same at once gets
to. Each tick goes through the schedule's document in steps, and a crash after any of them leaves what the next round,
here or elsewhere, goes on with: a tick that is not noted is noted; one that is noted is decided about; one that is
decided is requested, again and again until its job or its suite's plan is in the store. What is requested has the
same id each time, so it runs once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from pydantic import ValidationError

from metriq_gym.bus.identity import Request
from metriq_gym.bus.port import Bus, Delivery
from metriq_gym.errors import InvalidRequest, MetriqGymError, NotFound, Transient, Unreadable
from metriq_gym.jobs import Job, JobState
from metriq_gym.jobs.plan import build
from metriq_gym.jobs.schedules import Schedule, Tick, TickState, refused_over, same
from metriq_gym.jobs.ticks import (
    KEPT_CHANGES,
    MOST_OPEN,
    check,
    id_of,
    new,
    next_tick,
    noted,
    replaced,
    request_of,
    seen,
    skipped,
    with_tick,
    within_budget,
)
from metriq_gym.messages import ScheduleChangeRequested, ScheduleRequested
from metriq_gym.providers.provider import Device
from metriq_gym.schema_validator import seed_of
from metriq_gym.store import Store
from metriq_gym.wording import first, from_pydantic, shorten

from .request import read_object

log = structlog.get_logger()

SECONDS = 5.0
"""How often schedules are looked at."""
LOOK_AGAIN = timedelta(seconds=5)
REQUEST_AGAIN = timedelta(minutes=1)
COUNT_AGAIN = timedelta(minutes=5)
_RUNNING = (JobState.DISPATCHING, JobState.DISPATCHED, JobState.COMPLETED)
"""States in which a job has no result yet."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a tick asks of its device."""

    shots: int
    circuits: int


@dataclass(frozen=True, slots=True)
class Scheduler:
    """What a dispatcher calls again and again, and hands the messages about schedules to.

    Parameters
    ----------
    cost:
        Counts what a schedule's job or suite asks of its device.
    """

    store: Store
    bus: Bus
    cost: Callable[[ScheduleRequested], Awaitable[Cost]]

    async def __call__(self) -> None:
        """See to every schedule that has something to do. Raises `Transient`."""
        for schedule in await self.store.schedules.due():
            try:
                await self._see_to(schedule)
            except Transient:
                raise
            except Exception:
                # One schedule that is not as it should be must not be the end of all others.
                log.exception("a schedule cannot be seen to", schedule=schedule.name)

    async def keep(self, request: Request, asked: ScheduleRequested) -> None:
        """Store the schedule that was asked for; raises `InvalidRequest` where there is another of its name."""
        if asked.request_id is None:
            asked = asked.model_copy(update={"request_id": request.job_id})
        publisher = request.delivery.user_id
        while True:
            now = await self.store.catalogue.now()
            there = await self.store.schedules.get(asked.name)
            if there is None:
                if await self.store.schedules.add(new(asked, now).with_(publisher=publisher)):
                    return
            elif asked.request_id in there.changes or same(asked, there.asked):
                return
            elif (refused := refused_over(there, asked)) is not None:
                raise refused
            else:
                after = replaced(there, asked, now).with_(publisher=publisher)
                if await self.store.schedules.write(after, now) is not None:
                    return

    async def change(self, delivery: Delivery) -> None:
        """Pause, resume, run or delete a schedule; raises `Unreadable`."""
        try:
            message = ScheduleChangeRequested.model_validate_json(delivery.body)
        except ValidationError as error:
            problems = InvalidRequest(from_pydantic(error))
            raise Unreadable(f"{ScheduleChangeRequested.routing_key}: {problems}") from None
        while True:
            there = await self.store.schedules.get(message.name)
            if there is None:
                log.warning("no such schedule", schedule=message.name, action=message.action)
                return
            if message.request_id in there.changes:
                return
            if message.action == "delete":
                await self.store.schedules.delete(message.name)
                return
            now = await self.store.catalogue.now()
            if await self.store.schedules.write(changed(there, message, now), now) is not None:
                return

    async def _see_to(self, schedule: Schedule) -> None:
        now = await self.store.catalogue.now()
        current = noted(schedule, now)
        for tick in current.workable():
            if tick.state is not TickState.REQUESTED and (tick.again_at or tick.at) <= now:
                current = await self._decided(current, tick, now)
        written = await self.store.schedules.write(current, now)
        if written is None:
            return  # another dispatcher has just seen to it
        current = written
        for tick in current.open:
            if tick.state is TickState.REQUESTED and (tick.again_at or tick.at) <= now:
                current = await self._requested(current, tick, now)
        if current != written:
            await self.store.schedules.write(current, now)

    async def _decided(self, schedule: Schedule, tick: Tick, now: datetime) -> Schedule:
        """Return a schedule in which a tick is skipped, held, or to be requested."""
        if (reason := await self._in_its_way(schedule, tick)) is not None:
            log.info("a tick is skipped", schedule=schedule.name, at=tick.at.isoformat(), reason=reason)
            return with_tick(schedule, skipped(tick, reason))
        asked = schedule.asked
        if tick.shots is None and (asked.daily_shots is not None or asked.daily_circuits is not None):
            try:
                cost = await self.cost(asked)
            except (MetriqGymError, TimeoutError, ArithmeticError, LookupError, ValueError) as error:
                reason = f"what it costs cannot be counted: {shorten(str(error) or type(error).__name__)}"
                held = {"state": TickState.HELD, "reason": reason, "again_at": now + COUNT_AGAIN}
                return with_tick(schedule, tick.model_copy(update=held))
            tick = tick.model_copy(update={"shots": cost.shots, "circuits": cost.circuits})
        after, decided = within_budget(schedule, tick, now)
        log.info("a tick", schedule=schedule.name, at=tick.at.isoformat(), state=decided.state, reason=decided.reason)
        return with_tick(after, decided)

    async def _in_its_way(self, schedule: Schedule, tick: Tick) -> str | None:
        """Return why a tick that has just come is skipped."""
        if tick.manual or tick.state is TickState.HELD or schedule.asked.overlap == "run":
            return None
        waiting = [each for each in schedule.open if each.at < tick.at and each.state is not TickState.REQUESTED]
        if waiting:
            return f"the tick of {waiting[0].at.isoformat()} still waits"
        if schedule.last_id is not None and await self._runs(schedule, schedule.last_id):
            return f"{schedule.last_id} still runs"
        return None

    async def _runs(self, schedule: Schedule, job_or_suite: str) -> bool:
        jobs = await self._jobs(job_or_suite)
        if not jobs:
            # Requested and not taken up yet; unless all of it was deleted.
            return any(each.id == job_or_suite for each in schedule.open)
        size = jobs[0].suite_size if jobs[0].suite_id == job_or_suite else None
        return len(jobs) < (size or 0) or any(each.state in _RUNNING for each in jobs)

    async def _jobs(self, job_or_suite: str) -> list[Job]:
        for look in (self._job, self.store.jobs.suite):
            with suppress(NotFound):
                return await look(job_or_suite)
        return []

    async def _job(self, job_id: str) -> list[Job]:
        return [await self.store.jobs.get(job_id)]

    async def _requested(self, schedule: Schedule, tick: Tick, now: datetime) -> Schedule:
        """Return a schedule in which a tick has been requested, unless what it requests is there."""
        if not await self.store.jobs.unseen([tick.id]) or await self.store.suites.plan(tick.id) is not None:
            return seen(schedule, tick)
        if tick.published_at is None or not tick.published_at <= now < tick.published_at + REQUEST_AGAIN:
            await self.bus.publish(request_of(schedule, tick))
            tick = tick.model_copy(update={"published_at": now})
        return with_tick(schedule, tick.model_copy(update={"again_at": now + LOOK_AGAIN}))


def read_schedule(request: Request, max_bytes: int) -> ScheduleRequested:
    """Return the schedule that is requested; raises `InvalidRequest` with everything that is wrong with it."""
    body = read_object(request, max_bytes)
    try:
        asked = ScheduleRequested.model_validate(body)
    except ValidationError as error:
        raise InvalidRequest(first(from_pydantic(error))) from None
    check(asked)
    return asked


def changed(schedule: Schedule, message: ScheduleChangeRequested, now: datetime) -> Schedule:
    """Return a schedule as a message wants it; ticks that came while it was paused are none."""
    changes = [*schedule.changes, message.request_id][-KEPT_CHANGES:]
    after = schedule.with_(changes=changes)
    if message.action == "pause":
        return after.with_(paused=True)
    if message.action == "resume":
        return after.with_(paused=False, next_at=next_tick(schedule.asked, now)) if schedule.paused else after
    tick = Tick(at=now, id=id_of(schedule.name, message.request_id), manual=True)
    return with_tick(after, skipped(tick, "too many ticks wait") if len(after.open) >= MOST_OPEN else tick)


def asks(config: dict[str, Any], device: Device) -> Cost:
    """Return what a validated configuration asks of a device; picklable, and CPU-bound."""
    _, runs = build(config, seed_of(config) or 0, device)
    return Cost(sum(shots * len(circuits) for circuits, shots in runs), sum(len(circuits) for circuits, _ in runs))
