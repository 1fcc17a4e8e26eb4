"""What needs a person, the most pressing first: jobs, messages, results, providers and services that wait for one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from metriq_gym.bus.port import DEAD_LETTERS
from metriq_gym.jobs import Job
from metriq_gym.operations.status import STILL_SECONDS
from metriq_gym.operations.suites import DROPPED
from metriq_gym.settings import Settings
from metriq_gym.store import Store
from metriq_gym.store.catalogue import Filter
from metriq_gym.terminal.report import age

NEWEST = 1000
"""Jobs that moved last, among which exports are looked for that failed."""
NAMED = 5
"""How many of a kind are named; the others are counted."""


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that needs a person."""

    what: str
    href: str = ""
    """Where to do something about it."""
    link: str = ""
    why: str = ""


async def needs(
    store: Store, settings: Settings, queues: Mapping[str, int], consumers: Mapping[str, int]
) -> list[Need]:
    """Return what needs a person. `queues` and `consumers` are empty while the broker does not answer."""
    since = datetime.now(UTC) - timedelta(days=1)
    ((count, stuck), unexported), held, parked, away, overdue, still = await asyncio.gather(
        asyncio.gather(
            store.catalogue.undecided_counts(),
            store.catalogue.failed_exports(since, limit=NEWEST, dropped=DROPPED),
        ),
        store.catalogue.page(Filter(held=True), limit=NAMED),
        store.parked.all(),
        store.parked.away(),
        store.catalogue.waiting_suites(settings.job_deadline_seconds, limit=NAMED),
        store.catalogue.standing_still(STILL_SECONDS, limit=NAMED),
    )
    return [
        *[Need(f"no service takes messages from {queue}") for queue, taking in consumers.items() if not taking],
        *_held(held, count),
        *_counted(queues.get(DEAD_LETTERS, 0), "dead letter", "", "/dead-letters", "look at them"),
        *_counted(stuck, "result", " could be exported nowhere", "/jobs?state=scored", "scored jobs"),
        *[
            Need(
                f"{each.count:,} export{'s' if each.count > 1 else ''} to {each.target} failed in the last day:",
                f"/jobs/{each.newest}",
                each.newest if each.count == 1 else f"the newest, {each.newest}",
            )
            for each in unexported
        ],
        *[
            Need(f"{each.provider} does not accept the credential, for {age(each.since)}:", why=each.reason)
            for each in parked
        ],
        *[
            Need(f"{each.provider} cannot be asked, for {age(each.since)}: its breaker is open", why=each.reason)
            for each in away
        ],
        *[
            Need("overdue suite:", f"/suites/{each.id}", each.id, f"{each.waiting} of {each.size} results wait")
            for each in overdue
        ],
        *[Need("stands still:", f"/jobs/{job.id}", job.id, f"{job.state} for {age(job.updated_at)}") for job in still],
    ]


def _held(jobs: Sequence[Job], count: int) -> Iterator[Need]:
    for job in jobs:
        yield Need("held:", f"/jobs/{job.id}", job.id, job.held or "")
    if count > len(jobs):
        yield Need(f"{count - len(jobs):,} more are held:", "/jobs?state=held", "all of them")


def _counted(count: int, name: str, said: str, href: str, link: str) -> Iterator[Need]:
    if count:
        yield Need(f"{count:,} {name}{'s' if count > 1 else ''}{said}:", href, link)
