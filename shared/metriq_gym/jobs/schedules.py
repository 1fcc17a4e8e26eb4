"""Schedules: a benchmark or a suite that is to run again and again, as a document.

A schedule is one document, changed as a whole by compare-and-set on its revision. A tick is first noted in it, then
decided about, then requested; what is requested has an id that follows from the schedule's name and the tick's time,
so that to request it again runs nothing twice.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from metriq_gym.errors import InvalidRequest, Problem
from metriq_gym.messages import JobId, ScheduleRequested


class TickState(StrEnum):
    """What has become of a tick."""

    DUE = "due"
    """Noted, and not decided about."""
    HELD = "held"
    """Its day's budget does not suffice, or what it costs cannot be told: decided about again later."""
    REQUESTED = "requested"
    """Its job or suite has been requested, or is about to be."""
    SKIPPED = "skipped"
    MISSED = "missed"


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Tick(_Document):
    """One time at which a schedule is to run, and the id of the job or suite that is requested then."""

    at: datetime
    id: str
    state: TickState = TickState.DUE
    manual: bool = False
    """Whether someone asked for it; then no tick before is in its way."""
    until: datetime | None = None
    """The last of the ticks that were missed from `at` on."""
    reason: str | None = None
    shots: int | None = None
    circuits: int | None = None
    again_at: datetime | None = None
    """When to look at it again."""
    published_at: datetime | None = None
    """When its request was published last."""


class Spent(_Document):
    """What the ticks of one day asked of the device; a day is the schedule's, in its time zone."""

    day: str
    shots: int = 0
    circuits: int = 0


class Schedule(_Document):
    """A schedule's document."""

    name: str = Field(alias="_id")
    asked: ScheduleRequested
    publisher: str | None = None
    """The user of the message queue that asked for it as it is, if the queue knows."""
    revision: int = 0
    paused: bool = False
    created_at: datetime
    next_at: datetime | None
    open: list[Tick] = []
    """Ticks about which something is left to do, in the order of their times."""
    ticks: list[Tick] = []
    """The last ones with which all is done."""
    last_id: str | None = None
    """The job or suite that was requested last."""
    spent: Spent | None = None
    changes: list[str] = []
    """Ids of the last requests that changed it."""

    @property
    def look_at(self) -> datetime | None:
        """When there will be something to do; None if there will not."""
        times = [each.again_at or each.at for each in self.workable()]
        if self.next_at is not None and not self.paused:
            times.append(self.next_at)
        return min(times, default=None)

    def workable(self) -> list[Tick]:
        """Return the open ticks, without those that wait until a paused schedule is resumed."""
        return [each for each in self.open if each.manual or each.state is TickState.REQUESTED or not self.paused]

    def with_(self, **changes: Any) -> Schedule:
        """Return it changed."""
        return self.model_copy(update=changes)

    def spent_on(self, day: str) -> Spent:
        """Return what was spent on a day; of days before the last one nothing is known, and nothing is asked."""
        return self.spent if self.spent is not None and self.spent.day == day else Spent(day=day)


class ShownTick(Tick):
    """A tick as commands and the API show it."""

    again_at: datetime | None = Field(default=None, exclude=True)
    published_at: datetime | None = Field(default=None, exclude=True)


class ShownSchedule(ScheduleRequested):
    """A schedule as commands and the API show it: as it was asked for, and how it stands."""

    schema_version: Literal[1] = Field(default=1, exclude=True)
    request_id: JobId | None = Field(default=None, exclude=True)
    replace: bool = Field(default=False, exclude=True)
    paused: bool = Field(description="Whether it rests.")
    next_at: datetime | None = Field(description="When it runs next; null while it is paused, and when it never does.")
    spent: Spent | None = Field(description="What the ticks of the last day asked of the device.")
    ticks: list[ShownTick] = Field(description="What became of the last ticks, the newest first.")


def shown(schedule: Schedule) -> ShownSchedule:
    """Return a schedule as commands and the API show it."""
    return ShownSchedule.model_validate(
        {
            **schedule.asked.model_dump(),
            "paused": schedule.paused,
            "next_at": None if schedule.paused else schedule.next_at,
            "spent": schedule.spent,
            "ticks": [each.model_dump() for each in newest(schedule)],
        }
    )


def newest(schedule: Schedule) -> list[Tick]:
    """Return what is known of a schedule's ticks, the newest first."""
    return sorted((*schedule.open, *schedule.ticks), key=lambda each: each.at, reverse=True)


def refused_over(there: Schedule | None, asked: ScheduleRequested) -> InvalidRequest | None:
    """Return why a request cannot be accepted beside the schedule of its name that is there, if it cannot."""
    if there is None or asked.replace or asked.request_id in there.changes or same(asked, there.asked):
        return None
    problem = f"there is another schedule {asked.name}; with replace (--replace) it is changed"
    return InvalidRequest([Problem("$.name", problem)])


def same(one: ScheduleRequested, other: ScheduleRequested) -> bool:
    """Whether two requests ask for the same schedule."""
    aside = {"request_id", "replace", "schema_version"}
    return one.model_dump(exclude=aside) == other.model_dump(exclude=aside)
