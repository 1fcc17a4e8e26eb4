"""``mgym job …``: everything about one job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from metriq_gym.cli import options
from metriq_gym.cli.options import AsJson, Config, Device, JobName, Output, Plot, Provider, Wait, Yes

if TYPE_CHECKING:
    from metriq_gym.jobs import Job, Task
    from metriq_gym.store import Store

app = typer.Typer(help="Dispatch jobs and look after them.", no_args_is_help=True)


@app.command()
def dispatch(
    config: Config,
    provider: Provider = options.DEFAULT_PROVIDER,
    device: Device = options.DEFAULT_DEVICE,
    job_id: Annotated[
        str | None, typer.Option("--id", help="Name the job; the same name again runs nothing twice.")
    ] = None,
    prior: Annotated[int | None, typer.Option(min=1, max=10, help="Priority at the provider.")] = None,
    remarks: Annotated[str | None, typer.Option(help="A note for the provider's records.")] = None,
    group: Annotated[str | None, typer.Option(help="A group for the provider's records.")] = None,
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until the circuits are with the provider.")
    ] = True,
    json: AsJson = False,
) -> None:
    """Hand a benchmark to a device, print its id."""
    from metriq_gym.cli import dispatching, opening
    from metriq_gym.cli.output import emit, say
    from metriq_gym.client.configurations import read_configuration

    chosen = read_configuration(config)
    wishes = {"job_id": job_id, "prior": prior, "remarks": remarks, "group": group}
    job = opening.run(dispatching.dispatch(chosen, provider, device, wishes, wait=wait))
    if json:
        emit({"job_id": job.id, "state": str(job.state), "held": job.held})
    else:
        typer.echo(job.id)
        say(f"to wait for its result: mgym job poll {job.id}")


@app.command()
def poll(
    name: JobName = None,
    wait: Wait = True,
    json: AsJson = False,
    output: Output = None,
    include_raw: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the counts and all that `job replay` needs to this file."),
    ] = None,
    plot: Plot = None,
) -> None:
    """Wait for a job and print its result.

    With --no-wait the exit code is 5 until it has ended.
    """
    from metriq_gym.cli import opening, polling

    opening.run(polling.poll(name, wait=wait, as_json=json, output=output, raw=include_raw, plot=plot))


@app.command()
def view(name: JobName = None, json: AsJson = False, plot: Plot = None) -> None:
    """Print a job and its result."""
    from metriq_gym.cli import opening
    from metriq_gym.cli.output import console, emit, say
    from metriq_gym.cli.polling import draw
    from metriq_gym.terminal import report

    async def look() -> tuple[Job, list[str]]:
        async with opening.store() as store:
            job = await opening.job_called(store, name)
            if plot is not None:
                await draw(store, job, plot)
                say(f"wrote {plot}")
            return job, (await store.catalogue.provider_job_ids([job.id])).get(job.id, [])

    job, provider_job_ids = opening.run(look())
    if json:
        emit(job.model_dump(mode="json") | {"provider_job_ids": provider_job_ids})
    else:
        report.show_job(console(), job, provider_job_ids)


@app.command("list")
def list_(
    benchmark: Annotated[str | None, typer.Option(help="Only this benchmark.")] = None,
    provider: Annotated[
        str | None, typer.Option("--provider", "-p", help="Only this provider.", autocompletion=options.providers)
    ] = None,
    device: Annotated[str | None, typer.Option("--device", "-d", help="Only this device.")] = None,
    state: Annotated[str | None, typer.Option(help="Only jobs in this state.")] = None,
    suite: Annotated[str | None, typer.Option(help="Only jobs of the suite with this id.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, the newest.")] = 20,
    json: AsJson = False,
    plot: Plot = None,
    metric: Annotated[str, typer.Option(help="With --plot: the metric that is drawn over time.")] = "score",
) -> None:
    """List jobs, newest first."""
    from metriq_gym.cli import opening
    from metriq_gym.cli.errors import Usage
    from metriq_gym.cli.output import console, emit, say
    from metriq_gym.jobs import JobState
    from metriq_gym.terminal import report

    if state is not None and state not in set(JobState):
        raise Usage(f"no state is called {state!r}; there are: {', '.join(JobState)} (`mgym status` shows held jobs)")

    wanted = {"benchmark_name": benchmark, "provider": provider, "device": device, "state": state, "suite_id": suite}

    async def look() -> list[Job]:
        async with opening.store() as store:
            filters = {key: value for key, value in wanted.items() if value is not None}
            return await store.catalogue.find(filters, limit=limit)

    jobs = opening.run(look())
    if plot is not None:
        from metriq_gym.terminal import plots

        plots.save(plots.over_time(jobs, metric), plot)
        say(f"wrote {plot}")
    if json:
        emit([_listed(job) for job in jobs])
    else:
        report.show_jobs(console(), jobs)


@app.command()
def delete(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="JOB", help="Ids, the beginnings of them, or latest.", show_default=False),
    ] = None,
    yes: Yes = False,
) -> None:
    """Delete jobs that have ended. Exported files stay."""
    from metriq_gym.cli import opening
    from metriq_gym.cli.output import say

    async def remove() -> None:
        async with opening.store() as store:
            for name in names or (None,):
                job = await opening.job_called(store, name)
                if not yes:
                    typer.confirm(f"delete {job.benchmark_name} job {job.id} ({job.state})?", abort=True, err=True)
                await store.records.delete(job.id)
                say(f"deleted {job.id}")

    opening.run(remove())


@app.command()
def upload(
    name: JobName = None,
    to: Annotated[
        str, typer.Option(help="Where the record goes: github, or json for the folder of results.")
    ] = "github",
    output: Output = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be sent to GitHub, and send nothing.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Publish the record of a job that has ended.

    The exporter does it, once more if it failed before. Of a suite GitHub gets all records at once.
    """
    from metriq_gym.cli import opening, uploading

    opening.run(uploading.upload_job(name, to, output, dry_run=dry_run, as_json=json))


@app.command()
def estimate(
    config: Config,
    provider: Provider = options.DEFAULT_PROVIDER,
    device: Device = options.DEFAULT_DEVICE,
    json: AsJson = False,
) -> None:
    """Say what a job would ask of a device.

    Circuits, shots, gates, depth. Nothing is submitted.
    """
    from metriq_gym.cli import opening
    from metriq_gym.cli.estimating import make_estimate, show_estimate
    from metriq_gym.cli.output import console, emit
    from metriq_gym.client.configurations import read_configuration

    found = opening.run(make_estimate(read_configuration(config), provider, device))
    if json:
        emit(found.to_dict())
    else:
        show_estimate(console(), found)


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file written by `job poll --include-raw`.")],
    json: AsJson = False,
) -> None:
    """Score a job again from its counts alone.

    The exit code is 1 when the result is not the same.
    """
    from metriq_gym.cli.errors import FAILED, Usage
    from metriq_gym.cli.output import console, emit, say
    from metriq_gym.client.configurations import read_configuration
    from metriq_gym.errors import InvalidRequest
    from metriq_gym.jobs.replay import replay as score_again
    from metriq_gym.terminal import report

    document = read_configuration(file)
    try:
        result = score_again(document)
    except InvalidRequest as error:
        raise Usage(
            "\n  ".join([f"{file} is not what `mgym job poll --include-raw` writes:", *map(str, error.problems)])
        ) from None
    if json:
        emit(result)
    else:
        rows = ([name, report.number(value)] for name, value in result.items())
        report.show_table(console(), ("metric", "value"), rows)
    recorded = document.get("result")
    if recorded is not None and recorded != result:
        say("the file records another result; it is of another version, or was changed")
        raise typer.Exit(FAILED)
    say("identical to the recorded result" if recorded else "the file records no result to compare with")


@app.command()
def cancel(name: JobName = None) -> None:
    """Cancel a job. What runs at a provider may run on; its result is not fetched."""
    from metriq_gym.cli import opening
    from metriq_gym.cli.errors import FAILED
    from metriq_gym.cli.output import say
    from metriq_gym.jobs import JobState
    from metriq_gym.terminal.follow import Progress, follow

    def decided(job: Job) -> bool:
        """Whether it is cancelled, or too late for that."""
        return job.has_ended or job.state is JobState.SCORED

    async def stop() -> Job:
        async with opening.client() as client:
            job = await opening.job_called(client.store, name)
            if decided(job):
                return job
            with opening.way_back(f"mgym job view {job.id}"), Progress(f"cancelling {job.id}") as progress:
                await client.cancel(job.id)
                return await follow(client, job.id, progress, decided)

    job = opening.run(stop())
    if job.state is not JobState.CANCELLED:
        say(f"error: too late: job {job.id} is {job.state}")
        raise typer.Exit(FAILED)
    say(f"cancelled {job.id}")


@app.command()
def resolve(
    name: JobName = None,
    adopt: Annotated[
        str | None, typer.Option(metavar="ID", help="It was accepted: the provider calls it this.")
    ] = None,
    resubmit: Annotated[bool, typer.Option("--resubmit", help="It was not accepted: submit it again.")] = False,
    fail: Annotated[bool, typer.Option("--fail", help="Give the job up.")] = False,
    task: Annotated[str | None, typer.Option(help="Which task, where several are in doubt.")] = None,
    json: AsJson = False,
) -> None:
    """Decide about a held job.

    A submission of it may or may not have been accepted, or a message was given up. Without a decision, print which.
    """
    from metriq_gym.cli import opening
    from metriq_gym.cli.errors import Usage
    from metriq_gym.cli.output import emit, say
    from metriq_gym.operations.resolve import Adopt, Decision, Fail, Resubmit
    from metriq_gym.operations.resolve import resolve as carry_out
    from metriq_gym.terminal.follow import Progress, follow, handed_over

    decisions: list[Decision] = [
        *([Adopt(adopt)] if adopt is not None else []),
        *([Resubmit()] if resubmit else []),
        *([Fail()] if fail else []),
    ]
    if len(decisions) > 1:
        raise Usage("choose one of --adopt, --resubmit and --fail")

    async def show() -> None:
        async with opening.store() as store:
            job = await opening.job_called(store, name)
            await _show_doubts(store, job, json)

    async def decide() -> Job:
        async with opening.client() as client:
            job = await opening.job_called(client.store, name)
            job = await carry_out(client.store, client.bus, job.id, decisions[0], task)
            if job.held is None:
                with opening.way_back(f"mgym job poll {job.id}"), Progress(f"job {job.id}") as progress:
                    job = await follow(client, job.id, progress, handed_over)
            return job

    if not decisions:
        opening.run(show())
        return
    job = opening.run(decide())
    if json:
        emit({"job_id": job.id, "state": str(job.state), "held": job.held})
    elif job.held is not None:
        say(f"done; job {job.id} is still held: {job.held}\n`mgym job resolve {job.id}` shows what is left to decide")
    else:
        say(f"done; job {job.id} is {job.state}")


@app.command()
def history(name: JobName = None, json: AsJson = False) -> None:
    """Print every state a job has been in.

    When it got there, which service moved it, and why.
    """
    from metriq_gym.cli import opening
    from metriq_gym.cli.output import console, emit
    from metriq_gym.terminal import report

    async def look() -> Job:
        async with opening.store() as store:
            return await opening.job_called(store, name)

    job = opening.run(look())
    if json:
        emit([each.model_dump(mode="json") for each in job.history])
        return
    rows = []
    for position, each in enumerate(job.history):
        since = (each.at - job.history[max(0, position - 1)].at).total_seconds()
        at = each.at.isoformat(sep=" ", timespec="milliseconds")
        rows.append([at, f"+{since:.3f} s", each.state, each.service, each.cause])
    report.show_table(console(), ("time", "after", "state", "service", "cause"), rows)


def _listed(job: Job) -> dict[str, Any]:
    left_out = {
        "data",
        "runs",
        "history",
        "input_two_qubit_gate_counts",
        "transpiled_two_qubit_gate_counts",
        "imported",
    }
    return job.model_dump(mode="json", exclude=left_out)


async def _show_doubts(store: Store, job: Job, as_json: bool) -> None:
    from metriq_gym.cli.output import console, emit, say
    from metriq_gym.jobs.lifecycle import advice
    from metriq_gym.operations.resolve import NotHeld, in_doubt
    from metriq_gym.terminal import report

    tasks: list[Task] = in_doubt(await store.catalogue.outline(job.id))
    if job.held is None and not tasks:
        raise NotHeld(f"job {job.id} is {job.state}: it does not wait for a decision")
    if as_json:
        emit({"job_id": job.id, "held": job.held, "tasks": [{"id": task.id, "error": task.error} for task in tasks]})
        return
    if not tasks:
        say(f"{job.held}\n{advice(job)}, or give the job up with --fail")
        return
    report.show_table(console(), ("task", "in doubt because"), ([task.id, task.error or ""] for task in tasks))
    say("look at the provider's list, then decide with --adopt ID, --resubmit or --fail")
