"""Schedules: a benchmark or a suite that is to run again and again, as a document.

A schedule is one document, changed as a whole by compare-and-set on its revision. A tick is first noted in it, then
decided about, then requested; what is requested has an id that follows from the schedule's name and the tick's time,
so that to request it again runs nothing twice.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from metriq_gym.messages import ScheduleRequested


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


def same(one: ScheduleRequested, other: ScheduleRequested) -> bool:
    """Whether two requests ask for the same schedule."""
    aside = {"request_id", "replace", "schema_version"}
    return one.model_dump(exclude=aside) == other.model_dump(exclude=aside)
