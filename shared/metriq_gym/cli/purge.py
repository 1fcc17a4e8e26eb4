"""``mgym purge``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from typing import Annotated, TypeVar

import typer

from metriq_gym.bus.rabbitmq import RabbitMQBus
from metriq_gym.cli import opening
from metriq_gym.cli.errors import Usage
from metriq_gym.cli.options import Yes
from metriq_gym.cli.output import confirm, say
from metriq_gym.service.purging import Policy, before, purge_counts, purge_jobs, purge_letters, purge_ticks
from metriq_gym.settings import Settings
from metriq_gym.store import Store

Where = TypeVar("Where")
_TOLD = {
    "jobs": "{} jobs",
    "tasks": "circuits and counts of {} tasks",
    "ticks": "{} ticks of schedules",
    "letters": "{} dead letters",
}


def _days(what: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(metavar="DAYS", min=1, help=what, show_default=False)
    return option


def purge(
    counts_after: Annotated[int | None, _days("Forget circuits and counts of exported jobs.")] = None,
    jobs_after: Annotated[int | None, _days("Delete jobs that are over, with results.")] = None,
    ticks_after: Annotated[int | None, _days("Let schedules forget ticks that are done with.")] = None,
    letters_after: Annotated[int | None, _days("Delete dead letters that no job needs.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how much there is.")] = False,
    yes: Yes = False,
) -> None:
    """Forget what is old: circuits, counts, jobs, ticks, letters.

    What is not exported stays. Without options, as METRIQ_PURGE_… say, which dispatchers carry out by themselves.
    Deleted jobs are gone for good: export or back up first.
    """
    settings = Settings()
    policy = Policy(tasks=counts_after, jobs=jobs_after, letters=letters_after, ticks=ticks_after)
    if not policy.days:
        policy = Policy.of(settings)
    if not policy.days:
        raise Usage("say what is to go: --counts-after DAYS, --jobs-after DAYS, --ticks-after DAYS, …")
    if not dry_run and not yes:
        confirm("forget this for good?")

    async def go() -> Counter[str]:
        async with opening.store() as store:
            return await _purged(store, settings, policy, dry_run)

    done = opening.run(go())
    verb = "would go" if dry_run else "gone"
    for what, told in _TOLD.items():
        if what in policy.days:
            say(f"{verb}: {told.format(done[what])}")


async def _purged(store: Store, settings: Settings, policy: Policy, dry_run: bool) -> Counter[str]:
    now = await store.catalogue.now()
    limits: dict[str, datetime] = {what: before(days, now) for what, days in policy.days.items()}
    done = Counter[str]()
    if "jobs" in limits:
        done["jobs"] = await _all(partial(purge_jobs, store, limits["jobs"], dry_run=dry_run))
    if "tasks" in limits:
        # Of jobs that are gone by then, or would be, nothing is left to forget.
        since = limits.get("jobs") if dry_run else None
        done["tasks"] = await _all(partial(purge_counts, store, limits["tasks"], since=since, dry_run=dry_run))
    if "ticks" in limits:
        done["ticks"] = await _all(partial(purge_ticks, store, limits["ticks"], dry_run=dry_run))
    if "letters" in limits and settings.amqp_url is not None:
        bus = RabbitMQBus(settings.amqp_url.get_secret_value(), app_id="mgym")
        done["letters"] = await purge_letters(store, bus, limits["letters"], dry_run=dry_run)
    return done


async def _all(step: Callable[..., Awaitable[tuple[int, Where | None]]]) -> int:
    """Do one step after the other, and return what they come to."""
    gone, place = await step()
    while place is not None:
        more, place = await step(after=place)
        gone += more
    return gone
