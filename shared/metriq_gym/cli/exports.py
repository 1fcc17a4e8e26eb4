"""What a command says of where a job's record is, and is not."""

from __future__ import annotations

import typer

from metriq_gym.cli.errors import FAILED
from metriq_gym.cli.output import say
from metriq_gym.client.client import embedded
from metriq_gym.jobs import Job
from metriq_gym.jobs.documents import EVENT, is_file
from metriq_gym.settings import Settings


def elsewhere() -> bool:
    """Whether records are files of the machine, or the container, that the exporter service runs on."""
    return not embedded(Settings())


def tell_of_location(job_id: str, location: str) -> None:
    """Say where a record is, and nothing of an event; of a file elsewhere who wrote it, and how to have it here."""
    if location.startswith(EVENT):
        return
    if not is_file(location) or not elsewhere():
        say(f"saved to {location}")
        return
    say(f"the exporter service saved it to {location}, where it runs\nto have it here: mgym job poll {job_id} -o FILE")


def tell_of_exports(job: Job) -> None:
    """Say what is not exported, and how to try again; exits with `FAILED` if that is all there is."""
    for target, export in job.exports.items():
        if export.error is not None:
            say(f"not exported to {target}: {export.error}\nonce more: mgym job upload {job.id} --to {target}")
    if job.is_stuck:
        raise typer.Exit(FAILED)
