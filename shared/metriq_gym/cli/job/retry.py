"""``mgym job retry``."""

from __future__ import annotations

from typing import Annotated

import typer

from metriq_gym.cli import bulk, filters, opening
from metriq_gym.cli.errors import Usage
from metriq_gym.cli.options import AsJson, Yes
from metriq_gym.jobs import JobState
from metriq_gym.operations.again import Again, failed_exports, failed_jobs
from metriq_gym.store import Store


def retry(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="JOB_ID", help="Ids, the beginnings of them, or latest.", show_default=False),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Whatever failed.")] = False,
    reason: bulk.Reason = None,
    benchmark: filters.Benchmark = None,
    provider: filters.OfProvider = None,
    device: filters.OfDevice = None,
    suite: filters.OfSuite = None,
    tag: filters.Tagged = None,
    since: filters.Since = None,
    until: filters.Until = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be begun anew, and do nothing.")] = False,
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Begin anew what failed, many at once.

    Jobs go on where they failed, as with `mgym job resume`; of other jobs those exports are made again that failed.
    """
    which = filters.query(benchmark, provider, device, None, suite, tag, since, until)
    if not (names or all_ or which or reason):
        raise Usage("say which: ids of jobs, --reason, --since or another filter, or --all")

    async def choose(store: Store) -> list[Again]:
        chosen = which
        if names:
            chosen = {**which, "_id": {"$in": [(await opening.job_called(store, name)).id for name in names]}}
        jobs = await failed_jobs(store, chosen, reason)
        # Resuming a job forgets the exports of its failure.
        not_failed = {**chosen, "state": {"$ne": JobState.FAILED}}
        return jobs + await failed_exports(store, not_failed, reason=reason)

    bulk.begin_anew(choose, dry_run=dry_run, yes=yes, as_json=json)
