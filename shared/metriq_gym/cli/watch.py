"""``mgym watch``."""

from __future__ import annotations

from typing import Any

from metriq_gym.cli import opening
from metriq_gym.cli.options import AsJson, JobName
from metriq_gym.cli.output import emit_line, tell
from metriq_gym.client.client import decision_about, failure_of
from metriq_gym.jobs import Job


def watch(name: JobName = None, json: AsJson = False) -> None:
    """Print what happens to jobs as it happens.

    To one job until it has ended, or to all until Ctrl-C.
    """

    def show(job: Job) -> None:
        last = job.history[-1]
        if json:
            emit_line(_event(job))
        else:
            state = "held" if job.held else last.state
            cause = job.held or last.cause
            at = last.at.isoformat(sep=" ", timespec="seconds")
            tell("  ".join([at, job.id, f"{state:11}", last.service, cause]).rstrip())

    async def work() -> Job | None:
        async with opening.client() as client:
            if name is None:
                seen: dict[str, tuple[int, str | None]] = {}
                async for job in client.changes():
                    # A lease that is renewed is a change too, but not one that anybody wants to read of.
                    now = len(job.history), job.held
                    if job.history and seen.get(job.id) != now:
                        show(job)
                    seen[job.id] = now
                return None
            job = await opening.job_called(client.store, name)
            known = 0
            async for progress in client.progress(job.id):
                job = progress.job
                if len(job.history) > known or job.held:
                    show(job)
                known = len(job.history)
            return job

    job = opening.run(work())
    if job is not None and (error := failure_of(job) or decision_about(job)) is not None:
        raise error


def _event(job: Job) -> dict[str, Any]:
    last = job.history[-1]
    return {"job_id": job.id, **last.model_dump(mode="json"), "held": job.held}
