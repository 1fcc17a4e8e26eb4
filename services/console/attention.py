"""What needs a person, the most pressing first: jobs, messages, results, providers and services that wait for one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass

from metriq_gym.bus.port import DEAD_LETTERS
from metriq_gym.operations.status import STILL_SECONDS
from metriq_gym.store.catalogue import Filter
from metriq_gym.terminal.report import age

from .desk import Desk

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


async def needs(at: Desk, queues: Mapping[str, int], consumers: Mapping[str, int]) -> list[Need]:
    """Return what needs a person. `queues` and `consumers` are empty while the broker does not answer."""
    held, stuck = await at.store.catalogue.undecided_counts()
    return [
        *[Need(f"no service takes messages from {queue}") for queue, count in consumers.items() if not count],
        *[each async for each in _held(at, held)],
        *_counted(queues.get(DEAD_LETTERS, 0), "dead letter", "", "/dead-letters", "look at them"),
        *_counted(stuck, "result", " could be exported nowhere", "/jobs?state=scored", "scored jobs"),
        *[
            Need(f"{each.provider} does not accept the credential, for {age(each.since)}:", why=each.reason)
            for each in await at.store.parked.all()
        ],
        *[
            Need(f"{each.provider} cannot be asked, for {age(each.since)}: its breaker is open", why=each.reason)
            for each in await at.store.parked.away()
        ],
        *[
            Need("overdue suite:", f"/suites/{each.id}", each.id, f"{each.waiting} of {each.size} results wait")
            for each in await at.store.catalogue.waiting_suites(at.settings.job_deadline_seconds, limit=NAMED)
        ],
        *[
            Need("stands still:", f"/jobs/{job.id}", job.id, f"{job.state} for {age(job.updated_at)}")
            for job in await at.store.catalogue.standing_still(STILL_SECONDS, limit=NAMED)
        ],
    ]


async def _held(at: Desk, count: int) -> AsyncIterator[Need]:
    jobs = await at.store.catalogue.page(Filter(held=True), limit=NAMED) if count else []
    for job in jobs:
        yield Need("held:", f"/jobs/{job.id}", job.id, job.held or "")
    if count > len(jobs):
        yield Need(f"{count - len(jobs):,} more are held:", "/jobs?held=1", "all of them")


def _counted(count: int, name: str, said: str, href: str, link: str) -> Iterator[Need]:
    if count:
        yield Need(f"{count:,} {name}{'s' if count > 1 else ''}{said}:", href, link)
