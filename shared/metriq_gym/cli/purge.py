"""``mgym purge``."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

import typer

from metriq_gym.cli import opening
from metriq_gym.cli.errors import Usage
from metriq_gym.cli.options import Yes
from metriq_gym.cli.output import confirm, say
from metriq_gym.store import Store

AT_ONCE = 100
"""Jobs of one step."""
_DAY = 86400

Page = Callable[[str], Awaitable[list[str]]]


def purge(
    counts_after: Annotated[
        int | None,
        typer.Option(metavar="DAYS", min=1, help="Forget circuits and counts of exported jobs.", show_default=False),
    ] = None,
    jobs_after: Annotated[
        int | None,
        typer.Option(metavar="DAYS", min=1, help="Delete jobs that are over, with results.", show_default=False),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how much there is.")] = False,
    yes: Yes = False,
) -> None:
    """Forget circuits, counts and jobs that are old.

    Their age is counted from a job's last change. What is not exported stays. Deleted jobs are gone for
    good: export or back up first.
    """
    if counts_after is None and jobs_after is None:
        raise Usage("say what is to go: --counts-after DAYS, --jobs-after DAYS, or both")
    if not dry_run and not yes:
        confirm("forget this for good?")

    async def go() -> Counter[str]:
        async with opening.store() as store:
            done = Counter[str]()
            if jobs_after is not None:
                done["jobs"] = await _jobs(store, jobs_after * _DAY, dry_run)
            if counts_after is not None:
                gone = jobs_after * _DAY if jobs_after is not None and dry_run else None
                done["tasks"] = await _counts(store, counts_after * _DAY, gone, dry_run)
            return done

    done = opening.run(go())
    verb = "would go" if dry_run else "gone"
    if jobs_after is not None:
        say(f"{verb}: {done['jobs']} jobs")
    if counts_after is not None:
        say(f"{verb}: circuits and counts of {done['tasks']} tasks")


async def _jobs(store: Store, seconds: int, dry_run: bool) -> int:
    deleted = 0
    async for ids in _pages(lambda after: store.retention.jobs(seconds, after=after, limit=AT_ONCE)):
        for job_id in ids:
            deleted += dry_run or await store.retention.delete(job_id)
    return deleted


async def _counts(store: Store, seconds: int, gone: int | None, dry_run: bool) -> int:
    """Return of how many tasks circuits and counts go, or would when jobs that are `gone` seconds old had."""
    do = store.retention.bulky if dry_run else store.retention.forget
    pages = _pages(lambda after: store.retention.exported(seconds, less_than=gone, after=after, limit=AT_ONCE))
    return sum([await do(ids) async for ids in pages])


async def _pages(page: Page) -> AsyncIterator[list[str]]:
    after = ""
    while ids := await page(after):
        yield ids
        after = ids[-1]
