"""``mgym suite poll``."""

from __future__ import annotations

import typer

from metriq_gym.cli import opening
from metriq_gym.cli.errors import FAILED, HELD, UNFINISHED
from metriq_gym.cli.options import AsJsonOr, JsonFile, NoCache, Plot, SuiteName, Wait
from metriq_gym.cli.output import say
from metriq_gym.cli.suite.showing import show
from metriq_gym.jobs import Job, JobState
from metriq_gym.jobs.suite_progress import summarise
from metriq_gym.run.files import write_records
from metriq_gym.terminal.follow import ProgressLine, follow_suite


def poll(
    name: SuiteName = None,
    wait: Wait = True,
    json: AsJsonOr = False,
    plot: Plot = None,
    no_cache: NoCache = False,
    json_file: JsonFile = None,
) -> None:
    """Wait for a suite and print its scores.

    The exit code is 1 when one of its jobs failed.
    """

    async def look() -> list[Job]:
        async with opening.store() as store:
            return await store.jobs.suite(await opening.suite_called(store, name))

    async def watch() -> list[Job]:
        async with opening.client() as client:
            suite_id = await opening.suite_called(client.store, name)
            with opening.way_back(f"mgym suite poll {suite_id}"), ProgressLine(f"suite {suite_id}") as progress:
                return await follow_suite(client, suite_id, progress)

    jobs = opening.run(watch() if wait else look())
    show(jobs, json, plot)
    if json_file is not None:
        say(f"wrote {write_records(jobs, json_file)}")
    summary = summarise(jobs)
    if summary.held and summary.settled:
        say(f"{summary.held} held until an operator decides: mgym status")
        raise typer.Exit(HELD)
    if not summary.done:
        say("not finished yet")
        raise typer.Exit(UNFINISHED)
    if any(job.state not in (JobState.EXPORTED, JobState.CHECKED) for job in jobs):
        raise typer.Exit(FAILED)
