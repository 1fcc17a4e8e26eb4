"""``mgym suite …``: many benchmarks at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from metriq_gym.cli import options
from metriq_gym.cli.options import AsJson, Device, Plot, Provider, SuiteName, Wait, Yes

if TYPE_CHECKING:
    from metriq_gym.jobs import Job

app = typer.Typer(help="Dispatch suites of benchmarks and look after them.", no_args_is_help=True)


@app.command()
def dispatch(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="A suite's file, or the name of a shipped one.")],
    provider: Provider = options.DEFAULT_PROVIDER,
    device: Device = options.DEFAULT_DEVICE,
    component: Annotated[
        list[str] | None, typer.Option("--component", "-c", help="Only this part; can be given again.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Yes, all of a suite that warns of it.")] = False,
    suite_id: Annotated[str | None, typer.Option("--id", help="Name the suite's run.")] = None,
    json: AsJson = False,
) -> None:
    """Hand a suite to a device, print its run's id."""
    from metriq_gym.cli import opening
    from metriq_gym.cli.dispatching import dispatch_suite
    from metriq_gym.cli.output import emit, say

    work = dispatch_suite(suite, provider, device, component or [], everything, suite_id)
    dispatched, parsed = opening.run(work)
    if json:
        emit({"suite_id": dispatched, "suite_name": parsed.name})
    else:
        typer.echo(dispatched)
        say(f"to wait for its results: mgym suite poll {dispatched}")


@app.command()
def poll(name: SuiteName = None, wait: Wait = True, json: AsJson = False, plot: Plot = None) -> None:
    """Wait for a suite and print its scores.

    The exit code is 1 when one of its jobs failed.
    """
    from metriq_gym.cli import opening
    from metriq_gym.cli.errors import FAILED, HELD, UNFINISHED
    from metriq_gym.cli.output import say
    from metriq_gym.jobs import JobState
    from metriq_gym.jobs.suite_progress import summarise
    from metriq_gym.terminal.follow import Progress, follow_suite

    async def look() -> list[Job]:
        async with opening.store() as store:
            return await store.jobs.suite(await opening.suite_called(store, name))

    async def watch() -> list[Job]:
        async with opening.client() as client:
            suite_id = await opening.suite_called(client.store, name)
            with opening.way_back(f"mgym suite poll {suite_id}"), Progress(f"suite {suite_id}") as progress:
                return await follow_suite(client, suite_id, progress)

    jobs = opening.run(watch() if wait else look())
    _show(jobs, json, plot)
    summary = summarise(jobs)
    if summary.held and summary.settled:
        say(f"{summary.held} held until an operator decides: mgym status")
        raise typer.Exit(HELD)
    if not summary.done:
        say("not finished yet")
        raise typer.Exit(UNFINISHED)
    if any(job.state is not JobState.EXPORTED for job in jobs):
        raise typer.Exit(FAILED)


@app.command()
def view(name: SuiteName = None, json: AsJson = False, plot: Plot = None) -> None:
    """Print a suite's jobs and their scores."""
    from metriq_gym.cli import opening

    async def look() -> list[Job]:
        async with opening.store() as store:
            return await store.jobs.suite(await opening.suite_called(store, name))

    _show(opening.run(look()), json, plot)


@app.command("list")
def list_(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, the newest.")] = 20,
    json: AsJson = False,
) -> None:
    """List runs of suites, and the suites there are."""
    from metriq_gym.cli import opening
    from metriq_gym.cli.output import console, emit, say
    from metriq_gym.jobs.suite_progress import summarise
    from metriq_gym.suite_parser import shipped
    from metriq_gym.terminal import report

    async def look() -> list[list[Job]]:
        async with opening.store() as store:
            return [await store.jobs.suite(each) for each in await store.catalogue.suite_ids(limit=limit)]

    runs = opening.run(look())
    if json:
        emit([_described(jobs) for jobs in runs])
        return
    rows = []
    for jobs in runs:
        summary = summarise(jobs)
        device = f"{jobs[0].provider}/{jobs[0].device}"
        ended = f"{summary.ended} of {summary.size}"
        rows.append([jobs[0].suite_id, jobs[0].suite_name or "", device, ended, report.age(jobs[0].created_at)])
    if rows:
        report.show_table(console(), ("suite", "name", "device", "ended", "age"), rows)
    say(f"shipped suites: {', '.join(shipped())}")


@app.command()
def delete(name: SuiteName = None, yes: Yes = False) -> None:
    """Delete a suite that has ended.

    Exported files stay.
    """
    from metriq_gym.cli import opening
    from metriq_gym.cli.output import say
    from metriq_gym.errors import IllegalTransition

    async def remove() -> None:
        async with opening.store() as store:
            suite_id = await opening.suite_called(store, name)
            jobs = await store.jobs.suite(suite_id)
            if going := [job.id for job in jobs if not job.has_ended]:
                raise IllegalTransition(
                    f"of {len(jobs)} jobs these have not ended; cancel them first: {', '.join(going)}"
                )
            if not yes:
                typer.confirm(f"delete suite {suite_id} ({len(jobs)} jobs)?", abort=True, err=True)
            for job in jobs:
                await store.records.delete(job.id)
            say(f"deleted {suite_id}")

    opening.run(remove())


@app.command()
def upload(
    name: SuiteName = None,
    to: Annotated[
        str, typer.Option(help="Where the records go: github, or json for the folder of results.")
    ] = "github",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be sent to GitHub, and send nothing.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Publish the records of a suite.

    On GitHub one pull request has all of them.
    """
    from metriq_gym.cli import opening, uploading

    opening.run(uploading.upload_suite(name, to, dry_run=dry_run, as_json=json))


def _show(jobs: list[Job], as_json: bool, plot: Any) -> None:
    from metriq_gym.cli.output import console, emit, say
    from metriq_gym.jobs.suite_progress import summarise
    from metriq_gym.terminal import report
    from metriq_gym.terminal.follow import describe

    if plot is not None:
        from metriq_gym.terminal import plots

        plots.save(plots.of_suite(jobs), plot)
        say(f"wrote {plot}")
    if as_json:
        emit(_described(jobs))
        return
    out = console()
    report.show_facts(
        out,
        {
            "suite": jobs[0].suite_id or "",
            "name": jobs[0].suite_name or "",
            "device": f"{jobs[0].provider}/{jobs[0].device}",
            "progress": describe(summarise(jobs)),
        },
    )
    rows = ([job.id, job.benchmark_name, report.state(job), report.score(job), *report.why(job)[:1]] for job in jobs)
    padded = ([*row, *[""] * (5 - len(row))] for row in rows)
    report.show_table(out, ("job", "benchmark", "state", "score", "why"), padded)


def _described(jobs: list[Job]) -> dict[str, Any]:
    from metriq_gym.jobs.suite_progress import summarise

    summary = summarise(jobs)
    return {
        "suite_id": jobs[0].suite_id,
        "suite_name": jobs[0].suite_name,
        "size": summary.size,
        "ended": summary.ended,
        "done": summary.done,
        "jobs": [
            {
                "job_id": job.id,
                "benchmark_name": job.benchmark_name,
                "state": str(job.state),
                "held": job.held,
                "result": job.result,
                "failure": None if job.failure is None else job.failure.model_dump(mode="json"),
            }
            for job in jobs
        ],
    }
