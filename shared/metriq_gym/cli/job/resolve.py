"""``mgym job resolve``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from metriq_gym.cli import opening
from metriq_gym.cli.errors import Usage
from metriq_gym.cli.options import AsJson, JobName
from metriq_gym.cli.output import console, emit, say
from metriq_gym.jobs import Job, Task
from metriq_gym.jobs.lifecycle import advice
from metriq_gym.operations.resolve import Adopt, Decision, Fail, NotHeld, Resubmit, in_doubt
from metriq_gym.operations.resolve import resolve as carry_out
from metriq_gym.store import Store
from metriq_gym.terminal import report
from metriq_gym.terminal.follow import ProgressLine, follow, handed_over


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
                with opening.way_back(f"mgym job poll {job.id}"), ProgressLine(f"job {job.id}") as progress:
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


_COMPARED = ("device", "shots", "qubits", "state", "accepted", "changed", "remarks")


def _sent(job: Job, task: Task) -> dict[str, Any]:
    """Return what is known of a submission, by the names that candidates are described with."""
    at = task.intended_at.isoformat(timespec="seconds") if task.intended_at else ""
    return {"id": task.id, "device": job.target, "shots": task.shots, "accepted": at, "remarks": job.remarks or ""}


def _doubt(task: Task) -> dict[str, Any]:
    return {"error": task.error, "candidates": task.candidates}


async def _show_doubts(store: Store, job: Job, as_json: bool) -> None:

    tasks: list[Task] = in_doubt(await store.catalogue.outline(job.id))
    if job.held is None and not tasks:
        raise NotHeld(f"job {job.id} is {job.state}: it does not wait for a decision")
    if as_json:
        emit({"job_id": job.id, "held": job.held, "tasks": [_sent(job, task) | _doubt(task) for task in tasks]})
        return
    if not tasks:
        say(f"{job.held}\n{advice(job)}, or give the job up with --fail")
        return
    report.show_table(console(), ("task", "in doubt because"), ([task.id, task.error or ""] for task in tasks))
    for task in tasks:
        sent = _sent(job, task)
        rows = [[f"sent: {task.id}", *(str(sent.get(field, "")) for field in _COMPARED)]]
        rows += [[each["id"], *(each.get(field, "") for field in _COMPARED)] for each in task.candidates]
        report.show_table(console(), ("what was sent, and what may be it", *_COMPARED), rows)
    say("look at the provider's list, then decide with --adopt ID, --resubmit or --fail")
