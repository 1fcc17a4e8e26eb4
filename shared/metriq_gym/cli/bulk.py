"""What `mgym job upload --all` and `mgym job retry` share: beginning many things anew, and telling of each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

import typer

from metriq_gym.cli import opening
from metriq_gym.cli.errors import FAILED
from metriq_gym.cli.output import confirm, console, emit, say, tell
from metriq_gym.client.client import Client
from metriq_gym.errors import NotFound, Permanent
from metriq_gym.jobs import ExportState, Job
from metriq_gym.operations.again import Again
from metriq_gym.store import Store
from metriq_gym.terminal import report

_AT_ONCE = 16

Reason = Annotated[
    str | None, typer.Option(metavar="WORDS", help="Only where the reason has these words.", show_default=False)
]
Choose = Callable[[Store], Awaitable[list[Again]]]


def begin_anew(choose: Choose, *, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Begin anew what is chosen, once that is confirmed, and tell how each got on; exits with `FAILED` if one did not.

    Waits until a service has taken up each of them. With `dry_run`, print what is chosen.
    """
    if dry_run:
        _show(opening.run(_chosen(choose)), as_json)
        return
    told = opening.run(_begin(choose, yes))
    if as_json:
        emit([_described(each) | {"outcome": outcome} for each, outcome, _ in told])
    else:
        for each, outcome, _ in told:
            tell(f"{each.job.id}{f' to {each.target}' if each.target else ''}: {outcome}")
    if any(not well for _, _, well in told):
        raise typer.Exit(FAILED)


async def _chosen(choose: Choose) -> list[Again]:
    async with opening.store() as store:
        return await choose(store)


async def _begin(choose: Choose, yes: bool) -> list[tuple[Again, str, bool]]:
    async with opening.client() as client:
        chosen = await choose(client.store)
        if not chosen:
            say("there is nothing of that kind")
            return []
        if not yes:
            jobs = sum(each.target is None for each in chosen)
            what = " and ".join(f"{count} {kind}" for count, kind in _counted(jobs, len(chosen) - jobs))
            confirm(f"begin {what} anew?")
        slots = asyncio.Semaphore(_AT_ONCE)

        async def see_to(each: Again) -> tuple[Again, str, bool]:
            async with slots:
                return each, *await _seen_to(client, each)

        with opening.way_back("the same command; what was begun goes on without it"):
            return await asyncio.gather(*map(see_to, chosen))


def _counted(jobs: int, exports: int) -> list[tuple[int, str]]:
    kinds = ((jobs, "job", "jobs"), (exports, "export", "exports"))
    return [(count, one if count == 1 else many) for count, one, many in kinds if count]


async def _seen_to(client: Client, each: Again) -> tuple[str, bool]:
    """Begin one anew; return what became of it, and whether that is well."""
    try:
        await each.begin(client.store, client.bus)
        job = await client.wait(each.job.id, each.has_begun)
    except (NotFound, Permanent) as error:
        return str(error), False
    return _outcome(each, job)


def _outcome(each: Again, job: Job) -> tuple[str, bool]:
    export = job.exports.get(each.target) if each.target else None
    if export is None:
        return "resumed", True
    if export.state is ExportState.PENDING:
        return f"will be tried again: {export.error}", True
    return export.location or f"failed: {export.error}", export.state is ExportState.DONE


def _described(each: Again) -> dict[str, str | None]:
    return {"job_id": each.job.id, "target": each.target, "reason": each.reason}


def _show(chosen: Sequence[Again], as_json: bool) -> None:
    if as_json:
        emit([_described(each) for each in chosen])
        return
    rows = ([each.job.id, f"export to {each.target}" if each.target else "job", each.reason] for each in chosen)
    report.show_table(console(), ("job", "what failed", "because"), rows)
