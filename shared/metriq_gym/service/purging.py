"""Carrying out a retention policy: what is older than it says goes, in steps of a bounded number of documents.

A dispatcher does it by itself, and an operator with ``mgym purge``. Ages are told by two clocks, the store's and this
machine's, of which the one that is behind decides: a clock that is wrong keeps more, not less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from metriq_gym.bus.dead_letters import DeadLetter
from metriq_gym.bus.port import Bus
from metriq_gym.jobs.schedules import Schedule
from metriq_gym.messages import EstimateRequested, ScheduleChangeRequested, ScheduleRequested, SuiteRequested
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from metriq_gym.store.retention import Place

STEADY_SECONDS = 86400.0
"""For how long the store's clock must not have been set before a dispatcher purges anything."""
WORDS = {
    "tasks": "circuits and counts",
    "jobs": "jobs",
    "letters": "dead letters",
    "ticks": "ticks of schedules",
}
AT_ONCE = 100
"""Jobs, or schedules, that one step looks at."""
_BEGINNINGS = {each.routing_key for each in (SuiteRequested, ScheduleRequested, ScheduleChangeRequested)}
"""What asks for something that no job's document has yet."""
MOST_LETTERS = 1000
"""Dead letters that are looked at."""


@dataclass(frozen=True, slots=True)
class Policy:
    """After how many days what goes; None for never."""

    tasks: int | None = None
    """Circuits and counts."""
    jobs: int | None = None
    letters: int | None = None
    ticks: int | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the policy that is set."""
        return cls(
            tasks=settings.purge_counts_after_days,
            jobs=settings.purge_jobs_after_days,
            letters=settings.purge_letters_after_days,
            ticks=settings.purge_ticks_after_days,
        )

    @classmethod
    def read(cls, noted: Mapping[str, object]) -> Self:
        """Return the policy that a dispatcher has noted, perhaps of another version."""
        days = {name: noted.get(name) for name in cls.__dataclass_fields__}
        return cls(**{name: value for name, value in days.items() if isinstance(value, int)})

    @property
    def days(self) -> dict[str, int]:
        """What goes, and after how many days."""
        return {name: days for name, days in asdict(self).items() if days is not None}

    def __str__(self) -> str:
        told = [f"{WORDS[name]} after {days} days" for name, days in self.days.items()]
        return ", ".join(told) or "nothing is deleted by itself"


def before(days: int, store_now: datetime, own_now: datetime | None = None) -> datetime:
    """Return the time before which something is so old by both clocks."""
    return min(store_now, own_now or datetime.now(UTC)) - timedelta(days=days)


async def purge_jobs(
    store: Store, limit: datetime, after: Place | None = None, *, dry_run: bool = False
) -> tuple[int, Place | None]:
    """Delete what may go of the next jobs, and return how many went and where to go on."""
    found = await store.retention.jobs(limit, after=after, limit=AT_ONCE)
    if dry_run:
        return len(found.ids), found.place
    return sum([await store.retention.delete(job_id) for job_id in found.ids]), found.place


async def purge_counts(
    store: Store, limit: datetime, after: Place | None = None, *, since: datetime | None = None, dry_run: bool = False
) -> tuple[int, Place | None]:
    """Forget the circuits and counts of the next jobs, and return of how many tasks and where to go on."""
    found = await store.retention.exported(limit, since=since, after=after, limit=AT_ONCE)
    do = store.retention.bulky if dry_run else store.retention.forget
    return await do(found.ids), found.place


async def purge_ticks(
    store: Store, limit: datetime, after: str = "", *, dry_run: bool = False
) -> tuple[int, str | None]:
    """Let the next schedules forget what became of old ticks, and return how many went and where to go on.

    Open ticks stay, however old.
    """
    gone = 0
    schedules = await store.schedules.page(after=after, limit=AT_ONCE)
    for schedule in schedules:
        kept = [each for each in schedule.ticks if each.at >= limit]
        old = len(schedule.ticks) - len(kept)
        # One that was changed meanwhile is left for the next time.
        if old and (dry_run or await _written(store, schedule.with_(ticks=kept))):
            gone += old
    return gone, schedules[-1].name if schedules else None


async def _written(store: Store, schedule: Schedule) -> bool:
    return await store.schedules.write(schedule, await store.catalogue.now()) is not None


async def purge_letters(store: Store, bus: Bus, limit: datetime, *, dry_run: bool = False) -> int:
    """Drop old dead letters that no job needs, and return how many went.

    One stays while the job that it names, or is to begin, has not ended: it may be the only copy of a request.
    """
    gone = 0
    async with bus.old_letters(limit, most=MOST_LETTERS) as held:
        job_ids = {each.letter.job_id for each in held if each.letter.job_id is not None}
        done_with = await store.retention.done_with(job_ids) if job_ids else set()
        for each in held:
            if _is_needed(each.letter, done_with):
                continue
            gone += 1
            if not dry_run:
                await each.drop()
    return gone


def _is_needed(letter: DeadLetter, done_with: set[str]) -> bool:
    if letter.routing_key == EstimateRequested.routing_key:
        return False
    if letter.job_id is None:
        return letter.routing_key in _BEGINNINGS
    return letter.job_id not in done_with
