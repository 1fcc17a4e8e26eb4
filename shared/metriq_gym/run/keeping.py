"""Which job is meant, and what a manager with a file of its own notes of it."""

from __future__ import annotations

from metriq_gym.client.lookup import LATEST, choose_job
from metriq_gym.errors import NotFound
from metriq_gym.job_manager import JobManager, MetriqGymJob, load, to_document
from metriq_gym.jobs import Job
from metriq_gym.store import Store


def require_name(kind: str, name: str | None) -> None:
    """Raise `NotFound` when it is not said which job or suite is meant: no text is no beginning of an id."""
    if not name:
        raise NotFound(f"it is not said which {kind} is meant: give its id, the beginning of it, or latest")


def in_file(name: str, job_manager: JobManager) -> MetriqGymJob | None:
    """Return the job of the manager's file that `name` stands for: its id, the only beginning of it, or ``latest``.

    None for a manager without a file. Raises `NotFound`.
    """
    require_name("job", name)
    if job_manager.jobs_file is None:
        return None
    if name == LATEST:
        return job_manager.get_latest_job()
    beginning = [job for job in job_manager.get_jobs() if job.id.startswith(name)]
    return beginning[0] if len(beginning) == 1 else job_manager.get_job(name)


async def find(store: Store, name: str, kept: MetriqGymJob | None) -> Job:
    """Return the job of the store that `name` stands for, or what a file has kept of one that the store never had."""
    try:
        return await choose_job(store, name if kept is None else kept.id)
    except NotFound:
        if kept is None:
            raise
        return to_document(kept, "kept in a file")


def look_up(name: str, job_manager: JobManager) -> tuple[Job, MetriqGymJob]:
    """Return a job as the store has it and as metriq-gym knows it; raises `NotFound`."""
    kept = in_file(name, job_manager)

    async def ask(store: Store) -> tuple[Job, MetriqGymJob]:
        job = await find(store, name, kept)
        return job, kept if kept is not None and job.imported is not None else await load(store, job)

    return job_manager.session.on_store(ask)


def note(job: Job, job_manager: JobManager) -> MetriqGymJob:
    """Return a job as metriq-gym knows it, and keep that in the manager's file if it has one."""
    kept = job_manager.jobs_file is not None
    if kept and job.imported is not None:
        return job_manager.get_job(job.id)
    found = job_manager.session.on_store(lambda store: load(store, job))
    if kept:
        if any(each.id == job.id for each in job_manager.get_jobs()):
            job_manager.update_job(found)
        else:
            job_manager.add_job(found)
    return found
