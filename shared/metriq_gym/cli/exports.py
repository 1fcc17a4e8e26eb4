"""What a command says of where a job's record is, and is not."""

from __future__ import annotations

import typer

from metriq_gym.cli.errors import FAILED
from metriq_gym.cli.output import say
from metriq_gym.jobs import Job


def tell_of_exports(job: Job) -> None:
    """Say what is not exported, and how to try again; exits with `FAILED` if that is all there is."""
    for target, export in job.exports.items():
        if export.error is not None:
            say(f"not exported to {target}: {export.error}\nonce more: mgym job upload {job.id} --to {target}")
    if job.is_stuck:
        raise typer.Exit(FAILED)
